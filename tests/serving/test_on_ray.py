"""`automl serve --ray`: the same application as replicas on Ray Serve."""

import asyncio
import json
import socket
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from automl.cli.app import app
from automl.errors import EnvironmentProblem, SpecError
from automl.serving import on_ray
from automl.serving.on_ray import Replicas
from automl.serving.security.keys import Keys
from automl.serving.server import Source, adopt
from automl.serving.settings import Settings
from automl.version import __version__
from tests.support.serving import flowers

Bundles = dict[str, Path]


def test_replicas_are_a_number_or_a_range() -> None:
    assert Replicas.of("2").options() == {"num_replicas": 2}
    asked = Replicas.of("1-8", 10.0).options()["autoscaling_config"]
    assert asked == {"min_replicas": 1, "max_replicas": 8, "target_ongoing_requests": 10.0}
    for wrong in ("", "0", "two", "3-2", "1-", "-2", "1-2-3"):
        with pytest.raises(SpecError, match="such as 2"):
            Replicas.of(wrong)


@pytest.mark.parametrize("module", ["ray", "ray.serve"])
def test_without_ray_serve_it_says_what_to_install(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name == "ray.serve"]:
        monkeypatch.delitem(sys.modules, name)
    if module == "ray.serve" and "ray" in sys.modules:
        monkeypatch.delattr(sys.modules["ray"], "serve", raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(EnvironmentProblem, match=r"pip install 'automl-search\[serve-ray\]'"):
        on_ray.load()


def test_a_node_with_another_version_or_without_the_state_does_not_serve(bundles: Bundles, tmp_path: Path) -> None:
    settings = Settings(str(tmp_path / "state"))
    with pytest.raises(EnvironmentProblem, match="disk that all nodes share"):
        on_ray.application(settings.to_json(), __version__)
    with pytest.raises(EnvironmentProblem, match=r"was started by 0\.0\.0"):
        on_ray.application(settings.to_json(), "0.0.0")


def test_an_address_that_others_reach_needs_keys_with_ray_too(bundles: Bundles, tmp_path: Path) -> None:
    given = ["serve", str(bundles["flowers"]), "--ray", "--host", "0.0.0.0", "--state", str(tmp_path)]
    done = CliRunner().invoke(app, given)
    assert done.exit_code != 0
    assert "needs keys" in str(done.exception)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Client:
    """Asks for ever, and asks again where an answer does not come, as a client of a server with replicas does."""

    def __init__(self, address: str, key: str) -> None:
        self.address, self.headers = address, {"authorization": f"Bearer {key}"}
        self.rows = json.loads(flowers(40).drop(columns="kind").to_json(orient="records"))
        self.right: list[Any] = []
        self.wrong: list[Any] = []
        self.asked = self.again = 0
        self.done = asyncio.Event()

    async def ask(self, talking: httpx.AsyncClient, k: int) -> Any:
        for _ in range(60):
            try:
                answer = await talking.post("/v1/predict", json=[self.rows[k]])
                if answer.status_code == 200:
                    return answer.json()["predictions"][0]
                assert answer.status_code >= 500, answer.text
            except httpx.TransportError:
                pass
            self.again += 1
            await asyncio.sleep(0.2)
        return None

    async def one(self, first: int) -> None:
        async with httpx.AsyncClient(base_url=self.address, headers=self.headers, timeout=20) as talking:
            for k in range(first, 10**6):
                if self.done.is_set():
                    return
                self.asked += 1
                got = await self.ask(talking, k % 40)
                if got != pytest.approx(self.right[k % 40], rel=1e-5):
                    self.wrong.append((k, got))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_replica_is_killed_and_with_the_clients_retry_no_answer_is_lost(
    bundles: Bundles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    from automl.executors import ray_connect

    settings = Settings(str(tmp_path / "state"), port=free_port(), keys=True)
    key = Keys(settings.folder / "keys.json").new()
    sources = [Source("prices", None, bundles["prices"])]
    store = adopt(settings, sources)
    ray = ray_connect.load()
    assert ray_connect.connect(ray, "local", insecure=False, cpus=3)
    try:
        with ray_connect.quiet(ray), on_ray.running(settings, sources, store, Replicas.of("2")):
            client = Client(f"http://127.0.0.1:{settings.port}", key)
            asyncio.run(under_fire(ray, client))
    finally:
        ray_connect.disconnect(ray)
    assert client.wrong == []
    assert client.asked > 100
    assert client.again < client.asked
    print(f"{client.asked} questions, {client.again} asked again, {len(client.wrong)} lost or wrong")


async def under_fire(ray: Any, client: Client) -> None:
    """Clients that ask while a replica is killed and another takes its place."""
    async with httpx.AsyncClient(base_url=client.address, timeout=20) as talking:
        assert (await talking.post("/v1/predict", json=client.rows)).status_code == 401
        talking.headers.update(client.headers)
        answer = await talking.post("/v1/predict", json=client.rows)
        assert answer.headers.get_list("content-security-policy")
        client.right = answer.json()["predictions"]
        assert len(set(client.right)) > 30
        asking = [asyncio.create_task(client.one(10 * k)) for k in range(4)]
        before = await asyncio.to_thread(replicas, ray)
        assert len(before) == 2
        await asyncio.sleep(1)
        ray.kill(ray.get_actor(before.pop(), namespace="serve"))
        for _ in range(240):
            await asyncio.sleep(0.25)
            if len(now := await asyncio.to_thread(replicas, ray)) == 2 and now != before:
                break
        assert now - before, "no replica has taken its place"
        assert len(now) == 2
        await asyncio.sleep(1)
        client.done.set()
        await asyncio.gather(*asking)
        status = (await talking.get("/v1/status")).json()
        assert status["models"][0]["name"] == "prices"


def replicas(ray: Any) -> set[str]:
    """The names of the replicas' actors that live."""
    return {
        one["name"]
        for one in ray.util.list_named_actors(all_namespaces=True)
        if one["name"].startswith("SERVE_REPLICA")
    }
