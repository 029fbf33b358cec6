"""The records of a study: one trial, the metric that trials are ranked on, the budget.

Inside a study **lower is better**: a metric that is maximized changes its sign once when a report comes in
(`Metric.loss`), and once more when a value is shown (`Metric.value`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from automl import metrics
from automl.core.space import Config
from automl.errors import SpecError


class State(StrEnum):
    """The state of a trial. RUNNING: not ended; also while it waits for another attempt after its worker died."""

    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether a trial in this state never goes on."""
        return self in (State.DONE, State.STOPPED, State.FAILED)


@dataclass(frozen=True, slots=True)
class Metric:
    """The metric that trials are ranked on.

    Args:
        name: under which trials report it.
        direction: whether lower or higher values are better.
        count: which report counts as the trial's value: the last or the best one.
    """

    name: str
    direction: Literal["minimize", "maximize"] = "minimize"
    count: Literal["last", "best"] = "last"

    @classmethod
    def of(cls, described: "str | Mapping[str, str] | Metric", count: str = "last") -> "Metric":
        """A metric from its name, from `{"name": ..., "direction": ...}`, or from itself.

        Usual names (`val_loss`, `accuracy`, ...) need no direction, see `metrics.direction`.

        Raises:
            SpecError: the direction cannot be told from the name, or direction or count are wrong.
        """
        if isinstance(described, Metric):
            return described
        entries = {"name": described} if isinstance(described, str) else dict(described)
        direction = entries.get("direction") or metrics.direction(entries["name"])
        if direction not in ("minimize", "maximize") or count not in ("last", "best"):
            raise SpecError(
                f"metric: direction is minimize or maximize, value is last or best; got {direction!r}, {count!r}"
            )
        return Metric(entries["name"], direction, count)  # type: ignore[arg-type]

    def loss(self, value: float) -> float:
        """The loss (lower is better) of a `value` as the user knows it."""
        return -value if self.direction == "maximize" else value

    def value(self, loss: float) -> float:
        """The value as the user knows it, of a `loss` (lower is better)."""
        return -loss if self.direction == "maximize" else loss


@dataclass(frozen=True, slots=True)
class Plan:
    """The budget of a study and the length of its trials; None: no such limit, or not known."""

    trials: int | None = None  # how many to begin
    steps: int | None = None  # steps (epochs) of all trials together
    time_s: float | None = None  # seconds of wall time
    horizon: int | None = None  # steps of a full trial
    workers: int = 1  # how many trials run at once
    unit: str = "epoch"  # what a step is called: "epoch" or "step"
    compared_at: int | None = None  # later reports do not count: in an earlier session full trials had another length


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a trial failed. `kind`: exception, nan, metric, oom, disk, device, timeout, killed or lost."""

    kind: str
    message: str
    step: int = 0
    traceback: str = ""  # the file that holds it, relative to the study's folder


@dataclass(frozen=True, slots=True)
class Cost:
    """What training has taken, as far as it was measured.

    Args:
        seconds: of training; of a trial that trained together with others, its share.
        steps: trained in these seconds; 0: not counted.
        peak_gib: memory of the device at its peak; None: not measured.
        joules: energy of the device; None: not measured.
    """

    seconds: float
    steps: int = 0
    peak_gib: float | None = None
    joules: float | None = None

    def plus(self, other: "Cost | None") -> "Cost":
        """The cost of both, one after the other."""
        if other is None:
            return self
        peaks = [peak for peak in (self.peak_gib, other.peak_gib) if peak is not None]
        joules = [some for some in (self.joules, other.joules) if some is not None]
        return Cost(
            self.seconds + other.seconds,
            self.steps + other.steps,
            max(peaks, default=None),
            sum(joules) if joules else None,
        )


Point = tuple[int, float]  # (step, loss), lower is better
Vector = tuple[float, ...]
"""The losses of all objectives, then the values of all limited metrics, each with the sign that makes lower better."""


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """All that is known about one trial. Records are never changed: a change makes a new one."""

    number: int  # 0, 1, 2, ... in the order in which trials began
    config: Config
    state: State = State.RUNNING
    curve: tuple[Point, ...] = ()  # (step, loss) of every report, steps rising
    loss: float | None = None  # what it is ranked by (see `Metric.count`); None before the first report
    reason: str = ""  # why it was stopped or paused
    failure: Failure | None = None
    order: int = -1  # 0 for the trial that ended first, 1 for the next; -1 while it has not ended
    attempt: int = 1  # how many times it was given to a worker
    resumed: int = 0  # how many of its attempts continued it after a pause
    started_s: float = 0.0  # seconds that the search had run when it began, over all sessions of the study
    ended_s: float | None = None  # and when it ended
    origin: str = ""  # who suggested it: "default", "user", "added", "heir:7@12", or "" for the strategy
    counted: int | None = None  # the step of the last report that counts for `loss`, if that is not its last one
    vectors: tuple[Vector, ...] = ()  # one for each point of `curve`, with several objectives or limits; else empty
    vector: Vector = ()  # that of the report that `loss` is of
    cost: Cost | None = None  # of all its attempts so far that have ended; None: not measured
    parent: tuple[int, int] | None = None  # (trial, step) with whose state it began, see `core.strategy.Heir`

    @property
    def step(self) -> int:
        """The last step reported; before the first report 0, or for an heir the step with whose state it begins."""
        return self.curve[-1][0] if self.curve else self.begun_at

    @property
    def begun_at(self) -> int:
        """The step with whose state it began: 0, or that of its parent."""
        return 0 if self.parent is None else self.parent[1]

    @property
    def retries(self) -> int:
        """How many of its attempts began because the worker or the driver of the one before died."""
        return self.attempt - 1 - self.resumed

    def at(self, step: int) -> float | None:
        """The loss reported at exactly `step`, None where there was no such report."""
        return next((loss for s, loss in reversed(self.curve) if s == step), None)


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a training with one config. `until`: its last step; None: to the end of a full trial."""

    config: Config
    until: int | None = None


_ORIGIN = re.compile(r"heir:(\d{1,9})@(\d{1,15})")


def origin_of(parent: tuple[int, int]) -> str:
    """The origin of an heir; `parent`: (trial, step)."""
    return f"heir:{parent[0]}@{parent[1]}"


def parent_of(origin: str) -> tuple[int, int] | None:
    """(trial, step) from which a trial of this origin begins; None for one that is no heir."""
    found = _ORIGIN.fullmatch(origin)
    return None if found is None else (int(found[1]), int(found[2]))


def lineage(trials: Sequence[TrialRecord], trial: int) -> list[TrialRecord]:
    """The trial's ancestors, the first one first, and the trial itself."""
    found = [trials[trial]]
    while (parent := found[-1].parent) is not None:
        found.append(trials[parent[0]])
    return found[::-1]


def schedule_of(trials: Sequence[TrialRecord], trial: int) -> tuple[Stage, ...]:
    """What trained the model of a trial: its config, or those of its ancestors one after the other and then its own."""
    line = lineage(trials, trial)
    ends = [heir.parent[1] for heir in line[1:] if heir.parent is not None]
    return tuple(Stage(record.config, until) for record, until in zip(line, [*ends, None], strict=True))
