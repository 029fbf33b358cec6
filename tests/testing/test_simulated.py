"""The simulated executor: true driver and study, virtual workers and clock."""

import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from automl.core.messages import Lost
from automl.core.space import Config, Float
from automl.core.trial import State
from automl.driver.driver import Driver
from automl.executors.inline import Inline
from automl.study.study import Study
from automl.tasks.function import FunctionTask
from automl.testing.simulated import NOTHING, Simulated
from automl.worker.trial import Trial

SPACE = {"x": Float(0, 1)}


def curve(config: Config, number: int) -> Sequence[float]:
    return [(float(config["x"]) - 0.3) ** 2 + 1 / step for step in range(1, 10)]  # type: ignore[arg-type]


def bowl(trial: Trial) -> None:
    for step in trial.steps(9):
        trial.report(loss=(trial["x"] - 0.3) ** 2 + 1 / step)


def drive(executor: Simulated, **options: Any) -> Study:
    plan = {"metric": "loss", "trials": 40, "seed": 5, "horizon": 9, "strategy": "random", "stopper": "asha"}
    study = Study(SPACE, **{**plan, "clock": executor.clock, **options})
    try:
        Driver(study, NOTHING, executor, executor.workers).run()
    finally:
        study.close()
    return study


def results(study: Study) -> list[tuple[Any, ...]]:
    return [(t.number, t.state, t.config, t.curve, t.reason, t.attempt) for t in study.history.trials]


def test_one_worker_gives_the_inline_search() -> None:
    study = Study(SPACE, metric="loss", trials=40, seed=5, horizon=9, strategy="random", stopper="asha")
    Driver(study, FunctionTask.of(bowl), Inline()).run()
    assert results(drive(Simulated(curve))) == results(study)


@pytest.mark.parametrize("workers", [1, 7, 500])
def test_the_same_arguments_the_same_search(workers: int) -> None:
    runs = [drive(Simulated(curve, lambda config, number: 1 + number * 0.618 % 1, workers)) for _ in range(2)]
    assert results(runs[0]) == results(runs[1])
    assert [t.ended_s for t in runs[0].history.trials] == [t.ended_s for t in runs[1].history.trials]


def test_the_clock_counts_the_steps() -> None:
    executor = Simulated(curve, 60.0, workers=4)
    study = drive(executor, trials=8, stopper="none")
    assert executor.measured.clock_s == 2 * 9 * 60
    assert executor.measured.trained_s == 8 * 9 * 60
    assert executor.measured.waited_s == executor.measured.busy_s == 0
    assert study.history.trials[7].ended_s == 2 * 9 * 60


def test_a_day_on_a_budget_of_time() -> None:
    day = 86400.0
    executor = Simulated(curve, 3600.0, workers=8)
    study = drive(executor, trials=None, time_s=day, stopper="none")
    assert day <= executor.measured.clock_s <= day + 3600
    assert study.counts.done == 8 * (day // (9 * 3600))


def test_paused_trials_go_on_from_where_they_were() -> None:
    executor = Simulated(curve, 1.0, workers=3)
    study = drive(executor, stopper={"name": "asha", "mode": "promote"})
    assert study.counts.done > 0
    assert any(t.attempt > 1 for t in study.history.trials)
    assert executor.measured.trained_s == study.history.steps_spent, "no step was trained twice"


def test_workers_that_die_cost_attempts_and_nothing_else() -> None:
    deaths = {(n, 1, 4) for n in range(0, 40, 3)}
    executor = Simulated(curve, 1.0, workers=5, dies=lambda *place: place in deaths)
    study = drive(executor, stopper="none")
    calm = drive(Simulated(curve, 1.0, workers=5), stopper="none")
    assert [t.curve for t in study.history.trials] == [t.curve for t in calm.history.trials]
    assert [t.attempt for t in study.history.trials] == [2 if n % 3 == 0 else 1 for n in range(40)]
    twice = drive(Simulated(curve, 1.0, dies=lambda trial, attempt, step: trial == 2))
    assert [t.number for t in twice.history.failed] == [2]


def test_a_worker_that_hangs_is_replaced_on_the_virtual_clock_too() -> None:
    executor = Simulated(curve, lambda config, number: 1e6 if number == 9 else 60.0, workers=2)
    study = drive(executor, trials=20, stopper="none")
    failure = study.history.trials[9].failure
    assert failure is not None
    assert failure.kind == "timeout"
    assert study.counts.done == 19
    assert executor.measured.clock_s < 1e5


def test_the_drivers_own_time_makes_workers_wait() -> None:
    ticks = itertools.count()
    executor = Simulated(curve, 10.0, workers=20, timer=lambda: next(ticks) * 0.001)
    drive(executor)
    told = executor.measured
    assert told.events > 80
    assert 0.001 < told.cost_s < 0.2
    assert 0 < told.busy < 1
    assert 0 < told.idle < 1
    assert 0 < told.delay_s() <= told.delay_s(0.99)
    assert len(told.delays_s) == 40


def test_the_ledger_on_disk_holds_the_same(tmp_path: Path) -> None:
    drive(Simulated(curve, 1.0, workers=9), path=tmp_path / "s")
    kept = Study.open(tmp_path / "s")
    assert results(kept) == results(drive(Simulated(curve, 1.0, workers=9)))  # type: ignore[arg-type]


def test_an_event_costs_about_the_same_with_few_workers_and_with_many() -> None:
    """Times 10 before the driver stopped looking at all workers at each event."""

    def cost(workers: int) -> float:
        executor = Simulated(curve, lambda config, number: 60 + number * 0.618 % 1, workers, timer=time.process_time)
        assert drive(executor, trials=600).history.count(State.RUNNING) == 0
        return executor.measured.cost_s

    few, many = min(cost(20) for _ in range(2)), min(cost(600) for _ in range(2))
    assert many < 5 * few


def test_a_worker_that_joins_and_is_lost_before_it_is_ready_costs_nothing() -> None:
    driver = Driver(Study(SPACE, metric="loss", trials=2), FunctionTask.of(bowl), Inline())
    driver.handle(Lost(3, "its node left"))
    assert driver.error is None
    assert len(driver.workers) == 4
