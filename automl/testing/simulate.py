"""A search without training: the true history, strategy and stopper on known learning curves and a virtual clock.

The order is the study's: whenever workers are free, paused trials that have earned it go on first
(`stopper.promote`), then new trials begin, as many as `stopper.room` allows. A paused trial goes on from its
checkpoint: only the steps it still lacks cost anything.
"""

import heapq
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from automl.core.history import History
from automl.core.space import Config, Space
from automl.core.stopper import Kind, Stopper
from automl.core.strategy import Strategy
from automl.core.trial import Cost, Failure, Metric, Plan, State, TrialRecord


@dataclass(frozen=True)
class Curve:
    """What training `config` would report. `losses[s - 1]` is the loss after step s, lower is better; the first that
    is not finite ends the trial as failed. `config` may differ from the one asked for (the nearest row of a table)."""

    config: Config
    losses: Sequence[float]
    step_s: float = 1.0  # virtual seconds a step takes


Objective = Callable[[Config, History], Curve]


@dataclass
class Simulated:
    """A finished simulation. `events` are (clock_s, steps begun by then, trial, step) in the order they happened."""

    history: History
    events: list[tuple[float, int, int, int]] = field(default_factory=list)

    def incumbents(self) -> Iterator[tuple[int, TrialRecord]]:
        """(steps spent, what would be recommended then), each time that changes.

        Recommended is the best of the trials that ran their full length; before there is one, the best of those
        that got farthest.
        """
        best: tuple[float, float] = (math.inf, math.inf)
        for _, spent, number, step in self.events:
            record = self.history.trials[number]
            loss = record.at(step)
            if loss is not None and (key := (-step, loss)) < best:
                best = key
                yield spent, record

    def recommended(self, steps: int | None = None) -> TrialRecord | None:
        """What would be recommended after `steps` steps (all of them when None); None before the first report."""
        found = None
        for spent, record in self.incumbents():
            if steps is not None and spent > steps:
                break
            found = record
        return found


def simulate(
    space: Space,
    objective: Objective,
    strategy: Strategy,
    stopper: Stopper,
    *,
    plan: Plan,
    seed: int = 0,
    metric: Metric | None = None,
) -> Simulated:
    """Run a search with `plan.workers` trials in flight until `plan.trials` or `plan.steps` are used up, or nothing
    can go on. Trials that are unfinished then are stopped."""
    run = _Run(Simulated(History(space, seed=seed, metric=metric, plan=plan)), objective, strategy, stopper)
    while True:
        run.fill()
        if not run.queue:
            break
        run.advance()
    history = run.out.history
    for record in [*history.running, *history.paused]:
        history.end(record.number, State.STOPPED, reason="the budget is used up")
    return run.out


@dataclass
class _Run:
    out: Simulated
    objective: Objective
    strategy: Strategy
    stopper: Stopper
    queue: list[tuple[float, int, int]] = field(default_factory=list)  # (when, tie-break, trial)
    curves: list[Curve] = field(default_factory=list)
    clock: float = 0.0
    begun: int = 0  # steps begun
    counter: Iterator[int] = field(default_factory=itertools.count)

    def fill(self) -> None:
        """Give every free worker something to do."""
        history = self.out.history
        if not self.free():
            return
        self.drop()
        for number in self.stopper.promote(history):
            if not self.free() or self.spent():
                return
            history.again(number, history.trials[number].attempt + 1)
            self.step(number)
        wanted = self.wanted()
        while wanted > 0 and not self.spent():
            configs = self.strategy.suggest(history, wanted)
            for config in configs:
                curve = self.objective(config, history)
                self.curves.append(curve)
                self.step(history.begin(curve.config, at_s=self.clock).number)
            if len(configs) < wanted:
                return
            wanted = self.wanted()

    def drop(self) -> None:
        for number, reason in self.stopper.drop(self.out.history).items():
            self.out.history.end(number, State.STOPPED, reason=reason, at_s=self.clock)

    def free(self) -> int:
        return self.out.history.plan.workers - len(self.queue)

    def wanted(self) -> int:
        """How many new trials may begin now."""
        history = self.out.history
        room = self.stopper.room(history)
        wanted = self.free() if room is None else min(self.free(), room)
        return wanted if history.plan.trials is None else min(wanted, history.plan.trials - len(history))

    def spent(self) -> bool:
        plan = self.out.history.plan
        late = plan.time_s is not None and self.clock >= plan.time_s
        return late or (plan.steps is not None and self.begun >= plan.steps)

    def step(self, number: int) -> None:
        """Begin the next step of a trial."""
        if self.spent():
            return
        self.begun += 1
        heapq.heappush(self.queue, (self.clock + self.curves[number].step_s, next(self.counter), number))

    def advance(self) -> None:
        """The next step that ends is reported."""
        self.clock, _, number = heapq.heappop(self.queue)
        history, losses = self.out.history, self.curves[number].losses
        step = history.trials[number].step + 1
        loss = losses[step - 1]
        if not math.isfinite(loss):
            failure = Failure("nan", f"loss is {loss} at step {step}", step)
            history.end(number, State.FAILED, failure=failure, at_s=self.clock)
            return
        history.point(number, step, loss)
        history.pay(number, Cost(self.curves[number].step_s, 1))
        self.out.events.append((self.clock, self.begun, number, step))
        if step >= min(history.plan.horizon or len(losses), len(losses)):
            history.end(number, State.DONE, at_s=self.clock)
            return
        verdict = self.stopper.verdict(history, number)
        if verdict.kind is Kind.CONTINUE:
            self.step(number)
        elif verdict.kind is Kind.PAUSE:
            history.pause(number, verdict.reason)
        else:
            history.end(number, State.STOPPED, reason=verdict.reason, at_s=self.clock)
