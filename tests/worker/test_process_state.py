"""No trial reaches the next one in its worker: each finds the process as the first one found it."""

import csv
import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch

mpl.use("agg")
from matplotlib import pyplot

from automl.worker.process_state import KeptState
from automl.worker.trial import Trial
from tests.failures.kit import search
from tests.worker import importing


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
    "numpy's printing": (lambda: np.set_printoptions(precision=1), lambda: np.get_printoptions()["precision"]),
    "garbage": (lambda: gc.callbacks.append(print), lambda: list(gc.callbacks)),
    "hooks": (lambda: setattr(sys, "unraisablehook", print), lambda: sys.unraisablehook),
    "digits": (lambda: sys.set_int_max_str_digits(1000), sys.get_int_max_str_digits),
    "tracebacks": (lambda: setattr(sys, "tracebacklimit", 0), lambda: vars(sys).get("tracebacklimit")),
    "blocked signals": (
        lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]),
        lambda: signal.pthread_sigmask(signal.SIG_BLOCK, []),
    ),
    "handlers of signals": (
        lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
        lambda: signal.getsignal(signal.SIGTERM),
    ),
    "folder": (lambda: os.chdir("/"), os.getcwd),
    "logging": (
        lambda: [
            logging.basicConfig(level=7, force=True),
            logging.getLogger("a.b").addFilter(bool),
            logging.disable(40),
        ],
        lambda: (
            logging.root.level,
            list(logging.root.handlers),
            list(logging.getLogger("a.b").filters),
            logging.root.manager.disable,
        ),
    ),
    "names of levels": (lambda: logging.addLevelName(33, "ODD"), lambda: logging.getLevelName(33)),
    "csv": (lambda: csv.field_size_limit(10), csv.field_size_limit),
    "pandas": (lambda: pd.set_option("display.max_rows", 3), lambda: pd.get_option("display.max_rows")),
    "figures": (lambda: pyplot.figure(), pyplot.get_fignums),
    "matplotlib": (lambda: pyplot.rc("lines", linewidth=9), lambda: pyplot.rcParams["lines.linewidth"]),
    "how tensors are shared": (
        lambda: torch.multiprocessing.set_sharing_strategy("file_system"),
        torch.multiprocessing.get_sharing_strategy,
    ),
    "attention": (lambda: torch.backends.cuda.enable_math_sdp(False), torch.backends.cuda.math_sdp_enabled),
    "mkldnn": (lambda: setattr(torch.backends.mkldnn, "enabled", False), lambda: torch.backends.mkldnn.enabled),
    "traces of threads": (lambda: threading.setprofile(lambda *a: None), threading.getprofile),
    "algorithms": (lambda: torch.use_deterministic_algorithms(True), torch.are_deterministic_algorithms_enabled),
}


@pytest.mark.catalogue(
    38, "training code changes settings of Python or of a library", "the next trial finds them as they were", 0
)
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


def test_what_cannot_be_set_back_is_told() -> None:
    state = KeptState()
    state.values["the current folder"] = "/it/is/gone"
    assert state.restore() == ["the current folder"]


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


IN_A_THREAD = """
import sys, threading
from automl.worker.randomness import seeded
drawn = []
def draw():
    import numpy
    drawn.append(float(numpy.random.rand()))
with seeded(5):
    thread = threading.Thread(target=draw)
    thread.start()
    thread.join()
import numpy
assert drawn == [float(numpy.random.RandomState(5).rand())], drawn
"""


def test_a_library_that_a_thread_imports_begins_at_the_seed() -> None:
    subprocess.run([sys.executable, "-c", IN_A_THREAD], check=True)


@pytest.mark.catalogue(
    8,
    "a worker is killed; the next attempt imports numpy or torch after it has loaded its checkpoint",
    "random numbers go on where they were",
    0,
)
@pytest.mark.slow
def test_numbers_go_on_in_a_library_that_is_imported_after_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sets of texts have one order in all workers, too."""
    curves = []
    for kill in ("", "1"):
        monkeypatch.setenv("KILL", kill)
        study = search(importing.later, tmp_path / f"s{kill}", executor="local", workers=1, trials=2)
        curves.append([t.curve for t in study.history.trials])
    assert curves[0] == curves[1]
    assert study.history.trials[1].attempt == 2


@pytest.mark.parametrize(
    "train", [importing.with_numpy, pytest.param(importing.with_torch, marks=pytest.mark.slow)], ids=["numpy", "torch"]
)
def test_the_same_seed_gives_the_same_values_everywhere(train: Callable[[Trial], None], tmp_path: Path) -> None:
    def curves(name: str, **options: object) -> list[object]:
        given = {"executor": "local", "workers": 1, "trials": 3, **options}
        return [t.curve for t in search(train, tmp_path / name, **given).history.trials]

    first = curves("one worker")
    assert len({str(curve) for curve in first}) == 3
    assert curves("fresh processes", isolation="process") == first
    assert curves("three workers", workers=3) == first
    assert curves("in this process", executor="inline") == first
    search(train, tmp_path / "resumed", executor="local", workers=1, trials=1)
    assert curves("resumed") == first
