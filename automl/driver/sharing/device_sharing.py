"""Adds workers to the devices of a running search and takes them back, as `Rule` says.

The first worker of a device stays; the others are called further ones. A trial whose memory ran out while its device
was shared goes back to the study, and the device gets one worker less: only a trial that has it for itself can fail.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from automl.core.messages import Broken, Ended, Lost, Outcome, Ready, Reported, Shutdown
from automl.core.space import Config
from automl.driver.executor import Executor
from automl.driver.order import EventOrder
from automl.driver.screen import Screen
from automl.driver.sharing.rule import LEAST_S, Rule
from automl.driver.worker_table import WorkerTable
from automl.study.study import Study

FACT = "sharing"
"""Under this name the study keeps the number: {"workers": 3, "settled": true, "peak": 0.2}."""


@dataclass
class DeviceSharing:
    """The workers of a search beyond one for each device. Does nothing until `begin` finds that it may.

    Attributes:
        study, executor, workers, order, screen: those of the driver.
        group: see `Task.group`: trials that train together with others in one worker do not share a device.
        rule: decides the number; None: it is fixed.
        least_s: seconds for which each number is tried at least.
    """

    study: Study
    executor: Executor
    workers: WorkerTable
    order: EventOrder
    screen: Screen
    group: Callable[[Config], str] | None
    rule: Rule | None = None
    least_s: float = LEAST_S
    _first: range = field(default=range(0), init=False)  # the first workers, one for each device
    _beside: dict[int, int] = field(default_factory=dict, init=False)  # by further worker with a process: the first one
    _held: dict[int, Ready | None] = field(default_factory=dict, init=False)  # first workers that wait for room
    _warm: set[int] = field(default_factory=set, init=False)  # workers that have reported
    _too_large: dict[int, int] = field(default_factory=dict, init=False)  # by trial that ran out of memory: workers
    _since_s: float = field(default=math.inf, init=False)  # when all workers trained for the first time

    def begin(self, count: int, *, fixed: bool) -> None:
        """The executor has started `count` workers. `fixed`: the user wants so many, or trials have a time limit.

        Several objectives, of which one may be a time, and searches that must not depend on timing have one worker for
        each device, too.
        """
        if fixed or self.study.deterministic or not self.study.history.objectives.plain:
            return
        if self.executor.load() is None:
            return
        known: dict[str, Any] = self.study.facts.get(FACT, {})
        self._first = range(count)
        workers, settled, peak = known.get("workers", 1), known.get("settled", False), known.get("peak", 0.0)
        if (left := self.study.trials_to_run) is not None:
            workers = max(1, min(workers, left // count))
        self.rule = Rule(count, workers, settled=settled, peak=peak, least_s=self.least_s)
        self._adjust(self.rule)

    # -- what is measured ----------------------------------------------------------------------------------------------

    def reported(self, event: Reported, seconds: float, *, first: bool) -> None:
        """A worker has reported, `seconds` after it was heard of; `first`: for the first time in its attempt."""
        if self.rule is None or self.rule.settled or len(event.points) != 1:
            return
        cold, now_s = event.worker not in self._warm, self.study.clock()
        self._warm.add(event.worker)
        if cold or not self._all_train():
            return
        self._since_s = min(self._since_s, now_s)
        assignment = self.workers[event.worker].trials.get(event.points[0].trial)
        if assignment is not None and now_s - seconds >= self._since_s:
            self.rule.takes((first, _alike(assignment.config)), seconds)

    def ended(self, event: Ended) -> None:
        """An attempt is over."""
        if self.rule is not None and event.outcome is not Outcome.FAILED:
            self.rule.ended += 1

    def check(self) -> None:
        """Read how full the memory is, and change the number of workers if it is time to."""
        if (rule := self.rule) is None or any(self._is_spoiled(worker) for worker in self._live()):
            return
        load = self.executor.load()
        if load is None:  # it cannot be read any more
            rule.settled = True
            return
        left = math.inf if self.study.plan.trials is None else self.study.plan.trials - self.study.started
        beside = 1 + max((list(self._beside.values()).count(first) for first in self._first), default=0)
        if rule.uses(load, beside) or (self._all_alone() and rule.step(left)):
            self._changed(rule)

    def _is_spoiled(self, worker: int) -> bool:
        """Whether its process will be replaced at once: it may still have the memory of a trial that ran out of it."""
        return self.workers[worker].stale and not self.workers[worker].trials

    def _all_train(self) -> bool:
        return all(self.workers[worker].trials for worker in self._live())

    def _live(self) -> list[int]:
        """The workers that get trials."""
        return [worker for worker in (*self._first, *self._beside) if not self.workers[worker].given_up]

    def _all_alone(self) -> bool:
        """Whether no trial that runs could train together with others in one worker."""
        if self.group is None:
            return True
        return not any(self.group(one.config) for state in self.workers for one in state.trials.values())

    # -- what follows --------------------------------------------------------------------------------------------------

    def _changed(self, rule: Rule) -> None:
        """The number has changed, or is final now."""
        self._since_s = math.inf
        self._adjust(rule)
        fact = {"workers": rule.paid_off, "settled": rule.settled, "peak": round(rule.peak, 4)}
        self.study.keep_facts({FACT: fact})
        if rule.settled:
            workers = "1 worker" if rule.count == 1 else f"{rule.count} workers"
            self.screen.note(f"{workers} on each GPU: {rule.why}")

    def _adjust(self, rule: Rule) -> None:
        """Add and take back workers until each device has as many as the rule says."""
        for first in self._first:
            if self.workers[first].given_up:
                continue
            further = [worker for worker in self._live() if self._beside.get(worker) == first]
            for worker in further[rule.count - 1 :]:
                self._take_back(worker)
            for _ in range(rule.count - 1 - len(further)):
                worker = self.executor.add(first, rule.room_of_one())
                self._beside[worker] = first
                self.workers.include(worker)

    def _take_back(self, worker: int) -> None:
        """The worker ends as soon as it has no trial."""
        state = self.workers[worker]
        state.given_up = True
        if state.waiting is not None:
            state.waiting = None
            self.executor.send(worker, Shutdown())

    # -- when memory runs out ------------------------------------------------------------------------------------------

    def caused(self, event: Ended | Broken) -> bool:
        """A trial, or the opening of a further worker, has failed; returns whether that is because it was not alone.

        Then the trial is back in the study, not counted as failed, and the device has one worker less. Its first worker
        waits until the one that leaves has ended. Failures of the device are the first worker's own.
        """
        worker, rule = event.worker, self.rule
        others = self._others(worker)
        if rule is None or not (others if isinstance(event, Ended) else worker in self._beside):
            self._fails_alone(event)
            return False
        if isinstance(event, Ended):
            assert event.failure is not None
            if event.failure.kind != "oom" and worker not in self._beside:
                return False
            self._back_to_study(event, rule)
            why = f"memory ran out with {rule.count}" if event.failure.kind == "oom" else event.failure.message
        else:
            why = f"another one cannot begin: {event.error}"
        lower = not self.workers[worker].given_up and any(not self.workers[one].given_up for one in others)
        if worker in self._beside:
            self._take_back(worker)
        else:
            self._held[worker] = None
        if lower:
            rule.lower(why)
            self._changed(rule)
        return True

    def _others(self, worker: int) -> list[int]:
        """The other workers of its device whose processes have not ended."""
        first = self._beside.get(worker, worker)
        further = [one for one, other in self._beside.items() if other == first and one != worker]
        return further if first == worker or self.workers[first].given_up else [first, *further]

    def _back_to_study(self, event: Ended, rule: Rule) -> None:
        state = self.workers[event.worker]
        if event.failure is None or state.ended(event.trial) is None:
            return
        state.stale = True
        self._too_large.setdefault(event.trial, rule.count)
        reason = {"reason": event.failure.message}
        self.study.ledger.attempt_ended(event.trial, event.attempt, "interrupted", reason)
        self.order.handed_back(event.trial, event.attempt)

    def _fails_alone(self, event: Ended | Broken) -> None:
        """A trial for which workers were taken back does not fit alone either: they come again."""
        memory = isinstance(event, Ended) and event.failure is not None and event.failure.kind == "oom"
        count = self._too_large.pop(event.trial, 0) if isinstance(event, Ended) and memory else 0
        if self.rule is not None and count > self.rule.count:
            self.rule.restore(count)
            self._changed(self.rule)

    def holds(self, event: Ready) -> bool:
        """Whether a worker that asks for trials has to wait until the one that leaves its device has ended."""
        worker = event.worker
        if worker not in self._held:
            return False
        if not any(self.workers[one].given_up for one in self._others(worker)):
            del self._held[worker]
            return False
        if self.workers[worker].stale and self.executor.recycle(worker):  # its memory is free then; it will ask again
            self.workers.replaced(worker)
        else:
            self._held[worker] = event
        return True

    def lost(self, event: Lost) -> None:
        """A worker's process has ended; if the machine's memory ran out, the others get no new one beside them."""
        if self.workers[event.worker].given_up:
            first = self._beside.pop(event.worker, event.worker)
            if not any(self.workers[one].given_up for one in self._others(first)):
                ready = self._held.pop(first, None)
                if ready is not None:
                    self.workers.asks(ready)
        if event.kind == "oom" and self.rule is not None and self.rule.count > 1:
            self.rule.lower(event.reason)
            self._changed(self.rule)


def _alike(config: Config) -> str:
    """The same text for trials that take about as long and as much memory: those that differ in real numbers only."""
    return json.dumps({name: value for name, value in config.items() if not isinstance(value, float)}, sort_keys=True)
