"""A history as ranked rows: pure data.

Trials with a value come first, best first; then those that have not reported yet; failed trials stand at the end with
their reason. A stopped trial is ranked by the value it reached (its step stands beside it), but only a trial that ran
its full length can win.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from automl.core.history import History
from automl.core.space import Config
from automl.core.trial import Metric, State, TrialRecord

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One trial on the board; `value` and `curve` as the user reads them (the metric's own direction)."""

    rank: int | None  # None: no value yet, or failed
    trial: int
    state: str  # done, stopped, running, paused, failed
    value: float | None
    step: int
    curve: tuple[tuple[int, float], ...]
    config: Config
    seconds: float | None  # from its first start to its end; None while it runs
    note: str = ""  # why it was stopped or failed
    best: bool = False  # the winner so far
    front: int | None = None  # with several objectives: its front, 1 for those that no other one beats
    values: Mapping[str, float] = field(default_factory=dict)  # with several objectives or limits: all of them

    def to_json(self) -> dict[str, Any]:
        """The row for programs; these names are promised (schema 1)."""
        return {
            "rank": self.rank,
            "trial": self.trial,
            "state": self.state,
            "value": self.value,
            "step": self.step,
            "config": self.config,
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "best": self.best,
            "reason": self.note,
            **({"front": self.front, "values": dict(self.values)} if self.values else {}),
        }


def placed(record: TrialRecord, history: History, *, rank: int | None = None, best: bool = False) -> Row:
    """The row of one trial, with its front and all its values where there are several objectives or limits."""
    made = row(record, history.metric, rank=rank, best=best)
    if not record.vector:
        return made
    return replace(made, front=history.front_of(record.number), values=history.objectives.values(record.vector))


def row(record: TrialRecord, metric: Metric, *, rank: int | None = None, best: bool = False) -> Row:
    """The row of one trial, without its other objectives."""
    note = record.reason
    if record.parent is not None:
        note = "; ".join(filter(None, (note, f"began as trial {record.parent[0]} at step {record.parent[1]}")))
    if record.counted is not None:
        note = "; ".join(filter(None, (note, f"compared at step {record.counted}")))
    if record.failure is not None:
        note = f"{record.failure.kind}: {record.failure.message}" if record.failure.message else record.failure.kind
    failed = record.state is State.FAILED
    return Row(
        rank=None if failed else rank,
        trial=record.number,
        state=record.state.value,
        value=None if record.loss is None else metric.value(record.loss),
        step=record.step,
        curve=tuple((step, metric.value(loss)) for step, loss in record.curve),
        config=record.config,
        seconds=None if record.ended_s is None else max(record.ended_s - record.started_s, 0.0),
        note=note,
        best=best,
    )


def rows(history: History, n: int | None = None, winner: TrialRecord | None = None) -> list[Row]:
    """The first `n` rows of the leaderboard (None: all of them).

    `winner`: the trial to mark as best, where the finalists chose one; None marks `history.best`.
    """
    chosen = winner or history.best  # a copy may be given, so numbers are compared
    best = None if chosen is None else chosen.number
    out = [placed(t, history, rank=k, best=t.number == best) for k, t in enumerate(history.ranked(n), 1)]
    if n is None or len(out) < n:
        rest = [t for t in history.trials if t.loss is None and t.state is not State.FAILED]
        out += [row(t, history.metric) for t in rest + history.failed]
    return out if n is None else out[:n]


def full_length(history: History) -> int | None:
    """Steps of a full trial: `horizon` where it is known, else the steps of the longest trial that is done."""
    return history.plan.horizon or max((t.step for t in history.done), default=None)


@dataclass
class StepSavings:
    """How many steps early stopping saved: done and stopped trials, counted by the step at which they ended."""

    trials_by_step: Counter[int] = field(default_factory=Counter)

    def add(self, record: TrialRecord) -> None:
        """Count a trial that has ended; a failed one is left out."""
        if record.state in (State.DONE, State.STOPPED):
            self.trials_by_step[record.step] += 1

    def share(self, full_length: int | None) -> float | None:
        """The saved share of the steps that all these trials would have taken at `full_length` steps each; None where
        the full length is not known or no trial was counted."""
        if not full_length or not self.trials_by_step:
            return None
        spent = sum(step * trials for step, trials in self.trials_by_step.items())
        planned = sum(max(full_length, step) * trials for step, trials in self.trials_by_step.items())
        return 1 - spent / planned


def saved_share(history: History) -> float | None:
    """The share of the steps of ended trials that early stopping saved; None where a full length is not known."""
    savings = StepSavings()
    for record in history.trials:
        savings.add(record)
    return savings.share(full_length(history))


@dataclass(frozen=True)
class RankedRows:
    """Rows, and what is needed to show them as a table."""

    rows: Sequence[Row]
    metric: Metric
    horizon: int | None = None  # steps of a full trial
    trials: int = 0  # of the whole study
    columns: Sequence[str] = field(default_factory=tuple)  # hyperparameters, the most important first
