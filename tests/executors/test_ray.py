"""The Ray executor keeps the executors' contract; a search outlives a node that goes and uses one that comes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from automl.core.space import Float
from automl.core.trial import Metric, TrialRecord
from automl.driver.driver import Driver
from automl.driver.executor import Executor
from automl.driver.screen import NullScreen
from automl.errors import EnvironmentProblem, TaskError
from automl.executors import ray_connect
from automl.executors.clusters.drain import drain
from automl.executors.inline import Inline
from automl.executors.ray_cluster import RayCluster
from automl.study.study import Study
from automl.tasks.builtin import BuiltinTask
from automl.tasks.function import FunctionTask
from automl.testing.executors import ExecutorContract
from automl.worker.trial import Trial

ray = pytest.importorskip("ray", reason="Ray is an optional extra: pip install 'automl-search[ray]'")
pytestmark = pytest.mark.slow

SPACE = {"x": Float(0, 1)}


def python(code: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """A program of its own, with these variables in its environment."""
    environment = {**os.environ, **variables}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="class")
def alone() -> Iterator[None]:
    """A Ray of this machine that believes in two GPUs, started once for the tests that use it."""
    ray_connect.load()
    with ray_connect.quiet(ray):
        options = {"num_cpus": 4, "num_gpus": 2, "include_dashboard": False, "log_to_driver": False}
        ray_connect.patiently(lambda: ray.init(address="local", **options))
        yield
        ray.shutdown()


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A cluster of node processes on this machine; its head has no room for workers, and the driver belongs to it."""
    from ray.cluster_utils import Cluster

    assert not ray.is_initialized()
    head = {"num_cpus": 0, "include_dashboard": False}
    made = ray_connect.patiently(lambda: Cluster(initialize_head=True, head_node_args=head))
    with ray_connect.quiet(ray):
        ray.init(address=made.address, log_to_driver=False)
        yield made
    ray.shutdown()
    made.shutdown()


def drive(train: Callable[[Trial], None], executor: Executor, workers: int, path: Path, **options: Any) -> Study:
    screen = options.pop("screen", None)
    study = Study(SPACE, **{"metric": "loss", "strategy": "random", "trials": 9, "seed": 5, "path": path, **options})
    try:
        Driver(study, FunctionTask.of(train), executor, workers, screen).run()
    finally:
        study.close()
    return study


def finished(study: Study) -> list[tuple[object, ...]]:
    return [(t.number, t.state, t.config, t.curve) for t in study.history.trials]


def places(trial: Trial) -> None:
    """Leaves a note of the GPUs it was given."""
    assert trial.folder is not None
    trial.folder.mkdir(parents=True)
    given = ",".join(map(str, ray.get_gpu_ids()))
    (trial.folder / "place").write_text(f"{trial.devices} {given}")
    for step in trial.steps(3):
        signal.sigtimedwait([], 0.1)
        trial.report(loss=1.0 / step)


@pytest.mark.usefixtures("alone")
class TestRay(ExecutorContract):
    executor = staticmethod(lambda: RayCluster(gpus=0))
    os_exit = "its process died"

    def test_a_trial_may_have_two_gpus(self, tmp_path: Path) -> None:
        drive(places, RayCluster(gpus=2), 0, tmp_path / "s", trials=2)
        notes = [file.read_text() for file in sorted(tmp_path.glob("s/trials/*/place"))]
        assert notes == ["('cuda:0', 'cuda:1') 0,1"] * 2

    def test_workers_that_share_gpus_are_spread_over_them(self, tmp_path: Path) -> None:
        executor = RayCluster(gpus=0.5, cpus=0.5)
        study = Study(SPACE, metric="loss", trials=16, path=tmp_path / "s")
        driver = Driver(study, FunctionTask.of(places), executor)
        driver.run()
        study.close()
        assert len(driver.workers) == 4, "two workers for each of two GPUs"
        given = [file.read_text().split()[-1] for file in tmp_path.glob("s/trials/*/place")]
        assert set(given) == {"0", "1"}

    def test_more_than_there_is_is_refused_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(EnvironmentProblem, match="can hold a worker with 1 CPUs and 8 GPUs"):
            drive(places, RayCluster(gpus=8), 1, tmp_path / "s")

    def test_described_task_needs_no_data_files_on_the_nodes(self, tmp_path: Path) -> None:
        table = tmp_path / "t.csv"
        table.write_text("a,b,y\n" + "".join(f"{k % 7},{k % 5},{'pq'[k % 7 > 3]}\n" for k in range(120)))
        task = BuiltinTask("mlp", str(table), 2, Metric("val_loss"), target="y").with_data()
        table.unlink()
        study = Study({"lr": Float(1e-3, 0.1, log=True)}, metric="val_loss", trials=3, path=tmp_path / "s", horizon=2)
        Driver(study, task, RayCluster(gpus=0), 2).run()
        study.close()
        assert study.counts.done == 3

    def test_what_cannot_be_unpickled_over_there_is_told(self, tmp_path: Path) -> None:
        study = Study(SPACE, metric="loss", trials=2, path=tmp_path / "s")
        with pytest.raises(TaskError, match="no such thing here"):
            Driver(study, Unwilling(), RayCluster(gpus=0), 1).run()
        study.close()


class Unwilling(FunctionTask):
    """A task that cannot be built again in another process."""

    def __init__(self) -> None:
        super().__init__(b"", "")

    def __reduce__(self) -> Any:
        return _refuse, ()


def _refuse() -> None:
    raise RuntimeError("no such thing here")


def nodes_of(study: Path) -> set[str]:
    """Ids of the nodes that have worked on a study's trials."""
    return {file.read_text() for file in study.glob("trials/*/node-*")}


def slow_bowl(trial: Trial) -> None:
    """Five steps with checkpoints; leaves the node's name. Late trials wait until a third node has come.

    One on the node that will be warned waits for that, and has further steps to go then.
    """
    assert trial.folder is not None
    trial.folder.mkdir(parents=True, exist_ok=True)
    (trial.folder / f"node-{trial.attempt}").write_text(ray.get_runtime_context().get_node_id())
    trial.load()
    patience = 300 if trial.number >= 12 else 0
    while patience and len(nodes_of(trial.folder.parent.parent)) < 3:
        signal.sigtimedwait([], 0.1)
        patience -= 1
    here = ray.get_runtime_context().get_node_id()
    doomed, warned = (trial.folder.parents[2] / name for name in ("doomed", "warned"))
    for step in trial.steps(5):
        signal.sigtimedwait([], 0.1)
        patience = 600 if step > 1 and doomed.exists() and doomed.read_text() == here else 0
        while patience and not warned.exists():
            signal.sigtimedwait([], 0.1)
            patience -= 1
        if patience:  # the driver looks for warnings several times a second
            signal.sigtimedwait([], 1.0)
        trial.report(loss=(trial["x"] - 0.3) ** 2 + 1 / step)
        trial.save({})


class Weather(NullScreen):
    """Removes a node once two have worked and three trials have ended, and adds one three trials later."""

    def __init__(self, cluster: Any, node: Any, notes: Callable[[], set[str]], how: str, path: Path) -> None:
        self.cluster, self.node, self.notes, self.how = cluster, node, notes, how
        self.removed = self.added_at = 0
        self.added: Any = None
        self.warned = path / "warned"
        if how == "warned":
            (path / "doomed").write_text(node.node_id)

    def ended(self, study: Study, record: TrialRecord) -> None:
        ended = study.counts.ended
        if not self.removed and ended >= 3 and len(self.notes()) == 2:
            if self.how == "warned":
                drain(self.cluster.address, self.node.node_id, 60)
                self.warned.touch()
            else:
                self.cluster.remove_node(self.node, allow_graceful=self.how == "told to go")
            self.removed = ended
        elif self.removed and self.added is None and ended >= self.removed + 3:
            self.added = self.cluster.add_node(num_cpus=2)


def bowl(trial: Trial) -> None:
    for step in trial.steps(5):
        trial.report(loss=(trial["x"] - 0.3) ** 2 + 1 / step)


@pytest.mark.catalogue(
    27,
    "a node of a Ray cluster is lost, another joins",
    "its trials are tried again elsewhere, late reports of the old attempt are dropped, the new node is used",
    0,
)
@pytest.mark.parametrize("how", ["told to go", "killed", "warned"])
def test_a_node_goes_and_another_comes_while_a_search_runs(cluster: Any, tmp_path: Path, how: str) -> None:
    def nodes() -> set[str]:
        return nodes_of(tmp_path / "ray")

    cluster.add_node(num_cpus=1)
    weather = Weather(cluster, cluster.add_node(num_cpus=1), nodes, how, tmp_path)
    study = drive(slow_bowl, RayCluster(address=cluster.address), 0, tmp_path / "ray", trials=40, screen=weather)
    assert finished(study) == finished(drive(bowl, Inline(), 1, tmp_path / "alone", trials=40))
    assert len(nodes()) == 3, "the one that stayed, the one that went, the one that came"
    assert weather.added.node_id in nodes()
    lost = [t.number for t in study.history.trials if t.attempt > 1]
    assert len(lost) == 1, "the trial of the node that went has had a second attempt"
    told = Study.open(tmp_path / "ray").ledger.attempts(lost[0])
    if how == "warned":  # its step was saved, and no retry is counted
        assert [attempt["outcome"] for attempt in told] == ["paused", "finished"]
        return
    assert [attempt["outcome"] for attempt in told] == ["lost", "finished"]
    reasons = ["its node left the Ray cluster"] if how == "told to go" else ["its node left", "its process died"]
    assert told[0]["details"]["reason"].startswith(tuple(reasons))


OPEN = """
import os, sys
from pathlib import Path
from ray.cluster_utils import Cluster
from automl.errors import EnvironmentProblem
from automl.executors import ray_connect
from automl.executors.ray_cluster import RayCluster
from automl.tasks.function import FunctionTask

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
os.environ["RAY_ADDRESS"] = cluster.address
try:
    try:
        RayCluster().start(FunctionTask(b"", ""), 1, None)
    except EnvironmentProblem as error:
        print(error.exit_code, error)
    executor = RayCluster(insecure=True)
    print(executor.start(FunctionTask(b"", ""), 1, None))
    executor.stop(0.0)
finally:
    cluster.shutdown()
"""


def test_a_cluster_that_lets_everybody_in_is_refused_also_on_this_machine() -> None:
    done = python(OPEN, RAY_AUTH_MODE="disabled")
    assert done.returncode == 0, done.stderr
    refusal, insecure = done.stdout.splitlines()
    assert refusal.startswith("5 the Ray cluster at ")
    assert "lets everybody in" in refusal
    assert insecure == "1"


GUARDED = """
from ray.cluster_utils import Cluster
from automl.executors import ray_connect

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
try:
    print(ray_connect.open_to_all(cluster.address))
finally:
    cluster.shutdown()
"""


def test_a_cluster_that_asks_for_a_token_is_not_open() -> None:
    done = python(GUARDED, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="a" * 64)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "False\n"


def test_nobody_there() -> None:
    with pytest.raises(EnvironmentProblem, match="cannot reach"):
        ray_connect.open_to_all("203.0.113.7:6379", timeout_s=3.0)


SCRIPT = """
import os, signal, sys
import automl

told = []
signal.signal(signal.SIGTERM, lambda *_: told.append("mine"))

def train(trial):
    for step in trial.steps(3):
        trial.report(loss=1.0 / step)
        if trial.number == 1 and trial.attempt == 1:
            os._exit(9)

study = automl.search(train, space={"x": automl.Float(0, 1)}, metric="loss", trials=3, path=sys.argv[1],
                      executor={"name": "ray", "gpus": 0}, workers=2, finalists=None)
import ray
os.kill(os.getpid(), signal.SIGTERM)
print(study.counts.done, ray.is_initialized(), told)
"""


def test_a_ray_of_our_own_begins_and_ends_with_the_search_in_silence(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "s")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "3 False ['mine']"
    assert "raylet" not in done.stdout + done.stderr
