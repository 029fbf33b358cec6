"""Batches, the bounded queue, versions, canaries, shadows and rollbacks."""

import asyncio
import json
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

import automl
from automl.core import files
from automl.errors import BundleError, SpecError
from automl.serving.models.store import Store
from automl.serving.problem import Refused
from automl.serving.server import Lookout, Source
from automl.serving.traffic.batching import Batcher
from tests.support.serving import ask, flowers, saved, service

ROW = {"size": 5.0, "age": 30, "colour": "red", "day": "2021-03-04"}
Bundles = dict[str, Path]


class Doubles:
    """Stands for a model: doubles its rows, takes its time, and remembers its batches."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.batches, self.threads = seconds, [], set()

    def compute(self, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
        self.batches.append(len(inputs[0]))
        self.threads.add(threading.current_thread().name)
        time.sleep(self.seconds)
        if (inputs[0] == 13).any():
            raise ValueError("thirteen")
        return inputs[0] * 2


def computed(batcher: Batcher, model: Any, sizes: list[int]) -> list[Any]:
    """The answers to requests of so many rows each, that arrive at the same time; request k has rows of value k."""

    async def run() -> list[Any]:
        asked = [batcher.compute(model, (torch.full((n, 1), float(k)),)) for k, n in enumerate(sizes)]
        return await asyncio.gather(*asked, return_exceptions=True)

    try:
        return asyncio.run(run())
    finally:
        batcher.close()


def test_requests_that_arrive_together_are_one_batch_and_get_their_own_rows() -> None:
    model = Doubles()
    got = computed(Batcher(1000, 100, 0.05), model, [1, 3, 2])
    assert [one.tolist() for one in got] == [[[0.0]], [[2.0]] * 3, [[4.0]] * 2]
    assert model.batches == [6]


def test_batches_are_no_larger_than_allowed_and_one_large_request_is_split() -> None:
    model = Doubles()
    got = computed(Batcher(1000, 4, 0.05), model, [3, 3, 10, 1])
    assert [len(one) for one in got] == [3, 3, 10, 1]
    assert model.batches == [3, 3, 4, 4, 2, 1]


def test_a_slow_model_computes_in_a_thread_and_its_batches_keep_to_the_latency() -> None:
    model = Doubles(0.004)
    batcher = Batcher(10_000, 1000, 0.02)

    async def run() -> None:
        for _ in range(12):
            await asyncio.gather(*(batcher.compute(model, (torch.zeros(20, 1),)) for _ in range(5)))

    asyncio.run(run())
    batcher.close()
    assert any(name.startswith("compute") for name in model.threads)
    lane = next(iter(batcher.lanes.values()), None)
    assert lane is None or lane.expected_s(model.batches[-1]) < 0.03


def test_a_full_queue_refuses_and_says_when_there_is_room() -> None:
    got = computed(Batcher(5, 100, 0.05), Doubles(), [3, 2, 1])
    assert [len(one) for one in got[:2]] == [3, 2]
    assert isinstance(got[2], Refused)
    assert (got[2].status, got[2].code) == (503, "busy")
    assert int(got[2].headers()["retry-after"]) >= 1


def test_a_request_larger_than_the_queue_is_answered_where_nothing_waits() -> None:
    assert len(computed(Batcher(5, 4, 0.05), Doubles(), [50])[0]) == 50


def test_a_failed_batch_fails_its_requests_and_the_next_one_is_computed() -> None:
    model, batcher = Doubles(), Batcher(100, 100, 0.05)

    async def run() -> list[Any]:
        first = await asyncio.gather(
            *(batcher.compute(model, (torch.full((1, 1), value),)) for value in (13.0, 1.0)), return_exceptions=True
        )
        return [*first, await batcher.compute(model, (torch.ones(1, 1),))]

    got = asyncio.run(run())
    batcher.close()
    assert [type(one).__name__ for one in got] == ["ValueError", "ValueError", "Tensor"]
    assert batcher.rows == 0


def test_clients_that_have_gone_are_not_computed() -> None:
    model, batcher = Doubles(), Batcher(100, 100, 0.05)

    async def run() -> None:
        gone = asyncio.ensure_future(batcher.compute(model, (torch.zeros(7, 1),)))
        await asyncio.sleep(0)
        gone.cancel()
        await batcher.compute(model, (torch.zeros(1, 1),))

    asyncio.run(run())
    batcher.close()
    assert model.batches == [1]
    assert batcher.rows == 0


# -- versions ------------------------------------------------------------------------------------------------------


def test_versions_are_numbered_copied_and_known_again(bundles: Bundles, tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.adopt("flowers", bundles["flowers"]) == "v1"
    assert store.adopt("flowers", bundles["flowers"]) == "v1"
    assert store.adopt("flowers", bundles["flowers2"], current=False) == "v2"
    traffic = Store(tmp_path).traffic()["flowers"]
    assert (traffic["current"], [v["version"] for v in traffic["versions"]]) == ("v1", ["v1", "v2"])
    copy = store.path("flowers", traffic["versions"][1]["digest"])
    assert automl.load(copy).predict([{**ROW, "constant": "x"}]).tolist()
    with pytest.raises(SpecError, match="the version 'v1' is another model already"):
        store.adopt("flowers", bundles["digits"], "v1")
    with pytest.raises(BundleError):
        store.adopt("flowers", tmp_path / "nothing")


def test_traffic_is_checked_and_rollback_goes_back_step_by_step(bundles: Bundles, tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.adopt("m", bundles["flowers"])
    store.adopt("m", bundles["flowers2"])
    assert store.traffic()["m"]["current"] == "v2"
    with pytest.raises(SpecError, match=r"model 'm' has no version 'v3'"):
        store.set_traffic("m", canary={"v3": 0.1})
    for wrong in ({"v1": 0.0}, {"v1": 1.0}, {"v1": 0.6, "v2": 0.4}):
        with pytest.raises(SpecError, match="shares of a canary"):
            store.set_traffic("m", canary=wrong)
    assert store.set_traffic("m", canary={"v1": 0.05}, shadow="v1")["canary"] == {"v1": 0.05}
    back = store.rollback("m")
    assert (back["current"], back["canary"], back["shadow"]) == ("v1", {}, None)
    with pytest.raises(SpecError, match="no former version"):
        store.rollback("m")
    with pytest.raises(SpecError, match=r"no model 'n' is served"):
        store.rollback("n")


def test_old_versions_are_deleted_but_never_one_that_answers(tmp_path: Path) -> None:
    store, frame = Store(tmp_path / "state"), flowers(120)
    for seed in range(11):
        store.adopt("m", saved(tmp_path / "b", frame, seed=seed, target="kind"), current=seed == 10)
    traffic = store.traffic()["m"]
    assert (traffic["current"], len(traffic["versions"])) == ("v11", 8)
    assert len(list((tmp_path / "state" / "models" / "m").iterdir())) == 8
    with pytest.raises(SpecError, match="no former version"):
        store.rollback("m")  # v1 is gone


def test_a_canary_gets_its_share_and_a_version_that_is_named_answers(bundles: Bundles, tmp_path: Path) -> None:
    made = service(tmp_path, ("m", bundles["flowers"]), ("m@next", bundles["flowers2"]))
    made.registry.store.set_traffic("m", canary={"next": 0.2})

    async def talk(client: httpx.AsyncClient) -> tuple[list[str], str, str]:
        bodies = [(await client.post("/v1/predict", json={"rows": [ROW]})).json() for _ in range(300)]
        named = (await client.post("/v1/predict?version=next", json={"rows": [ROW]})).json()["version"]
        again = [await client.post("/v1/predict", json=[ROW], headers={"x-request-id": "the-same"}) for _ in range(5)]
        (same,) = {one.json()["version"] for one in again}
        return [body["version"] for body in bodies], named, same

    versions, named, same = ask(made, talk)
    assert named == "next"
    assert same in ("v1", "next")
    assert 30 < versions.count("next") < 95  # 60 expected, standard deviation 7
    assert versions.count("v1") + versions.count("next") == 300


def test_a_shadow_computes_and_is_compared_but_never_answers(bundles: Bundles, tmp_path: Path) -> None:
    made = service(tmp_path, ("m", bundles["flowers"]), ("m", bundles["flowers2"]))
    made.registry.store.set_traffic("m", shadow="v2")
    rows = json.loads(flowers(60).drop(columns="kind").to_json(orient="records"))
    first, second = (automl.load(bundles[name]).predict(rows) for name in ("flowers", "flowers2"))

    async def talk(client: httpx.AsyncClient) -> tuple[Any, Any]:
        answer = (await client.post("/v1/predict", json=rows)).json()
        await asyncio.sleep(0.2)
        return answer, (await client.get("/v1/status")).json()

    answer, status = ask(made, talk)
    assert (answer["version"], answer["predictions"]) == ("v1", first.tolist())
    shadow = next(one for one in status["models"][0]["versions"] if one["version"] == "v2")
    assert (shadow["compared"], shadow["disagreed"]) == (60, int((first != second).sum()))


def test_a_new_winner_is_swapped_in_while_requests_are_answered_and_rolled_back(
    bundles: Bundles, tmp_path: Path
) -> None:
    study = tmp_path / "study"
    study.mkdir()
    files.copy(bundles["flowers"], study / "best")
    made = service(tmp_path / "state", ("m", study))
    lookout = Lookout(made.registry.store, [Source("m", None, study)])
    expected = {name: automl.load(bundles[name]).predict_proba([{**ROW, "constant": "x"}])[0] for name in
                ("flowers", "flowers2")}  # fmt: skip

    async def talk(client: httpx.AsyncClient) -> list[tuple[str, list[float]]]:
        got: list[tuple[str, list[float]]] = []

        async def until(version: str) -> None:
            while not got or got[-1][0] != version:
                body = (await client.post("/v1/predict?proba=true", json=[ROW])).json()
                got.append((body["version"], body["probabilities"][0]))

        await until("v1")
        saved_again = tmp_path / "new"
        files.copy(bundles["flowers2"], saved_again)
        (study / "best").rename(study / "old")
        saved_again.rename(study / "best")
        lookout.look()
        await until("v2")
        made.registry.store.rollback("m")
        await until("v1")
        lookout.look()  # the same bundle is no news
        await asyncio.sleep(0.4)
        await until("v1")
        return got

    for version, shares in ask(made, talk):
        assert shares == pytest.approx(expected["flowers" if version == "v1" else "flowers2"].tolist(), abs=1e-6)


@pytest.mark.catalogue(
    60, "a new version cannot be loaded", "the former one goes on answering; `/v1/models` says why", None
)
def test_a_version_that_cannot_be_loaded_never_replaces_one_that_answers(bundles: Bundles, tmp_path: Path) -> None:
    made = service(tmp_path, ("m", bundles["flowers"]))

    async def talk(client: httpx.AsyncClient) -> Any:
        store = made.registry.store
        version = store.adopt("m", bundles["flowers2"], current=False)
        digest = next(v["digest"] for v in store.traffic()["m"]["versions"] if v["version"] == version)
        (store.path("m", digest) / "model.safetensors").write_bytes(b"damaged")
        store.set_traffic("m", current=version)
        await asyncio.to_thread(made.registry.refresh)
        return (await client.post("/v1/predict", json=[ROW])).json(), (await client.get("/v1/models")).json()

    answer, models = ask(made, talk)
    assert answer["version"] == "v1"
    assert "sha256 differs" in models["failures"]["m v2"]


def test_several_models_are_told_apart_by_name(bundles: Bundles, tmp_path: Path) -> None:
    made = service(tmp_path, ("flowers", bundles["flowers"]), ("digits", bundles["digits"]))

    async def talk(client: httpx.AsyncClient) -> list[httpx.Response]:
        return [
            await client.post("/v1/predict", json=[ROW]),
            await client.post("/v1/predict?model=flowers", json=[ROW]),
            await client.post("/v1/predict", json={"model": "digits", "rows": [[0.0] * 16]}),
            await client.get("/v1/models/flowers"), await client.get("/v1/models/flower"),
            await client.get("/v1/models/flowers?version=v7"),
        ]  # fmt: skip

    none, named, body, card, unknown, version = ask(made, talk)
    assert (none.status_code, none.json()["error"]["code"]) == (422, "no_model")
    assert (named.json()["model"], body.json()["model"]) == ("flowers", "digits")
    assert card.json()["input"]["columns"][0]["range"][0] < card.json()["input"]["columns"][0]["range"][1]
    assert (unknown.status_code, version.status_code) == (404, 404)
