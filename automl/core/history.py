"""The history of a study: all its trials, which strategies and stoppers decide from. Lower losses are better."""

import bisect
import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from automl.core import seeds
from automl.core.live.state import QUEUED, SEED, Live
from automl.core.objectives.goals import Objectives
from automl.core.objectives.standings import Standings
from automl.core.space import Config, Space
from automl.core.trial import Cost, Failure, Metric, Plan, Point, State, TrialRecord, Vector, parent_of


def rank_key(record: TrialRecord) -> tuple[float, bool, int]:
    """The sort key of trials by one loss, best first; of equals, full trials before others, then by number.

    A stopped trial is ranked by what it reached, but only a trial that ran its full length can win. A trial without a
    loss comes last. With several objectives or limits, see `History.rank_key`.
    """
    loss = math.inf if record.loss is None else record.loss
    return loss, record.state is not State.DONE, record.number


class History:
    """All trials of a study, in the order of their numbers.

    Strategies and stoppers only read it. The methods that change it (`begin`, `again`, `point`, `pay`, `pause`, `end`)
    are called by the study, and in tests that need a history to try a plugin on.

    Args:
        space: the search space.
        seed: the study's seed, from which `rng` derives.
        metric: what trials are ranked on: a metric, or several and limits; None: a loss named "loss".
        plan: the budget and the length of a full trial; None: nothing is known about them.

    Example:
        history = History(Space.of({"x": Float(0, 1)}))
        trial = history.begin({"x": 0.5})
        history.point(trial.number, step=1, loss=0.3)
        history.end(trial.number, State.DONE)
    """

    def __init__(
        self,
        space: Space,
        *,
        seed: int = 0,
        metric: Metric | Objectives | None = None,
        plan: Plan | None = None,
    ) -> None:
        self.space = space
        self.seed = seed
        self.objectives = Objectives.of(metric or Metric("loss"))
        self.metric = self.objectives.first
        self.plan = plan or Plan()
        self.trials: list[TrialRecord] = []
        self.version = 0  # grows with every change, so that a costly fit can be cached under it
        self.steps_spent = 0
        self.declared = space  # as it was before requests narrowed it
        self.live = Live()  # what requests have changed while the search ran
        self._by_state: dict[State, dict[int, None]] = {state: {} for state in State}
        self._order = 0
        self._at: dict[int, dict[int, float]] = {}
        self._sorted: dict[int, list[float]] = {}
        self._best: int | None = None
        self._partial: int | None = None  # the best of those stopped or paused, unless it runs again
        self.paid: list[
            tuple[int, Cost]
        ] = []  # (trial, cost) of attempts that have ended, in the order they became known
        self.standings = Standings(self.objectives)  # the order by several objectives and limits

    # -- reading ---------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many trials have begun."""
        return len(self.trials)

    def of(self, *states: State) -> list[TrialRecord]:
        """Trials in these states; ended ones in the order they ended, others in the order they began."""
        return [self.trials[n] for state in states for n in self._by_state[state]]

    def count(self, state: State) -> int:
        """How many trials are in this state."""
        return len(self._by_state[state])

    @property
    def done(self) -> list[TrialRecord]:
        """Trials that ran their full length, in the order they ended."""
        return self.of(State.DONE)

    @property
    def stopped(self) -> list[TrialRecord]:
        """Trials that were stopped early, in the order they ended."""
        return self.of(State.STOPPED)

    @property
    def failed(self) -> list[TrialRecord]:
        """Trials that failed, in the order they ended."""
        return self.of(State.FAILED)

    @property
    def running(self) -> list[TrialRecord]:
        """Trials that are being trained or wait for another attempt; `curve` holds what they reported so far."""
        return self.of(State.RUNNING)

    @property
    def paused(self) -> list[TrialRecord]:
        """Trials that wait for the stopper to continue or drop them, in the order they were paused."""
        return self.of(State.PAUSED)

    @property
    def next_number(self) -> int:
        """The number the next new trial will get."""
        return len(self.trials)

    @property
    def best(self) -> TrialRecord | None:
        """The best trial that ran its full length; the earliest of equals. With several objectives, see `choose`."""
        if self._best is None or self.objectives.plain:
            return None if self._best is None else self.trials[self._best]
        return self.trials[self.standings.best(self.done)]

    @property
    def partial(self) -> TrialRecord | None:
        """The best trial of those that were stopped or paused, where no trial has run its full length yet."""
        if self._best is not None:
            return None
        if self._partial is None or self.trials[self._partial].state is State.RUNNING:  # it goes on: look again
            left = (t for t in self.of(State.STOPPED, State.PAUSED) if t.loss is not None)
            first = min(left, key=self.rank_key, default=None)
            self._partial = None if first is None else first.number
        return None if self._partial is None else self.trials[self._partial]

    def ranked(self, n: int | None = None, *, full: bool = False) -> list[TrialRecord]:
        """The best `n` trials (None: all) that have a loss and did not fail, the best first; see `rank_key`.

        `full`: only trials that ran their full length.
        """
        valued = [t for t in (self.done if full else self.trials) if t.loss is not None and t.state is not State.FAILED]
        key = self.rank_key
        return sorted(valued, key=key) if n is None else heapq.nsmallest(n, valued, key=key)

    def rank_key(self, record: TrialRecord) -> tuple[float, bool, int]:
        """The sort key of trials, best first: see the function of that name.

        With several objectives or limits, trials that ran their full length come first: the best one, then by front
        number and hypervolume contribution. Behind them come the other trials, by the same among themselves.
        """
        if self.objectives.plain or record.loss is None:
            return rank_key(record)
        return self.score(record), record.state is not State.DONE, record.number

    def score(self, record: TrialRecord) -> float:
        """What a trial is compared by, lower is better: its loss, or its place among all (see `rank_key`).

        Infinite for a trial without a value, or that failed where places count.
        """
        if self.objectives.plain or record.loss is None:
            return math.inf if record.loss is None else record.loss
        return self.standings.place(self, record.number)

    def front_of(self, trial: int) -> int | None:
        """The front of a trial that ran its full length, 1 for those that no other one beats.

        None for any other trial, for one that breaks a limit, and with one objective.
        """
        return None if not self.objectives.several else self.standings.front(self, trial)

    def may_lead(self, record: TrialRecord) -> bool:
        """Whether no trial of full length would beat this one, if it ended now; with several objectives or limits."""
        return self.standings.may_lead(self.done, record)

    def front(self) -> list[TrialRecord]:
        """The trials that no other one beats in all objectives, the best by the first metric first."""
        members = [t for t in self.done if self.front_of(t.number) == 1]
        return sorted(members, key=lambda t: (t.vector, t.number))

    def rng(self, k: int = 0, purpose: str = "suggest") -> np.random.Generator:
        """Random numbers for the k-th next trial; they depend on (study seed, that trial's number, purpose) alone."""
        return np.random.default_rng(seeds.derive(self.seed, self.next_number + k, purpose))

    def losses_at(self, step: int) -> Mapping[int, float]:
        """{trial: loss} of all trials, in any state, that reported at exactly `step`.

        With several objectives or limits, their places among each other (see `Objectives.places`) stand for losses.
        """
        if not self.objectives.plain:
            return self.standings.at(self, step)
        if step not in self._at:
            self._at[step] = {t.number: loss for t in self.trials for s, loss in t.curve if s == step}
        return self._at[step]

    def sorted_at(self, step: int) -> Sequence[float]:
        """The values of `losses_at(step)` in rising order."""
        if not self.objectives.plain:
            return sorted(self.losses_at(step).values())
        if step not in self._sorted:
            self._sorted[step] = sorted(self.losses_at(step).values())
        return self._sorted[step]

    def standing(self, trial: int) -> float:
        """What `losses_at` says of a trial at the last step that it reported."""
        step, loss = self.trials[trial].curve[-1]
        return loss if self.objectives.plain else self.losses_at(step)[trial]

    # -- writing ---------------------------------------------------------------------------------------------------

    def begin(self, config: Config, *, origin: str = "", at_s: float = 0.0) -> TrialRecord:
        """Add a running trial; it gets the next number. An heir's origin names its parent, see `core.strategy.Heir`."""
        parent = parent_of(origin)
        assert parent is None or parent[0] < len(self.trials), "a parent begins before its heir"
        record = TrialRecord(
            self.next_number, dict(self.declared.restored(config)), origin=origin, started_s=at_s, parent=parent
        )
        if origin in (QUEUED, SEED) and self.live.queue:
            self.live.queue.popleft()
        self.trials.append(record)
        return self._put(record)

    def again(self, trial: int, attempt: int) -> TrialRecord:
        """Begin another attempt of a paused or interrupted trial."""
        record = self.trials[trial]
        resumed = record.resumed + (record.state is State.PAUSED)
        return self._put(replace(record, state=State.RUNNING, attempt=attempt, resumed=resumed))

    def point(self, trial: int, step: int, loss: float, vector: Vector = ()) -> bool:
        """Add a report.

        Args:
            trial, step: where.
            loss: of the first metric.
            vector: with several objectives or limits, the losses of all (`Objectives.vector`); else empty.

        Returns:
            whether it was new: a step that is not larger than the trial's last one is ignored.
        """
        record = self.trials[trial]
        if step <= record.step and (record.curve or record.parent):
            return False
        ranked, counted = self._ranked(record, step, loss)
        new = replace(record, curve=(*record.curve, (step, loss)), loss=ranked, counted=counted)
        if vector:
            new = self.standings.add(new, vector)
        self._put(new)
        self.steps_spent += step - record.step
        if step in self._at:
            self._at[step][trial] = loss
        if step in self._sorted:
            bisect.insort(self._sorted[step], loss)
        return True

    def _ranked(self, record: TrialRecord, step: int, loss: float) -> tuple[float, int | None]:
        """What the trial is ranked by after a report, and `TrialRecord.counted`."""
        if record.loss is None:
            return loss, None
        if self.plan.compared_at is not None and step > self.plan.compared_at:
            return record.loss, record.counted or record.step
        return (loss if self.metric.count == "last" else min(record.loss, loss)), None

    def restore(self, trial: int, curve: Iterable[Point], attempt: int) -> TrialRecord:
        """Add the whole curve of a trial that has just begun at once, as it was read from a ledger."""
        points = tuple(curve)
        counting = self._counting(points)
        losses = [loss for _, loss in counting]
        loss = None if not losses else losses[-1] if self.metric.count == "last" else min(losses)
        counted = None if len(counting) == len(points) else counting[-1][0]
        self.steps_spent += points[-1][0] - self.trials[trial].begun_at if points else 0
        return self._put(replace(self.trials[trial], curve=points, loss=loss, attempt=attempt, counted=counted))

    def restore_vectors(self, trial: int, vectors: Sequence[Vector]) -> TrialRecord:
        """Add the vectors of a restored curve, one for each of its points; see `Objectives.vector`."""
        return self._put(self.standings.restored(self.trials[trial], vectors))

    def _counting(self, points: tuple[Point, ...]) -> tuple[Point, ...]:
        """The reports that count: those up to the step of `Plan.compared_at`, or the first one."""
        if self.plan.compared_at is None:
            return points
        return tuple(point for k, point in enumerate(points) if k == 0 or point[0] <= self.plan.compared_at)

    def pay(self, trial: int, cost: Cost) -> TrialRecord:
        """Add what an attempt has taken. It may become known after the trial has ended."""
        self.paid.append((trial, cost))
        return self._put(replace(self.trials[trial], cost=cost.plus(self.trials[trial].cost)))

    def pause(self, trial: int, reason: str = "") -> TrialRecord:
        """Mark a running trial as paused."""
        return self._put(replace(self.trials[trial], state=State.PAUSED, reason=reason))

    def end(
        self, trial: int, state: State, *, reason: str = "", failure: Failure | None = None, at_s: float | None = None
    ) -> TrialRecord:
        """End a trial for good, in a state whose `ended` is true."""
        assert state.ended, f"{state} is not an ending"
        record = replace(
            self.trials[trial], state=state, reason=reason, failure=failure, order=self._order, ended_s=at_s
        )
        self._order += 1
        if state is State.DONE and (self._best is None or rank_key(record) < rank_key(self.trials[self._best])):
            self._best = trial
        return self._put(record)

    def _put(self, record: TrialRecord) -> TrialRecord:
        before = self.trials[record.number]
        if before.state is not record.state or before is record:
            self._by_state[before.state].pop(record.number, None)
            self._by_state[record.state][record.number] = None
        self.trials[record.number] = record
        if record.loss is not None and record.state in (State.STOPPED, State.PAUSED) and self._partial is not None:
            known = self.trials[self._partial]
            if not self.objectives.plain:
                self._partial = None
            elif known.state is not State.RUNNING and rank_key(record) < rank_key(known):
                self._partial = record.number
        self.version += 1
        return record


@dataclass(frozen=True, slots=True)
class Counts:
    """How many trials are in each state."""

    done: int = 0
    stopped: int = 0
    failed: int = 0
    running: int = 0
    paused: int = 0

    @classmethod
    def of(cls, history: History) -> "Counts":
        """The counts of a history."""
        return cls(**{state.value: history.count(state) for state in State})

    @property
    def ended(self) -> int:
        """Trials that never go on: done, stopped or failed."""
        return self.done + self.stopped + self.failed

    @property
    def begun(self) -> int:
        """All trials, whatever became of them."""
        return self.ended + self.running + self.paused
