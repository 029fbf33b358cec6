"""What is known of a study's trials: frozen records, and the History that strategies and stoppers read.

Inside a study **lower is better**: the direction of the metric is flipped once, where a report enters
(`Metric.loss`), and once back where a value is shown (`Metric.value`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from automl import metrics
from automl.core.space import Config
from automl.errors import SpecError


class State(StrEnum):
    """Where a trial stands. RUNNING: unfinished (also when its worker died and it waits for its next attempt)."""

    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        return self in (State.DONE, State.STOPPED, State.FAILED)


@dataclass(frozen=True, slots=True)
class Metric:
    """The metric trials are ranked on. `count` says what counts as a trial's value: its last report or its best."""

    name: str
    direction: Literal["minimize", "maximize"] = "minimize"
    count: Literal["last", "best"] = "last"

    @classmethod
    def of(cls, described: "str | Mapping[str, str] | Metric", count: str = "last") -> "Metric":
        """The metric of that name; its direction from the name, where it is a usual one.

        Raises:
            SpecError: the direction of that name is not known, or is none.
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
        """`value` as shown to the user -> lower is better."""
        return -value if self.direction == "maximize" else value

    def value(self, loss: float) -> float:
        """Lower is better -> as shown to the user."""
        return -loss if self.direction == "maximize" else loss


@dataclass(frozen=True, slots=True)
class Plan:
    """What a study may spend, as far as it is known beforehand; None: no such limit."""

    trials: int | None = None  # trials to start
    steps: int | None = None  # steps (epochs) of all trials together
    time_s: float | None = None  # wall time
    horizon: int | None = None  # steps of a full trial
    workers: int = 1  # trials in flight at once


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a trial failed. `kind`: exception, nan, metric, oom, timeout, killed, lost."""

    kind: str
    message: str
    step: int = 0
    traceback: str = ""  # a file below the study's folder


Point = tuple[int, float]  # (step, loss), lower is better


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One trial, as far as it is known.

    `curve` holds (step, loss) by increasing step; `loss` is what the trial is ranked by (see `Metric.count`), None
    before the first report. `order` counts endings: 0 for the trial that ended first, -1 while it has not.
    """

    number: int
    config: Config
    state: State = State.RUNNING
    curve: tuple[Point, ...] = ()
    loss: float | None = None
    reason: str = ""
    failure: Failure | None = None
    order: int = -1
    attempt: int = 1
    resumed: int = 0  # how many of its attempts went on after a pause
    started_s: float = 0.0  # seconds of driven time since the study began
    ended_s: float | None = None
    origin: str = ""  # who suggested it: "default", "user", "" for the strategy

    @property
    def step(self) -> int:
        """The last step reported, 0 before the first."""
        return self.curve[-1][0] if self.curve else 0

    @property
    def retries(self) -> int:
        """How many of its attempts began because the one before was lost, with its worker or its driver."""
        return self.attempt - 1 - self.resumed

    def at(self, step: int) -> float | None:
        """The loss at exactly `step`, None when it was not reported."""
        return next((loss for s, loss in reversed(self.curve) if s == step), None)
