"""No trial reaches the next one in its worker: each finds the process as the first one found it."""

import os
import random
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from automl.worker.trial import Trial
from tests.failures.kit import search


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


CHANGES: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
    "gradient mode": (lambda: torch.set_grad_enabled(False), torch.is_grad_enabled),
    "default dtype": (lambda: torch.set_default_dtype(torch.float64), torch.get_default_dtype),
    "default device": (lambda: torch.set_default_device("meta"), lambda: str(torch.get_default_device())),
    "threads": (lambda: torch.set_num_threads(torch.get_num_threads() + 1), torch.get_num_threads),
    "numpy's error state": (lambda: np.seterr(all="raise"), np.geterr),
    "warnings": (lambda: warnings.filterwarnings("ignore", message="never"), lambda: list(warnings.filters)),
    "arguments": (lambda: sys.argv.append("--lr=3"), lambda: list(sys.argv)),
    "umask": (lambda: os.umask(0o077 if _umask() != 0o077 else 0o022), _umask),
    "environment": (lambda: os.environ.update(LEFT_BEHIND="1"), lambda: dict(os.environ)),
    "recursion": (lambda: sys.setrecursionlimit(5000), sys.getrecursionlimit),
    "algorithms": (lambda: torch.use_deterministic_algorithms(True), torch.are_deterministic_algorithms_enabled),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_trial_changes_ends_with_it(name: str, tmp_path: Path) -> None:
    change, look = CHANGES[name]
    found: list[object] = []

    def train(trial: Trial) -> None:
        found.append(look())
        change()
        assert look() != found[-1], "the test changes nothing"
        trial.report(loss=1.0)

    before = look()
    from automl.core.messages import Assignment
    from automl.tasks.function import FunctionSession
    from automl.worker.link import Place, Recorder

    session = FunctionSession(train)
    for seed in range(3):
        session.run(Trial(Assignment(seed, {}, 1, seed), Place(), Recorder()))
    assert [*found, look()] == [before] * 4


def lasting(trial: Trial) -> None:
    """The second trial's soft limit of the file size cannot be raised again: its worker is replaced."""
    import resource

    limits = resource.getrlimit(resource.RLIMIT_CORE)
    if trial.number == 1:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    trial.report(loss=float(limits[1] == 0), process=os.getpid())


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits of that kind")
def test_a_worker_that_cannot_be_set_back_is_replaced(tmp_path: Path) -> None:
    import resource

    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0 or os.geteuid() == 0:
        pytest.skip("the limit is 0 already, or this user may raise it again")
    study = search(lasting, tmp_path / "s", executor="local", workers=1, trials=4)
    assert [t.loss for t in study.history.trials] == [0.0] * 4
    processes = [study.reports(n)[0][1]["process"] for n in range(4)]
    assert processes[0] == processes[1] != processes[2] == processes[3]


def imports_inside(trial: Trial) -> None:
    import numpy as np
    import torch

    for _ in trial.steps(2):
        drawn = random.random() + float(np.random.rand()) + float(torch.rand(()))  # noqa: NPY002
        trial.report(loss=drawn + float(torch.nn.Linear(3, 1).weight.detach().sum()))


def test_the_same_seed_gives_the_same_values_everywhere(tmp_path: Path) -> None:
    def curves(name: str, **options: object) -> list[object]:
        given = {"executor": "local", "workers": 1, **options}
        return [t.curve for t in search(imports_inside, tmp_path / name, **given).history.trials]

    first = curves("one worker")
    assert len({str(curve) for curve in first}) == 6
    assert curves("fresh processes", isolation="process") == first
    assert curves("four workers", workers=4) == first
    assert curves("in this process", executor="inline") == first
    search(imports_inside, tmp_path / "resumed", executor="local", workers=1, trials=2)
    assert curves("resumed") == first
