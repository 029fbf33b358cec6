"""An executor with a clock of its own: the true driver, study, strategy, stopper and ledger, and no training.

A week of tuning on thousands of workers passes in seconds: workers are entries of a heap, their steps take virtual
time, and the clock jumps from one event to the next.

    executor = Simulated(lambda config, number: [1 / s for s in range(1, 28)], seconds_per_step=60, workers=1000)
    study = Study(space, metric="loss", trials=5000, clock=executor.clock)
    Driver(study, NOTHING, executor, executor.workers).run()
    print(executor.measured)

With `timer` the time that the driver itself needs counts too: the clock goes on while it thinks, and workers wait for
their answers as they would in earnest. Without it a simulation is exact: the same arguments, the same search.
"""

import heapq
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from automl.core.messages import (
    Assign,
    Assignment,
    Ended,
    Event,
    Lost,
    Measured,
    Order,
    Outcome,
    Ready,
    Reported,
    Verdicts,
)
from automl.core.space import Config
from automl.core.stopper import Kind
from automl.driver.executor import Executor, Handle
from automl.worker.worker import Session, Task

Curves = Callable[[Config, int], Sequence[float]]  # (config, trial) -> the metric after steps 1, 2, ... of a full trial
BATCH = 256  # events that are handled before the driver checks for other work
LEAP_S = 9.0  # virtual seconds without an event after which it checks too, as in a real search


class _Nothing(Task):
    """A task that no worker of this executor ever opens."""

    def open(self, devices: tuple[str, ...]) -> Session:
        raise NotImplementedError("simulated workers open no task")


NOTHING = _Nothing()


@dataclass
class Measurements:
    """What a simulation measured. Times are virtual seconds, `busy_s` is time of this machine.

    `waited_s`: of all workers together, from each question to its answer, while there was still work.
    """

    workers: int
    events: int = 0
    busy_s: float = 0.0
    trained_s: float = 0.0
    waited_s: float = 0.0
    clock_s: float = 0.0
    delays_s: list[float] = field(default_factory=list)  # from each Ready to the trial that answered it

    @property
    def cost_s(self) -> float:
        """What the driver needs for one event."""
        return self.busy_s / max(self.events, 1)

    @property
    def busy(self) -> float:
        """Share of the virtual time in which the driver was at work."""
        return self.busy_s / self.clock_s if self.clock_s else 0.0

    @property
    def idle(self) -> float:
        """Share of the workers' time spent waiting for an answer."""
        total = self.trained_s + self.waited_s
        return self.waited_s / total if total else 0.0

    def delay_s(self, quantile: float = 0.5) -> float:
        """That quantile of the time a worker waits for its next trial."""
        ordered = sorted(self.delays_s)
        return ordered[min(int(quantile * len(ordered)), len(ordered) - 1)] if ordered else 0.0


@dataclass
class _Hand:
    """One simulated worker."""

    life: int = 1
    asked_s: float = 0.0
    trial: Assignment | None = None
    curve: Sequence[float] = ()
    step: int = 0


@dataclass
class Simulated(Executor):
    """
    Args:
        curves: what training a config would report; the first value that is not finite is reported as it is.
        seconds_per_step: of a step, or a function of (config, trial).
        workers: how many; what the driver asks for counts more.
        metric: the name the curve's values are reported under.
        timer: the driver's time, such as `time.process_time`; None: it costs nothing.
        dies: (trial, attempt, step) whose report kills its worker instead.
    """

    curves: Curves
    seconds_per_step: float | Callable[[Config, int], float] = 1.0
    workers: int = 1
    metric: str = "loss"
    timer: Callable[[], float] | None = None
    dies: Callable[[int, int, int], bool] = lambda trial, attempt, step: False
    measured: Measurements = field(default_factory=lambda: Measurements(0), init=False)
    _now: float = field(default=0.0, init=False)
    _hands: list[_Hand] = field(default_factory=list, init=False)
    _events: list[tuple[float, int, int, int, Event]] = field(default_factory=list, init=False)
    _saved: dict[int, int] = field(default_factory=dict, init=False)  # the step of each paused trial's checkpoint
    _counter: Iterator[int] = field(default_factory=itertools.count, init=False)
    _since: float = field(default=0.0, init=False)  # the timer when the driver last began to work

    @property
    def told(self) -> Measurements:
        """`measured`, by its earlier name."""
        return self.measured

    def clock(self) -> float:
        """Virtual seconds."""
        return self._now + self._thinking()

    def _thinking(self) -> float:
        return self.timer() - self._since if self.timer and self._hands else 0.0

    def _resume(self) -> None:
        """Start to measure the time that the driver needs."""
        if self.timer:
            self._since = self.timer()

    def _charge(self) -> None:
        """Add the time that the driver has needed since `_thinking` began to the virtual clock."""
        spent = self._thinking()
        self._now += spent
        self.measured.busy_s += spent
        self._since += spent

    # -- the executor --------------------------------------------------------------------------------------------------

    def start(self, task: Task, workers: int, folder: Path | None) -> int:
        count = workers or self.workers
        self._hands = [_Hand() for _ in range(count)]
        self.measured = Measurements(count)
        for worker in range(count):
            self._ready(worker, ())
        self._resume()
        return count

    def poll(self, handle: Handle, timeout_s: float) -> None:
        """The next event, and those that came while the driver answered it; time passes where there is none."""
        self._charge()
        until = self._now + max(timeout_s, LEAP_S)
        if not self._events or self._events[0][0] > until:
            self._now = until
        for handled in range(BATCH):
            if not self._events or self._events[0][0] > (self._now if handled else until):
                break
            at, _, worker, life, event = heapq.heappop(self._events)
            self._now = max(self._now, at)
            if life == self._hands[worker].life:
                self.measured.events += 1
                self._resume()
                handle(event)
                self._charge()
        self.measured.clock_s = self._now
        self._resume()

    def send(self, worker: int, order: Order) -> None:
        self._charge()
        hand = self._hands[worker]
        waited = self._now - hand.asked_s
        match order:
            case Assign(assignments=(assignment, *_)):
                self.measured.waited_s += waited
                self.measured.delays_s.append(waited)
                hand.trial, hand.step = assignment, self._saved.pop(assignment.number, 0)
                hand.curve = self.curves(assignment.config, assignment.number)
                self._train(worker)
            case Verdicts():
                self.measured.waited_s += waited
                self._go_on(worker, order)
        self._resume()

    def restart(self, worker: int) -> None:
        self._hands[worker] = _Hand(self._hands[worker].life + 1)
        self._ready(worker, ())

    def recycle(self, worker: int) -> bool:
        """Does nothing: simulated workers need no care."""
        return False

    def device(self, worker: int) -> str:
        return f"sim{worker}"

    def stop(self, grace_s: float) -> None:
        self._events.clear()

    # -- the workers ---------------------------------------------------------------------------------------------------

    def _say(self, worker: int, after_s: float, event: Event) -> None:
        hand = self._hands[worker]
        hand.asked_s = self._now + after_s
        heapq.heappush(self._events, (hand.asked_s, next(self._counter), worker, hand.life, event))

    def _ready(self, worker: int, before: Sequence[Event]) -> None:
        for event in before:
            self._say(worker, 0.0, event)
        self._say(worker, 0.0, Ready(worker))

    def _train(self, worker: int) -> None:
        """One step; then its report."""
        hand = self._hands[worker]
        assert hand.trial is not None
        number, attempt = hand.trial.number, hand.trial.attempt
        pace = self.seconds_per_step
        needs_s = pace(hand.trial.config, number) if callable(pace) else pace
        self.measured.trained_s += needs_s
        hand.step += 1
        if self.dies(number, attempt, hand.step):
            self._say(worker, needs_s, Lost(worker, "died as it was told to"))
            return
        value = hand.curve[hand.step - 1]
        point = Measured(number, attempt, hand.step, {self.metric: value}, len(hand.curve))
        self._say(worker, needs_s, Reported(worker, (point,)))

    def _go_on(self, worker: int, verdicts: Verdicts) -> None:
        hand = self._hands[worker]
        if hand.trial is None:
            return
        number, attempt = hand.trial.number, hand.trial.attempt
        kind = verdicts.kinds[number]
        if kind is Kind.CONTINUE and hand.step < len(hand.curve):
            self._train(worker)
            return
        outcome = {Kind.STOP: Outcome.STOPPED, Kind.PAUSE: Outcome.PAUSED}.get(kind, Outcome.FINISHED)
        if outcome is Outcome.PAUSED:
            self._saved[number] = hand.step
        hand.trial = None
        self._ready(worker, [Ended(worker, number, attempt, outcome)])
