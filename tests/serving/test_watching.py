"""What is known of a running server: counts of all workers, drift, feedback, Prometheus, and the pages."""

import json
import re
import threading
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from prometheus_client.parser import text_string_to_metric_families

from automl.bundle.loading import load
from automl.serving.problem import Refused
from automl.serving.watching import counts, drift, screen, status
from automl.serving.watching.feedback import Feedback, score
from tests.support.serving import ask, flowers, service

ROW = {"size": 5.0, "age": 30, "colour": "red", "day": "2021-03-04"}
Bundles = dict[str, Path]


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = json.loads(frame.drop(columns="kind").to_json(orient="records"))
    return made


# -- drift ---------------------------------------------------------------------------------------------------------


def references(rows: int, seed: int = 0) -> list[drift.Reference | None]:
    """Those of a normal, a skewed, a whole-numbered and a categorical input in a training part of so many rows."""
    from automl.data import seen

    rng = np.random.default_rng(seed)
    numbers = draw(rng, rows)
    made = [drift.reference_of({"name": f"n{k}", "seen": seen.of_numbers(v)}) for k, v in enumerate(numbers[:3])]
    texts = np.array([f"c{int(v)}" for v in numbers[3]])
    values = [f"c{k}" for k in range(1, 7)]
    return [*made, drift.reference_of({"name": "c", "values": values, "seen": seen.of_categories(texts, values)})]


def draw(rng: np.random.Generator, rows: int) -> list[np.ndarray]:
    gaps = np.where(rng.random(rows) < 0.05, np.nan, rng.exponential(size=rows))
    return [rng.normal(size=rows), gaps, rng.poisson(3, rows).astype(float),
            rng.choice([1.0, 2, 3, 4, 5, 6], rows, p=[0.5, 0.3, 0.1, 0.05, 0.04, 0.01])]  # fmt: skip


@pytest.mark.parametrize("trained", [400, 20_000])
def test_inputs_that_have_not_changed_raise_no_more_false_alarms_than_stated(trained: int) -> None:
    windows, alarms = 600, 0
    for part in range(3):  # the training part is a sample too
        watch = drift.Drift(references(trained, seed=part), false_alarms=0.05)
        rng = np.random.default_rng(100 + part)
        for _ in range(windows // 3):
            found = watch.findings(watch.counted(np.column_stack(draw(rng, 500))))
            alarms += any(one.alarm for one in found)
    assert alarms <= 0.05 * windows + 2.5 * (0.05 * 0.95 * windows) ** 0.5  # 30 expected at most, and chance


def test_shifts_gaps_new_categories_and_other_shares_are_found() -> None:
    watch = drift.Drift(references(5000), false_alarms=0.01)
    rng = np.random.default_rng(1)

    def alarms(change: Any) -> list[str]:
        values = draw(rng, 1000)
        change(values)
        found = watch.findings(watch.counted(np.column_stack(values)))
        return [one.name for one in found if one.alarm]

    assert alarms(lambda v: None) == []
    assert alarms(lambda v: v.__setitem__(0, v[0] + 0.3)) == ["n0"]
    assert alarms(lambda v: v.__setitem__(0, v[0] * 2)) == ["n0"]
    assert alarms(lambda v: v.__setitem__(1, np.where(rng.random(1000) < 0.2, np.nan, v[1]))) == ["n1"]
    assert alarms(lambda v: v.__setitem__(2, v[2] * 2)) == ["n2"]
    assert alarms(lambda v: v.__setitem__(3, np.where(rng.random(1000) < 0.1, 0.0, v[3]))) == ["c"]
    assert alarms(lambda v: v.__setitem__(3, np.where(rng.random(1000) < 0.3, 3.0, v[3]))) == ["c"]


def test_psi_and_distance_are_what_the_formulas_say() -> None:
    edges = np.array([0.0, 1.0])
    one = drift.Reference("x", edges, np.array([0.5, 0.3, 0.2, 0.0, 0.0]), 10**9)
    values = np.repeat([0.0, 1.0, 2.0], [2000, 5000, 3000])
    counted = one.counted(values)
    assert counted.tolist() == [2000, 5000, 3000, 0, 0]
    p, q = np.array([0.2, 0.5, 0.3]), np.array([0.5, 0.3, 0.2])
    assert drift.psi(counted, one) == pytest.approx(((p - q) * np.log(p / q)).sum(), rel=1e-2)
    assert drift.distance(counted, one) == pytest.approx(0.3)
    assert one.counted(np.array([np.nan, -5.0, 0.5])).tolist() == [1, 1, 0, 0, 1]


def test_columns_without_what_training_has_seen_are_not_watched() -> None:
    assert drift.reference_of({"name": "x", "role": "number"}) is None
    watch = drift.Drift([None, *references(500)[:1]], 0.01)
    assert [one.name for one in watch.findings(watch.counted(np.zeros((10, 2))))] == ["n0"]


# -- counts --------------------------------------------------------------------------------------------------------


def test_counts_of_workers_add_up_also_of_one_that_has_ended(bundles: Bundles, tmp_path: Path) -> None:
    trees = []
    for worker in range(2):
        made = service(tmp_path, ("m", bundles["flowers"]), workers=2)
        made.own = tmp_path / "run" / f"{worker}.json"

        async def talk(client: httpx.AsyncClient) -> Any:
            await client.post("/v1/predict", json=records(flowers(30)))
            await client.post("/v1/predict", json=[{**ROW, "colour": "green", "age": None}])
            await client.post("/v1/predict", json=[{}])
            return (await client.get("/v1/status")).json()

        trees.append(ask(made, talk))
    first, both = trees
    assert first["statuses"] == {"200": 2, "422": 1}
    assert {k: both["statuses"][k] for k in ("200", "422")} == {"200": 5, "422": 2}  # the first status is one more
    version = both["models"][0]["versions"][0]
    assert (version["rows"], version["requests"]) == (62, 4)
    inputs = {one["name"]: one for one in version["inputs"]}
    assert inputs["colour"]["unseen"] == 2
    assert inputs["age"]["missing"] == 2 * (1 + int(flowers(30).age.isna().sum()))
    assert sum(entry["count"] for entry in version["predictions"]) == 62
    assert both["refused"] == {"missing_column": 2}


def test_trees_of_numbers_add_up() -> None:
    assert counts.added({"a": 1, "b": [1, 2], "c": {"x": 1}}, {"b": [3, 4], "c": {"x": 2, "y": 1}}) == {
        "a": 1, "b": [4, 6], "c": {"x": 3, "y": 1}
    }  # fmt: skip


def test_values_outside_and_drift_show_up_in_the_state(bundles: Bundles, tmp_path: Path) -> None:
    made = service(tmp_path, ("m", bundles["flowers"]), window=100)

    async def talk(client: httpx.AsyncClient) -> Any:
        await client.post("/v1/predict", json=records(flowers(200)))
        fine = (await client.get("/v1/status")).json()
        await client.post("/v1/predict", json=records(flowers(150, shift=6.0)))
        return fine, (await client.get("/v1/status")).json()

    states = ask(made, talk)
    fine, changed = (state["models"][0]["versions"][0] for state in states)
    assert (fine["windows"], fine["alarms"]) == (2, 0)
    assert (changed["windows"], changed["alarms"]) == (3, 1)
    alarms = [one["name"] for one in changed["drift"] if one["alarm"]]
    assert alarms == ["size"]
    size = next(one for one in changed["inputs"] if one["name"] == "size")
    assert size["outside"] > 20
    text = screen.as_text(states[1])
    assert "changed inputs: size (PSI" in text
    assert "1 of 3 windows with drift" in text


async def _state(client: httpx.AsyncClient) -> Any:
    return (await client.get("/v1/status")).json()


def test_quantiles_of_latency_lie_in_their_classes() -> None:
    latency = [0] * (len(counts.LATENCIES_MS) + 1)
    assert status.quantiles(latency) == {"p50": None, "p95": None, "p99": None}
    latency[1], latency[8] = 98, 2  # 0.5 to 1 ms, 15 to 20 ms
    made = status.quantiles(latency)
    assert 0.5 < made["p50"] < 1
    assert 15 < made["p99"] <= 20


def test_predicted_values_are_counted_in_classes_around_the_trainings(bundles: Bundles, tmp_path: Path) -> None:
    made = service(tmp_path, ("m", bundles["prices"]))

    async def talk(client: httpx.AsyncClient) -> Any:
        await client.post("/v1/predict", json=records(flowers(50)))
        return (await client.get("/v1/status")).json()

    (version,) = ask(made, talk)["models"][0]["versions"]
    assert sum(entry["count"] for entry in version["predictions"]) == 50
    assert version["predictions"][0]["as"].startswith("below ")


def test_arrays_are_watched_by_feature(bundles: Bundles, tmp_path: Path) -> None:
    made = service(tmp_path, ("m", bundles["digits"]), window=100)

    async def talk(client: httpx.AsyncClient) -> Any:
        x = np.random.default_rng(0).normal(size=(100, 16))
        x[:, 3] += 3
        await client.post("/v1/predict", json={"rows": x.tolist()})
        return (await client.get("/v1/status")).json()

    (version,) = ask(made, talk)["models"][0]["versions"]
    assert [one["name"] for one in version["drift"] if one["alarm"]] == ["x3"]


# -- feedback ------------------------------------------------------------------------------------------------------


def test_true_answers_that_come_later_make_a_score_with_an_interval(bundles: Bundles, tmp_path: Path) -> None:
    frame = flowers(60)
    expected = load(bundles["flowers"]).predict(frame.drop(columns="kind"))
    made = service(tmp_path, ("m", bundles["flowers"]))

    async def talk(client: httpx.AsyncClient) -> list[httpx.Response]:
        answer = (await client.post("/v1/predict", json=records(frame))).json()
        truth = [*frame.kind.tolist()[:50], *[None] * 10]
        return [
            await client.post("/v1/feedback", json={"request_id": answer["request_id"], "answers": truth}),
            await client.post("/v1/feedback", json={"request_id": answer["request_id"], "answers": truth}),  # again
            await client.post("/v1/feedback", json={"request_id": answer["request_id"], "answers": ["iris"]}),
            await client.post("/v1/feedback", json={"request_id": "unknown-one", "answers": ["iris"]}),
            await client.post("/v1/feedback", json={"request": "x", "answers": ["iris"]}),
            await client.get("/v1/status"),
            await client.post(
                "/v1/feedback", json={"request_id": answer["request_id"], "answers": ["Iris", *truth[1:]]}
            ),
        ]

    first, again, short, unknown, wrong, state, slip = ask(made, talk)
    assert slip.json()["warnings"] == ["no class of the model: 'Iris' (it has 'iris', 'rose')"]
    assert (first.status_code, first.json()) == (200, {"model": "m", "version": "v1", "rows": 50, "warnings": []})
    assert again.status_code == 200
    assert [one.status_code for one in (short, unknown, wrong)] == [422, 404, 422]
    made_score = state.json()["models"][0]["versions"][0]["feedback"]
    accuracy = float((expected[:50] == frame.kind[:50]).mean())
    assert (made_score["metric"], made_score["rows"]) == ("accuracy", 50)
    assert made_score["value"] == pytest.approx(accuracy)
    assert made_score["interval"][0] < accuracy < made_score["interval"][1]


def test_feedback_belongs_to_the_key_that_asked_and_old_predictions_are_forgotten(tmp_path: Path) -> None:
    feedback = Feedback(tmp_path / "f.sqlite", remember=20)
    for k in range(60):
        feedback.predicted(f"request-{k:02d}", "mine", "m", "v1", "regression", [1.0, 2.0])
        if k % 10 == 9:
            feedback.flush()
    assert feedback.answered("request-59", "mine", [1.5, 2.5])["rows"] == 2
    for request, key in (("request-58", "other"), ("request-00", "mine")):
        with pytest.raises(Refused) as refused:
            feedback.answered(request, key, [1.0, 1.0])
        assert refused.value.code == "unknown_request"
    with pytest.raises(Refused) as refused:
        feedback.answered("request-57", "mine", ["many", 1.0])
    assert refused.value.where == "answers[0]"
    assert feedback.scores()["m@v1"]["value"] == pytest.approx(0.5)
    feedback.close()


def test_an_answer_waits_for_its_prediction_while_another_thread_writes_it(tmp_path: Path) -> None:
    feedback = Feedback(tmp_path / "f.sqlite", remember=20)
    feedback.predicted("request-1", "", "m", "v1", "classification", ["a"])
    with feedback._lock:
        writer = threading.Thread(target=feedback.flush)
        writer.start()
        writer.join(0.02)
        assert len(feedback._waiting) == 1  # neither taken away nor written: who looks now finds it
    writer.join()
    assert feedback.answered("request-1", "", ["a"])["rows"] == 1
    feedback.close()


def test_scores_without_answers_have_no_value() -> None:
    assert score("classification", [])["value"] is None
    assert score("classification", [("a", "a"), (1, "1"), ("a", "b"), (True, True)])["value"] == 0.75


# -- pages ---------------------------------------------------------------------------------------------------------


def test_prometheus_reads_the_numbers(bundles: Bundles, tmp_path: Path) -> None:
    made = service(tmp_path, ("m", bundles["flowers"]), window=50)

    async def talk(client: httpx.AsyncClient) -> str:
        await client.post("/v1/predict", json=records(flowers(60)))
        await client.post("/v1/predict", json={})
        return (await client.get("/metrics")).text

    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(ask(made, talk))
        for sample in family.samples
    }
    assert samples["automl_rows_total", "m", "v1"] == 60
    assert samples["automl_requests_total", "200"] == 1
    assert samples["automl_requests_total", "422"] == 1
    assert samples["automl_refused_total", "no_rows"] == 1
    assert samples["automl_latency_seconds_count",] == 2
    assert samples["automl_latency_seconds_bucket", "+Inf"] == 2
    assert samples["automl_inputs_total", "age", "m", "missing", "v1"] == flowers(60).age.isna().sum()
    assert samples["automl_psi", "m", "size", "v1"] >= 0


def test_the_description_is_made_of_the_schema_with_rows_that_work(bundles: Bundles, tmp_path: Path) -> None:
    made = service(tmp_path, ("flowers", bundles["flowers"]), ("digits", bundles["digits"]))

    async def talk(client: httpx.AsyncClient) -> tuple[Any, str, list[int]]:
        document = (await client.get("/openapi.json")).json()
        examples = document["paths"]["/v1/predict"]["post"]["requestBody"]["content"]["application/json"]["examples"]
        codes = [(await client.post("/v1/predict", json=one["value"])).status_code for one in examples.values()]
        return document, (await client.get("/docs")).text, codes

    document, page, codes = ask(made, talk)
    assert codes == [200, 200]
    row = document["components"]["schemas"]["flowers_row"]
    assert row["required"] == ["size", "age", "colour", "day"]
    assert row["additionalProperties"] is False
    assert row["properties"]["size"]["type"] == ["number", "null"]
    assert {"/v1/models", "/v1/models/{name}", "/v1/feedback", "/metrics", "/v1/status"} <= document["paths"].keys()
    assert "curl http://localhost/v1/predict" in page
    assert re.search(r"<td>colour</td><td>category</td><td>blue, red, white</td>", page)


def test_the_live_page_and_its_parts_come_from_here_alone(bundles: Bundles, tmp_path: Path) -> None:
    made = service(tmp_path, ("m", bundles["flowers"]))

    async def talk(client: httpx.AsyncClient) -> list[httpx.Response]:
        paths = ("/", "/page.js", "/page.css", "/icon.svg", "/favicon.ico")
        return [await client.get(path) for path in paths]

    page, script, sheet, *icons = ask(made, talk)
    assert (page.headers["content-type"], script.headers["content-type"], sheet.headers["content-type"]) == (
        "text/html; charset=utf-8", "text/javascript; charset=utf-8", "text/css; charset=utf-8",
    )  # fmt: skip
    policy = page.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "connect-src 'self'" in policy
    parts = ["/icon.svg", "/page.css", "/page.js", "/docs", "/metrics"]
    assert re.findall(r'(?:src|href)="([^"]*)"', page.text) == parts
    assert [(icon.status_code, icon.headers["content-type"]) for icon in icons] == [(200, "image/svg+xml")] * 2
    used = set(re.findall(r'\$\("(\w+)"\)', script.text))
    assert used <= set(re.findall(r'id="(\w+)"', page.text)), "the script asks for elements that the page has not"
    assert "innerHTML" not in script.text
    assert "http://" not in script.text.replace("http://www.w3.org/2000/svg", "")


def test_what_the_page_reads_is_what_the_state_has(bundles: Bundles, tmp_path: Path) -> None:
    made = service(tmp_path, ("m", bundles["flowers"]))
    state = ask(made, _state)
    assert {"version", "workers", "started", "draining", "seconds", "latency_ms", "queue", "statuses", "models"} <= set(
        state
    )
    assert len(state["seconds"]) == 60
    version = state["models"][0]["versions"][0]
    assert {"rows", "alarms", "windows", "predictions", "inputs", "drift", "feedback", "compared"} <= version.keys()
