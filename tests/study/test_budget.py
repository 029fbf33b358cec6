"""The limits of a study: a budget of n is used up by exactly n."""

import automl
from automl.core.history import History
from automl.core.space import Space
from automl.core.stopper import Kind
from automl.core.trial import Plan, State
from automl.study.budget import OUT_OF_BUDGET, Budget
from automl.study.study import Study


def budget(**plan: float) -> Budget:
    """The budget of a study that began three trials, one of which reported two steps; no time has passed."""
    history = History(Space.of({"x": automl.Float(0, 1)}), plan=Plan(**plan))  # type: ignore[arg-type]
    for _ in range(3):
        history.begin({"x": 0.5})
    for step in (1, 2):
        history.point(0, step, 1.0)
    return Budget(history, lambda: 0.0, 0.0)


def test_each_limit_is_reached_by_as_much_as_it_says() -> None:
    assert [budget(trials=n).no_trials_left for n in (2, 3, 4)] == [True, True, False]
    assert [budget(steps=n).no_steps_left for n in (1, 2, 3)] == [True, True, False]
    assert not budget().no_trials_left
    assert not budget().spent


def test_results_from_elsewhere_use_up_no_trials() -> None:
    found = budget(trials=3)
    found.added = 1
    assert found.started == 2
    assert not found.no_trials_left


def test_the_time_of_earlier_sessions_counts() -> None:
    history = History(Space.of({"x": automl.Float(0, 1)}), plan=Plan(time_s=100))
    now = [10.0]
    found = Budget(history, lambda: now[0], 60.0)
    assert found.left_s() == 40
    now[0] = 50.0
    assert not found.no_time_left, "the first trial may begin, however late"
    history.begin({"x": 0.5})
    assert found.no_time_left
    assert not found.overdue, "running trials have the grace time"
    now[0] = 50.5 + found.grace_s
    assert found.overdue
    found.count_from(5.0)
    assert found.elapsed_s == 60 + now[0] - 5.0


def test_the_search_ends_as_soon_as_all_its_trials_have_ended() -> None:
    study = Study({"x": automl.Float(0, 1)}, metric="loss", trials=1)
    trial = study.ask()
    assert trial is not None
    study.tell(trial, loss=1.0)
    assert study.ask() is None
    assert study.out_of_budget


def test_a_pack_waits_for_a_first_model_and_then_ends_with_its_time() -> None:
    history = History(Space.of({"x": automl.Float(0, 1)}), plan=Plan(time_s=30, horizon=5))
    now = [0.0]
    found = Budget(history, lambda: now[0], 0.0)
    found.pack, found.kept_s = True, lambda: 4.0
    assert found.left_s() == 26
    now[0] = 95.0  # reading the table took so long
    first, second = history.begin({"x": 0.5}, at_s=95.0), history.begin({"x": 0.4}, at_s=95.0)
    assert found.no_time_left
    assert not found.overdue
    now[0] = 95.0 + found.grace_s
    assert not found.overdue
    now[0] += 1
    assert found.overdue
    history.point(first.number, 1, 0.3)
    history.end(first.number, State.STOPPED, reason=OUT_OF_BUDGET.reason)
    history.end(second.number, State.STOPPED, reason="worse than others")
    assert [t.number for t in found.members()] == [first.number]
    assert found.overdue
    now[0] = 27.0
    assert not found.overdue


def test_a_pack_ends_its_trials_without_grace() -> None:
    now = [0.0]
    study = Study({"x": automl.Float(0, 1)}, metric="loss", time_s=30, horizon=50, clock=lambda: now[0])
    study.budget.pack = True
    first, second = (study.ask() for _ in range(2))
    assert first is not None
    assert second is not None
    assert study.report(first, 1, {"loss": 1.0}).kind is Kind.CONTINUE
    study.budget.concluded = "enough"
    verdict = study.report(first, 2, {"loss": 1.0})
    assert (verdict.kind, verdict.reason) == (Kind.STOP, "budget used up: enough")
    study.budget.concluded, now[0] = "", 30.0
    assert study.report(second, 1, {"loss": 2.0}).kind is Kind.STOP
    assert [t.number for t in study.ranked(5)] == [first.number, second.number]
    assert study.in_pool(study.history.trials[second.number], None)
    assert not study.in_pool(study.history.trials[second.number], study.history.trials[first.number])
