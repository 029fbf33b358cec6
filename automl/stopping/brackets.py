"""Brackets of successive halving: the machinery that `halving` and `hyperband` share.

The trials of a bracket train to its first rung and pause; when all are there (or failed), the best go on to the
second, and so on. A trial is decided as early as its fate is certain: it goes on when even the best of those still to
come cannot displace it, and stops when enough better ones are there already.
"""

import itertools
import operator
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from weakref import WeakKeyDictionary

from automl.core import seeds
from automl.core.history import History
from automl.core.stopper import CONTINUE, Kind, Stopper, Verdict
from automl.core.trial import State
from automl.stopping.rungs import compare


@dataclass(frozen=True)
class Bracket:
    """`sizes[k]` trials train up to `rungs[k]`; the last rung is a full trial."""

    rungs: tuple[int, ...]
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, trials: int, cuts: Sequence[int], rungs: Sequence[int], horizon: int, least: int = 1) -> "Bracket":
        """The bracket in which one trial in `cuts[k]` continues after the k-th rung.

        Args:
            trials: how many train up to the first rung.
            cuts: by what number the trials are divided at each rung.
            rungs: the steps at which trials are compared, increasing.
            horizon: steps of a full trial.
            least: how many trials run their full length at least.
        """
        left = itertools.accumulate(cuts, operator.mul, initial=1)
        return cls((*rungs, horizon), tuple(max(min(least, trials), trials // by) for by in left))

    @property
    def cost(self) -> int:
        """Steps of all its trials together, when trials continue from their checkpoints."""
        return sum(n * (end - at) for n, end, at in zip(self.sizes, self.rungs, (0, *self.rungs[:-1]), strict=True))

    def survivors(self, rung: int, share: float) -> float:
        """The share of the trials cut at `rung` that continues as a control sample, chosen at random.

        It is `share`; or 0 where that would cost more than 3 % of the bracket, as at late rungs, which are expensive
        and say little about good trials that were stopped by mistake.
        """
        if rung == self.rungs[-1] or share == 0:
            return 0.0
        k = self.rungs.index(rung)
        extra = share * (self.sizes[k] - self.sizes[k + 1]) * (self.rungs[k + 1] - rung)
        return share if extra <= 0.03 * self.cost and share * (self.sizes[k] - self.sizes[k + 1]) >= 1 else 0.0

    def near_misses(self, rung: int, share: float) -> float:
        """The share of those cut at the first rung, of the better half of all there, that continues all the same.

        It is `share`; or 0 at other rungs, and where that would cost more than 10 % of the bracket.
        """
        if rung != self.rungs[0] or len(self.rungs) < 3 or share == 0:
            return 0.0
        extra = share * self._near * (self.rungs[1] - rung)
        return share if extra <= 0.1 * self.cost and share * self._near >= 1 else 0.0

    @property
    def _near(self) -> float:
        """How many are cut at the first rung although they are in the better half."""
        return max(0.0, self.sizes[0] / 2 - self.sizes[1])

    def control_cost(self, share: float, near: float = 0.0) -> float:
        """Steps that the control samples of all rungs cost, on average; `near`: the share of near misses."""
        ends = zip(self.rungs, self.rungs[1:], self.sizes, self.sizes[1:], strict=False)
        cost = sum(self.survivors(at, share) * (n - more) * (end - at) for at, end, n, more in ends)
        first = self.rungs[0]
        if more := max(0.0, self.near_misses(first, near) - self.survivors(first, share)):
            cost += more * self._near * (self.rungs[1] - first)
        return cost

    def __str__(self) -> str:
        return ", ".join(f"{n} to step {rung}" for n, rung in zip(self.sizes, self.rungs, strict=True))


@dataclass
class Level:
    """One rung of one bracket, with numbers of trials.

    `members` train up to it. Of those that arrived, `chosen` are certain to continue and `out` are certain not to; the
    others wait. `control` is the control sample: trials that continue by a random draw although others were better.
    """

    rung: int
    quota: int  # how many continue
    expected: int  # how many will get here
    members: set[int]
    arrived: dict[int, float]
    chosen: set[int]
    out: set[int]
    control: set[int]

    def place(self, loss: float) -> str:
        """Where a loss stands among those at this rung, in words for the screen."""
        rank = sum(other < loss for other in self.arrived.values()) + 1
        return f"rank {rank} of {len(self.arrived)} at rung {self.rung}"


@dataclass
class Board:
    """The rungs of all brackets. Bracket w has the trials `starts[w]` to `starts[w + 1] - 1`."""

    starts: list[int]
    brackets: list[list[Level]]

    def level(self, trial: int, step: int) -> Level | None:
        """The rung at `step` of the bracket `trial` is in."""
        return next(
            (lv for levels in self.brackets for lv in levels[:-1] if lv.rung == step and trial in lv.arrived), None
        )

    def false_kills(self) -> tuple[int, int]:
        """(trials of control samples that reached the next rung, those of them that were good enough to continue)."""
        pairs = [(a, b) for levels in self.brackets for a, b in itertools.pairwise(levels[:-1])]
        there = [(n, b) for a, b in pairs for n in a.control if n in b.arrived]
        return len(there), sum(n in b.chosen - b.control for n, b in there)


class Bracketed(Stopper):
    """Base of stoppers that run one bracket after another; subclasses define `brackets`."""

    survivors: float = 0.0
    near_misses: float = 0.0

    @abstractmethod
    def brackets(self, history: History) -> Sequence[Bracket]:
        """The brackets in the order they are filled; trials belong to them by their numbers."""

    def pilots(self, history: History) -> tuple[int, int]:
        """(n, step): the first n trials pass every rung up to `step`, whatever they report."""
        return 0, 0

    def verdict(self, history: History, trial: int) -> Verdict:
        step = history.trials[trial].step
        if all(step not in bracket.rungs for bracket in self.brackets(history)):
            return CONTINUE
        level = self.board(history).level(trial, step)
        if level is None or trial in level.chosen:
            return CONTINUE
        if trial in level.out:
            loss, cut = level.arrived[trial], sorted(level.arrived.values())[level.quota - 1]
            why = f"{compare(history, loss, cut)}, {level.place(loss)} (top {level.quota} go on)"
            return Verdict(Kind.STOP, why)
        place = level.place(level.arrived[trial])
        return Verdict(Kind.PAUSE, f"{place}, {level.expected} expected (top {level.quota} go on)")

    def promote(self, history: History) -> list[int]:
        found: list[int] = []
        for levels in self.board(history).brackets:
            for level in reversed(levels):  # the highest rung first: its trials are nearest to their end
                waiting = [
                    n for n in level.members if n not in level.arrived and history.trials[n].state is State.PAUSED
                ]
                found += sorted(waiting, key=lambda n: (history.standing(n), n))
        return found

    def drop(self, history: History) -> Mapping[int, str]:
        return {
            n: f"{level.place(level.arrived[n])} (top {level.quota} went on)"
            for levels in self.board(history).brackets
            for level in levels
            for n in level.out
            if history.trials[n].state is State.PAUSED and history.trials[n].step == level.rung
        }

    def room(self, history: History) -> int | None:
        return max(0, sum(bracket.sizes[0] for bracket in self.brackets(history)) - len(history))

    def summary(self, history: History) -> str:
        kept, false = self.board(history).false_kills()
        return (
            f"{false} of {kept} trials of the control sample were good enough at the next rung (stopped by mistake)"
            if kept
            else ""
        )

    def board(self, history: History) -> Board:
        """The state of all rungs; kept until a trial begins, reports or ends."""
        ended = sum(history.count(state) for state in State if state.ended)
        now = (self, history.plan, len(history), history.steps_spent, ended)
        known = _boards.get(history)
        if known is None or known[0] != now:
            known = _boards[history] = (now, _board(self, history))
        return known[1]


_boards: "WeakKeyDictionary[History, tuple[tuple[object, ...], Board]]" = WeakKeyDictionary()


def _board(stopper: Bracketed, history: History) -> Board:
    starts = [0]
    brackets = stopper.brackets(history)
    for bracket in brackets:
        starts.append(starts[-1] + bracket.sizes[0])
    ends = [*starts[1:-1], max(starts[-1], len(history))]  # trials beyond the plan count for the last bracket
    levels = [list(_levels(stopper, history, b, range(s, e))) for b, s, e in zip(brackets, starts, ends, strict=False)]
    return Board(starts, levels)


def _levels(stopper: Bracketed, history: History, bracket: Bracket, numbers: range) -> Iterator[Level]:
    """The rungs of one bracket, whose trials are `numbers` (some may not have begun), lowest first."""
    trials = history.trials
    pilots, passed = stopper.pilots(history)
    members = set(range(numbers.start, min(numbers.stop, len(history))))
    unknown = len(numbers) - len(members)  # will come here, but who they are is not known yet
    for rung, quota in zip(bracket.rungs, (*bracket.sizes[1:], 0), strict=True):
        losses = history.losses_at(rung)
        arrived = {n: losses[n] for n in members if n in losses}
        gone = sum(n not in arrived and trials[n].state.ended for n in members)
        pending = len(members) - len(arrived) - gone + unknown
        left = _left(history, arrived, rung)
        order = sorted(arrived, key=lambda n: (n in left, arrived[n], n))
        sure = max(0, quota - pending)
        share = bracket.survivors(rung, stopper.survivors)
        near, half = bracket.near_misses(rung, stopper.near_misses), len(order) // 2
        cut = ((n, share if k >= half else max(near, share)) for k, n in enumerate(order) if k >= quota)
        control = {n for n, drawn in cut if drawn and _draw(history.seed, n, rung) < drawn}
        chosen = set(order[:sure]) | control | {n for n in arrived if trials[n].step > rung}
        chosen |= {n for n in arrived if n < pilots and rung <= passed}
        out = set(order[quota:]) - chosen
        yield Level(rung, quota, len(members) + unknown - gone, members, arrived, chosen, out, control)
        members, unknown = chosen, (quota - sure if pending else 0)


def _left(history: History, arrived: Mapping[int, float], rung: int) -> Set[int]:
    """The trials that ended at `rung`, where they may not be chosen any more.

    By one loss, who was out stays out. By several objectives, a new trial may push those back that were before it.
    """
    if history.objectives.plain:
        return frozenset()
    return {n for n in arrived if history.trials[n].state.ended and history.trials[n].step == rung}


@lru_cache(maxsize=2**16)
def _draw(seed: int, trial: int, rung: int) -> float:
    """A random number in [0, 1), always the same for this trial and rung."""
    return seeds.derive(seed, trial, rung, "survivor") / 2**63
