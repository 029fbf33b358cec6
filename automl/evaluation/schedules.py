"""Trials that were trained by several configs, one after the other, are trained again in the same parts.

The winner of `pbt` is an heir: the model comes from a schedule of hyperparameters, that of its ancestors and then its
own. On a fresh seed the first part is a trial that pauses at the step at which its heir began; the next part is an heir
of that, and so on, so that every part runs where and how the search's trials do.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from automl.core.history import History
from automl.core.space import Config
from automl.core.stopper import CONTINUE, Kind, Stopper, Verdict
from automl.core.strategy import Heir, Strategy
from automl.core.trial import Stage, State, TrialRecord, lineage, schedule_of

Schedule = tuple[Stage, ...]


def key(schedule: Sequence[Stage]) -> str:
    """A text that is the same for the same schedule."""
    return json.dumps([[stage.config, stage.until] for stage in schedule], sort_keys=True)


def beginnings(schedule: Schedule) -> Iterator[Schedule]:
    """What has trained the trials that a schedule is repeated with: its first part, its first two, ..., all."""
    for k, stage in enumerate(schedule):
        yield (*schedule[:k], Stage(stage.config))


@dataclass(frozen=True)
class Repeat(Strategy):
    """Strategy that trains every schedule `seeds` times: first all schedules once, then all a second time, and so on.

    What has begun already is not begun again. Schedules of several stages need `Parts` as the stopper.

    Attributes:
        schedules: each a sequence of stages (config, last step of the stage).
        seeds: how many trials each schedule gets; each trial has a seed of its own.
    """

    schedules: tuple[Schedule, ...]
    seeds: int

    @classmethod
    def of(cls, configs: Sequence[Config], seeds: int) -> "Repeat":
        """Schedules of one stage each: every config trains from the first to the last step."""
        return cls(tuple((Stage(config),) for config in configs), seeds)

    @property
    def in_parts(self) -> bool:
        """Whether any schedule has several parts."""
        return any(len(schedule) > 1 for schedule in self.schedules)

    def suggest(self, history: History, n: int) -> list[Config]:
        next_parts: list[Config] = [Heir(self.schedules[i][j + 1].config, of) for of, i, j in self.waiting(history)]
        return [*next_parts, *self._to_begin(history)][:n]

    def count(self, history: History) -> int:
        """How many trials can begin now."""
        return sum(1 for _ in self.waiting(history)) + len(self._to_begin(history))

    def left(self, history: History) -> int:
        """How many runs are not complete, or not begun."""
        return len(self._to_begin(history)) + len(history.running) + sum(1 for _ in self.waiting(history))

    def waiting(self, history: History) -> Iterator[tuple[int, int, int]]:
        """(trial, schedule, part) of those that are paused because another part follows, whose heirs have not begun."""
        begun = {t.parent[0] for t in history.trials if t.parent is not None}
        for record in history.paused:
            place = self.place(history, record)
            if place is not None and record.number not in begun and record.step == self._until(*place):
                yield record.number, *place

    def place(self, history: History, record: TrialRecord) -> tuple[int, int] | None:
        """(schedule, part) that a trial trains; None for one of another session, with other schedules."""
        part = len(lineage(history.trials, record.number)) - 1
        sharing, before = self._sharing(history, record)
        schedule = sharing[before % len(sharing)] if sharing else -1
        return (schedule, part) if sharing and part < len(self.schedules[schedule]) else None

    def seed(self, history: History, record: TrialRecord) -> int:
        """With which of the fresh seeds a trial is trained, from 0: the k-th time of each schedule has the k-th one."""
        sharing, before = self._sharing(history, record)
        return before // max(1, len(sharing))

    def _sharing(self, history: History, record: TrialRecord) -> tuple[list[int], int]:
        """The schedules that begin as a trial's does, and how many trials have begun so before."""
        first = lineage(history.trials, record.number)[0]
        of = _text(first.config)
        sharing = [i for i, schedule in enumerate(self.schedules) if _text(schedule[0].config) == of]
        return sharing, sum(t.parent is None and _text(t.config) == of for t in history.trials[: first.number])

    def _until(self, schedule: int, part: int) -> int | None:
        return self.schedules[schedule][part].until

    def _to_begin(self, history: History) -> list[Config]:
        """The first parts that have not begun."""
        begun = [_text(t.config) for t in history.trials if t.parent is None]
        missing = []
        for k in range(self.seeds):
            for i, schedule in enumerate(self.schedules):
                first = _text(schedule[0].config)
                earlier = [_text(other[0].config) for other in self.schedules[:i]].count(first)
                sharing = [_text(other[0].config) for other in self.schedules].count(first)
                if begun.count(first) <= k * sharing + earlier:
                    missing.append(schedule[0].config)
        return missing


@dataclass(frozen=True)
class Parts(Stopper):
    """A trial pauses at the end of its part of a schedule, if another part follows."""

    repeat: Repeat

    def verdict(self, history: History, trial: int) -> Verdict:
        record = history.trials[trial]
        place = self.repeat.place(history, record)
        if place is None or record.step != self.repeat.schedules[place[0]][place[1]].until:
            return CONTINUE
        return Verdict(Kind.PAUSE, f"from step {record.step} on with other hyperparameters")

    def drop(self, history: History) -> Mapping[int, str]:
        after = {t.parent[0]: t.number for t in history.trials if t.parent is not None}
        return {t.number: f"went on as trial {after[t.number]}" for t in history.paused if t.number in after}

    def room(self, history: History) -> int | None:
        return self.repeat.count(history)


def ended(runs: History, schedule: Schedule) -> list[TrialRecord]:
    """The trials that have trained the last part of a schedule, or failed on the way, in the order of their numbers."""
    last, parts = key(schedule), {key(part) for part in beginnings(schedule)}
    went_on = {t.parent[0] for t in runs.trials if t.parent is not None} | {t.number for t in runs.paused}
    trained = ((t, key(schedule_of(runs.trials, t.number))) for t in runs.trials if t.number not in went_on)
    return [t for t, text in trained if text == last or (text in parts and t.state is State.FAILED)]


def _text(config: Mapping[str, Any]) -> str:
    return json.dumps(config, sort_keys=True)
