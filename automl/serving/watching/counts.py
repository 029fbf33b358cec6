"""What a worker process counts. All counts of all workers add up: a tree of numbers, lists and dicts of them."""

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automl.core import files
from automl.serving.models.served import Ready, Served
from automl.serving.watching.drift import Drift, references_of

if TYPE_CHECKING:
    from torch import Tensor

Tree = dict[str, Any]
LATENCIES_MS = (0.5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1000, 2000, 5000, 10000)
"""Upper ends of the classes of latency; one more has the rest."""
SECONDS = 300
"""So many past seconds have counts of their own."""
TOGETHER = 512
"""Rows are counted when this number is waiting, or once a second."""
SPREAD = 4.0
"""Predicted values are counted in classes up to so many standard units on both sides of the training's mean."""
VALUE_BINS = 16


def added(first: Any, second: Any) -> Any:
    """The sum of two trees; what is in one of them only is taken as it is."""
    if isinstance(first, dict):
        return {
            key: added(first[key], second[key]) if key in first and key in second else first.get(key, second.get(key))
            for key in {**first, **second}
        }
    if isinstance(first, list):
        return [added(a, b) for a, b in zip(first, second, strict=True)] if len(first) == len(second) else second
    return first + second


class Watched:
    """The counts of one version of a model."""

    def __init__(self, served: Served, window: int, false_alarms: float) -> None:
        self.served, self.window = served, window
        self.drift = Drift(references_of(served.preparation), false_alarms)
        inputs = len(self.drift.references)
        self.unseen, self.missing, self.outside = (np.zeros(inputs, dtype=np.int64) for _ in range(3))
        self.categories = np.array([one is not None and not one.ordered for one in self.drift.references], dtype=bool)
        self.edges = value_edges(served)
        bins = len(self.edges) + 1 if self.edges is not None else len(served.classes or ())
        self.predicted = np.zeros(bins, dtype=np.int64)
        self.rows = self.requests = self.disagreed = self.compared = 0
        self.now, self.last, self.alarms, self.windows = self.drift.empty(), self.drift.empty(), 0, 0
        self._waiting: list[tuple[Ready, Tensor]] = []
        self._rows_waiting = self._rows_now = 0
        self._soon = False

    def add(self, ready: Ready, outputs: "Tensor") -> None:
        """Count the rows of one answered request a little later; called in the event loop."""
        self.requests += 1
        self.rows += len(ready)
        self._waiting.append((ready, outputs))
        self._rows_waiting += len(ready)
        if self._rows_waiting >= TOGETHER and not self._soon:
            self._soon = True
            asyncio.get_running_loop().call_soon(self.flush)  # the answer goes first

    def flush(self) -> None:
        """Count what waits."""
        self._soon = False
        waiting, self._waiting, self._rows_waiting = self._waiting, [], 0
        for _, outputs in waiting:
            self._predictions(outputs)
        raws = [ready.raw for ready, _ in waiting if ready.raw is not None]
        if not raws or not self.drift.references:
            return
        raw = np.concatenate(raws)
        outside = [ready.outside.sum(axis=0) for ready, _ in waiting if ready.outside is not None]
        self.missing += np.isnan(raw).sum(axis=0)
        self.unseen += ((raw == 0) & self.categories).sum(axis=0)
        self.outside += np.sum(outside, axis=0, dtype=np.int64) if outside else 0
        self._windows(raw)

    def _predictions(self, outputs: "Tensor") -> None:
        if self.served.kind == "classification":
            self.predicted += np.bincount(outputs.argmax(-1).numpy(), minlength=len(self.predicted))
        elif self.edges is not None:
            values = np.asarray(self.served.model.decoded(outputs), dtype=np.float64).ravel()
            self.predicted += np.bincount(np.searchsorted(self.edges, values), minlength=len(self.predicted))

    def _windows(self, raw: NDArray[np.float64]) -> None:
        at = 0
        while at < len(raw):
            piece = raw[at : at + self.window - self._rows_now]
            at += len(piece)
            self._rows_now += len(piece)
            self.now = added(self.now, self.drift.counted(piece))
            if self._rows_now == self.window:
                self.windows += 1
                self.alarms += any(finding.alarm for finding in self.drift.findings(self.now))
                self.last, self.now, self._rows_now = self.now, self.drift.empty(), 0

    def tree(self) -> Tree:
        """All counts."""
        self.flush()
        return {
            "requests": self.requests, "rows": self.rows, "predicted": self.predicted.tolist(),
            "missing": self.missing.tolist(), "unseen": self.unseen.tolist(), "outside": self.outside.tolist(),
            "last": self.last, "now": self.now, "windows": self.windows, "alarms": self.alarms,
            "compared": self.compared, "disagreed": self.disagreed,
        }  # fmt: skip


def value_edges(served: Served) -> NDArray[np.float64] | None:
    """The edges of the classes of predicted values; None where none are predicted."""
    target = served.preparation.get("target", {})
    if served.kind != "regression" or "scale" not in target:
        return None
    center, scale = float(np.mean(target["center"])), float(np.mean(target["scale"]))
    return center + scale * np.linspace(-SPREAD, SPREAD, VALUE_BINS + 1)


class Counts:
    """All counts of a worker process.

    Args:
        window, false_alarms: of the tests for drift.
        clock: the time in seconds since 1970.
    """

    def __init__(self, window: int, false_alarms: float, clock: Callable[[], float] = time.time) -> None:
        self.window, self.false_alarms, self.clock = window, false_alarms, clock
        self.models: dict[str, Watched] = {}
        self.latency = [0] * (len(LATENCIES_MS) + 1)
        self.latency_s = 0.0
        self.statuses: dict[str, int] = {}
        self.codes: dict[str, int] = {}
        self.seconds: dict[str, list[float]] = {}
        self.queue = {"rows": 0, "batches": 0, "computed": 0}

    def of(self, served: Served) -> Watched:
        """The counts of a version."""
        key = f"{served.name}@{served.version}"
        known = self.models.get(key)
        if known is None or known.served.digest != served.digest:
            known = self.models[key] = Watched(served, self.window, self.false_alarms)
        return known

    def keep(self, versions: Iterable[Served]) -> None:
        """Forget all other versions, so that their memory is free."""
        kept = {f"{served.name}@{served.version}" for served in versions}
        for key in [key for key in self.models if key not in kept]:
            del self.models[key]

    def request(self, status: int, code: str, seconds: float, rows: int, *, predicted: bool) -> None:
        """Count one request; latency is that of predictions alone."""
        self.statuses[str(status)] = self.statuses.get(str(status), 0) + 1
        if code:
            self.codes[code] = self.codes.get(code, 0) + 1
        if not predicted:
            return
        self.latency[int(np.searchsorted(LATENCIES_MS, 1000 * seconds))] += 1
        self.latency_s += seconds
        second = self.seconds.setdefault(str(int(self.clock())), [0, 0, 0, 0.0])
        second[0] += 1
        second[1] += status >= 400
        second[2] += rows
        second[3] += seconds

    def tree(self) -> Tree:
        """All counts; old seconds are left out."""
        first = int(self.clock()) - SECONDS
        for second in [s for s in self.seconds if int(s) < first]:
            del self.seconds[second]
        return {
            "models": {key: watched.tree() for key, watched in self.models.items()}, "latency": self.latency,
            "latency_s": self.latency_s, "statuses": self.statuses, "codes": self.codes, "seconds": self.seconds,
            "queue": self.queue,
        }  # fmt: skip


def write(file: Path, counts: bytes) -> None:
    """Leave a worker's counts, as JSON, where the others find them."""
    file.parent.mkdir(parents=True, exist_ok=True)
    files.write(file, counts)


def of_all(folder: Path, own: Path, counts: Tree) -> Tree:
    """The sum of this worker's counts and of those that the others left in `folder`, also before they ended."""
    total = counts
    for file in sorted(folder.glob("*.json")):
        if file != own:
            total = added(total, json.loads(file.read_bytes()))
    return total
