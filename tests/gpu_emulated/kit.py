"""A machine with GPUs, and memory that runs out, without either of them."""

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from automl import data
from automl.core.messages import Assign, Assignment, Broken, Ended, Event, Order, Ready, Reported, Shutdown, Verdicts
from automl.core.stopper import Kind
from automl.core.trial import Metric
from automl.data.prepared import Prepared
from automl.tasks.builtin import BuiltinTask
from automl.worker.link import Place
from automl.worker.worker import Worker

OURS = str(Path(__file__).resolve().parents[2] / "automl")
DEVICE_FOLDERS = tuple(f"{OURS}/{name}/" for name in ("fused", "training", "metrics"))
"""Code whose tensors lie on the GPU where there is one."""
SMALL = 300
"""Rows of the training part."""
HOST_FILES = ("modules/blueprint.py", "tensors/layout.py")
ON_THE_HOST = ("snapshot", "weights", "train_within_memory")
"""Files and functions whose tensors never do."""
PHASES = ("sizing/probe.py", "sizing/timing.py", "uniform/memory.py", "training/loop/trainer.py")
"""The same line is tried once in each of them."""


@dataclass
class FakeDriver:
    """Hands out trials of these configs, lets all of them go on, and keeps what is reported."""

    configs: list[dict[str, Any]]
    given: int = 0
    last: Event | None = None
    ended: dict[int, tuple[str, str]] = field(default_factory=dict)  # trial -> outcome, kind of failure
    messages: dict[int, str] = field(default_factory=dict)
    metrics: dict[int, dict[int, dict[str, float]]] = field(default_factory=dict)  # trial -> step -> metrics
    broken: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)

    def send(self, event: Event) -> None:
        self.last = event
        match event:
            case Ended():
                assert event.trial not in self.ended
                self.ended[event.trial] = (event.outcome.value, event.failure.kind if event.failure else "")
                self.messages[event.trial] = event.failure.message if event.failure else ""
            case Broken():
                self.broken.append(str(event.error))
            case Reported():
                self.advice += event.advice
                for point in event.points:
                    self.metrics.setdefault(point.trial, {})[point.step] = dict(point.metrics)

    def receive(self) -> Order:
        event = self.last
        if isinstance(event, Ready):
            count = min(event.lanes, len(self.configs) - self.given)
            if not count:
                return Assign(()) if event.busy else Shutdown()
            first, self.given = self.given, self.given + count
            return Assign(tuple(Assignment(k, self.configs[k], 1, k, 0) for k in range(first, self.given)))
        assert isinstance(event, Reported)
        return Verdicts({point.trial: Kind.CONTINUE for point in event.points}, frozenset())

    def leaderboard(self) -> list[tuple[int, float]]:
        return sorted((t, steps[max(steps)]["val_loss"]) for t, steps in self.metrics.items())


@lru_cache
def small_digits() -> Prepared:
    """The digits with few rows."""
    whole = data.load("digits", seed=0)
    return replace(whole, train=whole.train.head(SMALL), val=whole.val.head(100))


def searched(configs: list[dict[str, Any]], *, fuse: str = "auto", epochs: int = 2, **recipe: Any) -> FakeDriver:
    """One worker's part of a search on the digits, in this process, with what its driver was told."""
    driver = FakeDriver(configs)
    recipe.setdefault("sent", small_digits())
    given = {"model": "mlp", "data": "digits", "epochs": epochs, "metric": Metric("val_loss"), "fuse": fuse, **recipe}
    Worker(Place(0, ("cpu",), None), driver).work(BuiltinTask(**given))
    return driver


def oom(*_: object, **__: object) -> Any:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


def place_of_caller() -> str:
    """The innermost line of ours that works on the device's tensors while lanes are served: "fused/report.py:78"."""
    frame: Any = sys._getframe(2)
    found = phase = ""
    while frame is not None:
        name = frame.f_code.co_filename
        if frame.f_code.co_name in ON_THE_HOST and name.startswith(OURS):
            return ""
        if name.endswith(PHASES):
            phase = frame.f_code.co_filename.rpartition("/")[2]
        if not found and name.startswith(OURS):
            found = f"{name[len(OURS) + 1 :]}:{frame.f_lineno}"
            if not name.startswith(DEVICE_FOLDERS) or name.endswith(HOST_FILES):
                return ""
        if name.endswith("tasks/lane_loop.py"):
            return f"{found} {phase}"
        frame = frame.f_back
    return ""


class Allocations(TorchDispatchMode):
    """Sees every operation that makes a tensor; lets the first one at the place `fails` run out of memory, once."""

    def __init__(self, fails: str = "") -> None:
        super().__init__()
        self.fails, self.places, self.failed = fails, {}, False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.failed or func.is_view or func.overloadpacket.__name__.endswith("_"):
            return func(*args, **(kwargs or {}))
        place = place_of_caller()
        if place:
            self.places.setdefault(place, func.overloadpacket.__name__)
            if place == self.fails:
                self.failed = True
                oom()
        return func(*args, **(kwargs or {}))


@contextmanager
def patched(target: object, name: str, value: object) -> Iterator[None]:
    before = getattr(target, name)
    setattr(target, name, value)
    try:
        yield
    finally:
        setattr(target, name, before)


def told(action: Callable[[], object]) -> str:
    """The last lines of what an action raises; empty where it does not."""
    try:
        action()
    except BaseException as error:
        return "".join(traceback.format_exception(error))[-2000:]
    return ""
