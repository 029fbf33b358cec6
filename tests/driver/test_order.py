"""In which order events are processed, and which order a search takes."""

from collections.abc import Callable
from typing import Any

import automl
from automl.core.messages import Ended, Measured, Outcome, Ready, Reported
from automl.core.space import Config
from automl.driver.deterministic import VirtualTimeOrder
from automl.driver.grouped import GroupedOrder, event_order
from automl.driver.order import ArrivalOrder, TrialEvent
from automl.study.study import Study
from automl.worker.worker import Session, Task

SPACE = {"x": automl.Float(0, 1)}


class Plain(Task):
    """A task that has all defaults."""

    def open(self, devices: tuple[str, ...]) -> Session:
        raise NotImplementedError


class Fusable(Plain):
    """A task whose trials may train together."""

    @property
    def group(self) -> Callable[[Config], str]:
        return lambda config: "all"


def study(**options: Any) -> Study:
    return Study(SPACE, **{"metric": "loss", "strategy": "random", "trials": 6, **options})


def test_the_order_depends_on_study_and_task() -> None:
    assert isinstance(event_order(study(), Plain()), ArrivalOrder)
    assert isinstance(event_order(study(), Fusable()), GroupedOrder)
    assert isinstance(event_order(study(deterministic=True), Fusable()), VirtualTimeOrder)


def report(trial: int, step: int) -> Reported:
    return Reported(trial, (Measured(trial, 1, step, {"loss": 1.0}, 3),))


def processed(order: VirtualTimeOrder, *events: TrialEvent) -> list[tuple[str, int]]:
    """What is processed when these events arrive one after another."""
    found = []
    for event in events:
        for due in order.take(event):
            if isinstance(due, Ended):
                order.study.finish(due.trial)
                found.append(("end", due.trial))
            else:
                order.study.report_all(due.points)
                found.append((f"step {due.points[0].step}", due.points[0].trial))
    return found


def test_virtual_time_does_not_depend_on_who_is_faster() -> None:
    rest = [("step 3", 0), ("end", 0), ("step 3", 1), ("end", 1)]
    in_turn = [report(0, 1), report(1, 1), report(0, 2), report(1, 2), report(0, 3), report(1, 3)]
    one_first = [report(0, 1), report(1, 1), report(1, 2), report(0, 2), report(1, 3), report(0, 3)]
    ends = [Ended(0, 0, 1, Outcome.FINISHED), Ended(1, 1, 1, Outcome.FINISHED)]
    for events in (in_turn, one_first):
        order = VirtualTimeOrder(study(deterministic=True, trials=2))
        order.begin(2)
        assert [order.ask(Ready(worker))[0].number for worker in (0, 1)] == [0, 1]
        seen = processed(order, *events, *ends)
        assert seen == [("step 1", 0), ("step 1", 1), ("step 2", 0), ("step 2", 1), *rest]
        assert not order.busy()


def test_what_waits_is_released_for_an_interruption() -> None:
    order = VirtualTimeOrder(study(deterministic=True, trials=2))
    order.begin(2)
    assert processed(order, report(1, 1)) == [], "trial 0 is behind"
    assert order.waits(1)
    assert [event.points[0].trial for event in order.release() if isinstance(event, Reported)] == [1]
    assert not order.waits(1)


class Mixed(Plain):
    """A task whose trials with x below a half run alone."""

    @property
    def group(self) -> Callable[[Config], str]:
        return lambda config: "" if float(str(config["x"])) < 0.5 else "lanes"


def test_what_runs_alone_comes_first_and_takes_its_turn_beside_what_runs_together() -> None:
    order = event_order(study(trials=40, defaults=False), Mixed())
    order.begin(1)

    def alone(ready: Ready) -> list[bool]:
        return [float(str(one.config["x"])) < 0.5 for one in order.ask(ready)]

    asked = [alone(Ready(0, lanes=4)) for _ in range(20)]
    together = asked.index([False] * 4)
    assert all(given == [True] for given in asked[:together])
    busy = [alone(Ready(0, lanes=2, busy=True, fits="lanes")) for _ in range(4)]
    assert all(given.count(False) == 2 and given.count(True) <= 1 for given in busy)
    assert any(True in given for given in busy)
