"""A population pauses at regular steps, ends its worst, and goes on once heirs have their places."""

from pathlib import Path

import pytest

import automl
from automl.core.history import History
from automl.core.space import Config, Float, Space
from automl.core.strategy import Heir, Strategy
from automl.core.trial import Plan, State, lineage, schedule_of
from automl.errors import SpecError
from automl.stopping.population import Population

SPACE = Space.of({"x": Float(0, 1)})
STOPPER = Population(size=4, ready=2)


def generation(history: History, step: int) -> None:
    """All members report up to `step`, with `x` as their loss, and pause."""
    for record in list(history.running):
        for at in range(record.step + 1, step + 1):
            history.point(record.number, at, float(record.config["x"] or 0))
        if STOPPER.verdict(history, record.number).kind == "pause":
            history.pause(record.number)


def test_the_worst_end_and_heirs_begin_where_the_others_are() -> None:
    history = History(SPACE, plan=Plan(horizon=6))
    assert STOPPER.room(history) == 4
    for x in (0.4, 0.1, 0.3, 0.2):
        history.begin({"x": x})
    assert STOPPER.room(history) == 0
    generation(history, 1)
    assert history.count(State.RUNNING) == 4, "not yet compared"
    generation(history, 2)
    assert history.count(State.PAUSED) == 4
    assert set(STOPPER.drop(history)) == {0}
    assert STOPPER.room(history) == 1
    assert STOPPER.promote(history) == [], "first comes the heir"
    history.end(0, State.STOPPED)
    assert STOPPER.drop(history) == {}, "the same comparison ends no further one"
    heir = history.begin({"x": 0.05}, origin="heir:1@2")
    assert (heir.parent, heir.step, heir.begun_at) == ((1, 2), 2, 2)
    assert STOPPER.promote(history) == [1, 3, 2]
    for number in STOPPER.promote(history):
        history.again(number, 2)
    spent = history.steps_spent
    generation(history, 4)
    assert history.steps_spent == spent + 4 * 2, "an heir's steps count from where it begins"
    assert set(STOPPER.drop(history)) == {2}
    assert [t.number for t in lineage(history.trials, heir.number)] == [1, heir.number]
    assert [(s.config["x"], s.until) for s in schedule_of(history.trials, heir.number)] == [(0.1, 2), (0.05, None)]
    history.end(2, State.STOPPED)
    assert STOPPER.room(history) == 1
    full = History(SPACE, plan=Plan(horizon=6, trials=4))
    for x in (0.4, 0.1, 0.3, 0.2):
        full.begin({"x": x})
    generation(full, 2)
    full.end(0, State.STOPPED)
    assert STOPPER.room(full) == 0
    assert STOPPER.promote(full) == [1, 3, 2], "no budget for an heir: the others go on without it"


def test_a_failed_member_is_replaced_at_the_next_comparison() -> None:
    history = History(SPACE, plan=Plan(horizon=6))
    for x in (0.4, 0.1, 0.3, 0.2):
        history.begin({"x": x})
    history.end(1, State.FAILED)
    assert STOPPER.room(history) == 1, "in the first generation at once"
    generation(history, 2)
    assert set(STOPPER.drop(history)) == {0}
    assert STOPPER.room(history) == 2


def test_the_size_follows_from_the_budget() -> None:
    stopper = Population()
    assert stopper.members(Plan(horizon=10)) == 16
    assert stopper.members(Plan(horizon=10, steps=80)) == 8
    assert stopper.members(Plan(horizon=10, steps=8000)) == 32
    assert stopper.members(Plan(horizon=10, trials=26)) == 8, "two of eight become heirs in each of nine comparisons"
    assert stopper.members(Plan(horizon=10, trials=1)) == 4
    assert Population(size=7).members(Plan(horizon=10, steps=1)) == 7


@pytest.mark.parametrize(("stopper", "told"), [("asha", True), ("none", True), ("population", False), (STOPPER, False)])
def test_a_strategy_without_its_stopper_is_told(stopper: object, told: bool) -> None:
    study = automl.Study(SPACE, metric="loss", strategy="pbt", stopper=stopper, horizon=6, trials=8)
    study.work_with(2)
    assert told is any("works only with the stopper population" in note for note in study.notes)


def test_a_study_hands_out_heirs_and_has_the_same_history_when_it_is_opened_again(tmp_path: Path) -> None:
    from automl.core.messages import Measured

    def study() -> automl.Study:
        return automl.Study(
            SPACE, metric="loss", strategy="pbt", stopper=STOPPER, horizon=6, steps=24, path=tmp_path / "s", seed=3
        )

    def played(sessions: int) -> tuple[list[object], ...]:
        lanes: dict[int, float] = {}
        while True:
            with study() as search:
                for _ in range(sessions):
                    found = search.ask(8)
                    for one in found:
                        assert (one.parent is None) is (search.history.trials[one.number].parent is None)
                        start = 1.0 if one.parent is None else lanes.get(one.parent.number, 1.0)
                        lanes.setdefault(one.number, start)
                    running = [t.number for t in search.history.running]
                    if not running:
                        return [
                            (t.number, dict(t.config), t.curve, t.origin, t.state) for t in search.history.trials
                        ], []
                    for n in running:
                        lanes[n] *= 0.5 + 0.5 * float(search.history.trials[n].config["x"] or 0)
                    points = [Measured(n, 0, search.history.trials[n].step + 1, {"loss": lanes[n]}, 6) for n in running]
                    search.report_all(points)
                    for point in points:
                        if point.step == 6:
                            search.finish(point.trial)

    whole = played(10**6)[0]
    assert any(str(origin).startswith("heir:") for *_, origin, _ in whole)  # type: ignore[misc]
    (tmp_path / "s").rename(tmp_path / "first")
    assert played(1)[0] == whole, "closed and opened between any two rounds"


def test_an_heir_of_a_trial_that_is_not_paused_is_refused() -> None:
    import automl

    class Orphans(Strategy):
        def suggest(self, history: History, n: int) -> list[Config]:
            return [Heir({"x": 0.5}, of=0) if len(history) else {"x": 0.5}]

    study = automl.Study(SPACE, metric="loss", strategy=Orphans(), trials=3)
    study.ask()
    with pytest.raises(SpecError, match="trial 0 is running"):
        study.ask()
