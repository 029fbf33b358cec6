"""Nodes of a Ray cluster are drained and killed at random while a search runs: it ends where an inline one does.

    python -m automl.testing.stress.cluster --trials 40 --events 4

Three raylets on this machine, each with room for one worker, beside a head without. At each event one of them is warned
and then taken away, or killed, and another one joins. At the end no trial may be missing, and configs, states and
curves must equal those of an inline search. Prints the driver's share of a core. Needs the extra `ray`.
"""

import argparse
import random
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from automl.core.space import Float
from automl.driver.driver import Driver
from automl.driver.executor import Executor
from automl.executors import ray_connect
from automl.executors.clusters.drain import drain
from automl.executors.inline import Inline
from automl.executors.ray_cluster import RayCluster
from automl.study.study import Study
from automl.tasks.function import FunctionTask
from automl.worker.trial import Trial

NODES = 3
STEPS = 5
CALM_S = (2.0, 5.0)  # between two events
LEAVES_S = 3.0  # from a warning until the node is taken away


def bowl(trial: Trial, step_s: float = 0.0) -> None:
    """Five steps with checkpoints."""
    trial.load()
    for step in trial.steps(STEPS):
        time.sleep(step_s)
        trial.report(loss=(trial["x"] - 0.3) ** 2 + 1 / step)
        trial.save({})


def slow_bowl(trial: Trial) -> None:
    """The same, 0.2 s a step."""
    bowl(trial, 0.2)


class NodeFailures(threading.Thread):
    """Takes nodes away and lets others join, at times that the seed decides."""

    def __init__(self, cluster: Any, events: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.cluster, self.events, self.random = cluster, events, random.Random(seed)
        self.nodes = [cluster.add_node(num_cpus=1) for _ in range(NODES)]
        self.over = threading.Event()
        self.warned = self.killed = 0

    def run(self) -> None:
        """Until the search is over, or as many events have been."""
        for _ in range(self.events):
            if self.over.wait(self.random.uniform(*CALM_S)):
                return
            node = self.nodes.pop(self.random.randrange(len(self.nodes)))
            if self.random.random() < 0.5:
                drain(self.cluster.address, node.node_id, 60)
                self.over.wait(LEAVES_S)
                self.warned += 1
            else:
                self.killed += 1
            self.cluster.remove_node(node, allow_graceful=False)
            self.nodes.append(self.cluster.add_node(num_cpus=1))


def searched(task: FunctionTask, executor: Executor, workers: int, path: Path, trials: int) -> Study:
    """A search that is driven to its end."""
    study = Study(
        {"x": Float(0, 1)}, metric="loss", strategy="random", stopper="none", trials=trials, seed=5, path=path,
        deterministic=True, retries=20,
    )  # fmt: skip
    try:
        Driver(study, task, executor, workers).run()
    finally:
        study.close()
    return study


def stress(folder: Path, trials: int, events: int, seed: int) -> list[str]:
    """Run it, print what happened; returns what is wrong, one sentence each."""
    ray = ray_connect.load()
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False}
    cluster: Any = Cluster(initialize_head=True, head_node_args=head, shutdown_at_exit=False)
    try:
        failures = NodeFailures(cluster, events, seed)
        with ray_connect.quiet(ray):
            ray.init(address=cluster.address, log_to_driver=False)
            failures.start()
            began, cpu = time.monotonic(), time.process_time()
            study = searched(
                FunctionTask.of(slow_bowl), RayCluster(address=cluster.address), NODES, folder / "ray", trials
            )
            wall, cpu = time.monotonic() - began, time.process_time() - cpu
            failures.over.set()
            failures.join()
            ray.shutdown()
    finally:
        cluster.shutdown()
    alone = searched(FunctionTask.of(bowl), Inline(), 1, folder / "alone", trials)
    ledger = Study.open(folder / "ray").ledger
    outcomes = [a["outcome"] for t in study.history.trials for a in ledger.attempts(t.number)]
    counted = {name: outcomes.count(name) for name in sorted(set(outcomes))}
    sys.stdout.write(
        f"{trials} trials, {failures.warned} nodes warned, {failures.killed} killed, attempts {counted}, {wall:.0f} s; "
        f"driver {cpu:.1f} s of CPU, {100 * cpu / wall:.1f} % of a core\n"
    )
    return list(_differences(study, alone))


def _differences(study: Study, alone: Study) -> list[str]:
    ours, theirs = ({t.number: (t.state, t.config, t.curve) for t in s.history.trials} for s in (study, alone))
    found = [f"trial {number} is lost" for number in theirs.keys() - ours.keys()]
    found += [f"trial {number} is too many" for number in ours.keys() - theirs.keys()]
    return found + [f"trial {k} differs" for k in ours.keys() & theirs.keys() if ours[k] != theirs[k]]


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--events", type=int, default=4, help="nodes taken away")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        problems = stress(Path(folder), given.trials, given.events, given.seed)
    for problem in problems:
        sys.stdout.write(f"PROBLEM {problem}\n")
    sys.stdout.write(f"{len(problems)} problems\n")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
