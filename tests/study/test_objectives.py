"""Studies with several objectives and limits: ask and tell, stoppers, replay, resume."""

from pathlib import Path
from typing import Any

import pytest

import automl
from automl.core.messages import Measured
from automl.core.stopper import Kind
from automl.core.trial import State
from automl.errors import SpecError
from automl.testing.stress import replay

SPACE = {"x": automl.Float(0, 1), "y": automl.Float(0, 1)}
TWO = [{"name": "a", "direction": "minimize"}, {"name": "b", "direction": "minimize"}]
LIMITED = [*TWO, {"name": "c", "at_most": 1.2}]


def values(x: float, y: float) -> dict[str, float]:
    """Two objectives whose front is y = 0, and a limit that cuts one end of it off."""
    return {"a": x + y, "b": 1 - x**0.5 + y, "c": x + 2 * y}


def two_objectives(**options: Any) -> automl.Study:
    study = automl.Study(SPACE, metric=LIMITED, **{"strategy": "tpe", "trials": 25, **options})
    while (trial := study.ask()) is not None:
        study.tell(trial, **values(trial["x"], trial["y"]))
    return study


def test_ask_and_tell_with_two_values(tmp_path: Path) -> None:
    study = two_objectives(path=tmp_path / "s")
    front = study.history.front()
    assert len(front) > 2
    assert all(t.vector[2] <= 1.2 for t in front)
    assert sorted((t.vector[1] for t in front), reverse=True) == [t.vector[1] for t in front]  # the first one rises
    study.close()
    view = automl.Study.open(tmp_path / "s")
    assert [t.number for t in view.history.ranked()] == [t.number for t in study.history.ranked()]
    assert [t.vectors for t in view.history.trials] == [t.vectors for t in study.history.trials]
    assert view.best == study.best
    assert list(replay.problems(tmp_path / "s")) == []
    assert list(study.frame().columns[:7]) == ["rank", "trial", "state", "a", "front", "b", "c"]
    row = study.leaderboard(1).rows[0].to_json()
    assert row["front"] == 1
    assert set(row["values"]) == {"a", "b", "c"}


def test_a_metric_that_is_missing_is_told() -> None:
    study = automl.Study(SPACE, metric=TWO, trials=3)
    trial = study.ask()
    assert trial is not None
    with pytest.raises(SpecError, match=r"'b', which is missing; .*write tell\(trial, a=0.3, b=0.3\)"):
        study.tell(trial, a=1.0)
    study.tell(trial, a=1.0, b=2.0)
    other = study.ask()
    assert other is not None
    study.report(other, 1, {"a": 1.0, "b": float("nan")})
    failure = study.history.trials[1].failure
    assert failure is not None
    assert failure.message == "b is nan at step 1"


def test_other_objectives_are_refused_and_another_choice_is_not(tmp_path: Path) -> None:
    two_objectives(path=tmp_path / "s").close()
    for metric in (TWO, "a", [*TWO, {"name": "c", "at_most": 2}]):
        metric = [{"name": "a", "direction": "minimize"}] if metric == "a" else metric
        with pytest.raises(SpecError, match="another objectives"):
            automl.Study(SPACE, metric=metric, path=tmp_path / "s")
    chosen = automl.Objectives.of(LIMITED, choose={"at_most": {"b": 0.4}})
    study = automl.Study(SPACE, metric=chosen, path=tmp_path / "s", trials=25)
    best = min((t for t in study.history.front() if t.vector[1] <= 0.4), key=lambda t: t.vector[0])
    assert study.best is not None
    assert study.best.number == best.number
    study.close()
    assert automl.Study.open(tmp_path / "s").best == study.best


def test_an_objective_that_was_never_reported_cannot_be_added(tmp_path: Path) -> None:
    study = automl.Study(SPACE, metric=TWO, path=tmp_path / "s", trials=2)
    while (trial := study.ask()) is not None:
        study.tell(trial, a=trial["x"], b=trial["y"])
    study.close()
    more = [*TWO, {"name": "d", "direction": "maximize"}]
    with pytest.raises(SpecError, match="trial 0 did not report 'd' at step 1"):
        automl.Study(SPACE, metric=more, path=tmp_path / "s", accept_changes=True)
    one = automl.Study(SPACE, metric=TWO[:1], path=tmp_path / "s", accept_changes=True)
    assert one.history.objectives.plain
    one.close()


def searched(stopper: Any, strategy: Any, path: Path | None = None, batch: int = 1, until: int = 10**9) -> automl.Study:
    """A search whose trials report 9 steps; one metric improves with the steps, the other one is known at once."""
    study = automl.Study(SPACE, metric=TWO, strategy=strategy, stopper=stopper, trials=40, horizon=9, path=path, seed=3)
    asked = 0
    while asked < until and (trials := study.ask(batch)):
        asked += len(trials)
        going = {t.number: t for t in trials}
        steps = dict.fromkeys(going, 0)
        steps = {n: study.history.trials[n].step for n in going}
        while going:
            points = []
            for number, trial in going.items():
                steps[number] += 1
                x, y = float(trial.config["x"]), float(trial.config["y"])  # type: ignore[arg-type]
                loss = 1 - x**0.5 + y + (2 + x) / steps[number]
                points.append(Measured(number, 0, steps[number], {"a": loss, "b": x}, 9))
            verdicts = study.report_all(points)
            for number in [n for n, v in verdicts.items() if v.kind is not Kind.CONTINUE]:
                del going[number]
            for number in [n for n in going if steps[n] == 9]:
                study.finish(number)
                del going[number]
    return study


STOPPERS = [{"name": "asha"}, {"name": "asha", "mode": "promote"}, "halving", "hyperband", {"name": "median"}]


@pytest.mark.parametrize("stopper", STOPPERS, ids=str)
@pytest.mark.parametrize("batch", [1, 8])
def test_every_stopper_compares_fronts_and_ends(stopper: Any, batch: int) -> None:
    study = searched(stopper, "random", batch=batch)
    study.settle()
    assert study.history.done
    assert study.counts.ended == len(study.history)
    assert study.history.steps_spent < 0.8 * 9 * len(study.history)
    stopped = [t for t in study.history.stopped if t.reason]
    assert any("rank" in t.reason or "front" in t.reason for t in stopped)
    full = study.history.done  # what was stopped is not much better than what was not
    beaten = [t for t in stopped if any(f.vectors[t.step - 1] <= t.vector for f in full if f.step >= t.step)]
    assert len(beaten) > 0.5 * len(stopped)


@pytest.mark.parametrize("stopper", [{"name": "asha", "eta": 2}, "halving"], ids=str)
def test_a_search_that_is_interrupted_and_resumed_ends_with_the_same_front(stopper: Any, tmp_path: Path) -> None:
    whole = searched(stopper, "tpe")
    for until in (7, 15, 10**9):
        study = searched(stopper, "tpe", tmp_path / "s", until=until)
        study.close()
    assert [t.number for t in study.history.front()] == [t.number for t in whole.history.front()]
    assert [(t.config, t.vectors, t.state) for t in study.history.trials] == [
        (t.config, t.vectors, t.state) for t in whole.history.trials
    ]
    assert list(replay.problems(tmp_path / "s")) == []


@pytest.mark.parametrize("strategy", ["tpe", "genetic", "aging", "forest", "gp", "quick_gp", "auto"])
def test_strategies_get_closer_to_the_front_than_random(strategy: str) -> None:
    guided, blind = two_objectives(strategy=strategy, trials=40), two_objectives(strategy="random", trials=40)
    late = [sum(t.config["y"] for t in study.history.trials[20:]) for study in (guided, blind)]  # type: ignore[misc]
    assert late[0] < 0.7 * late[1]


def test_a_limit_alone_keeps_the_search_inside_it() -> None:
    study = automl.Study(
        SPACE, metric=[TWO[0], {"name": "c", "at_least": 0.8}], strategy="gp", trials=40, defaults=False
    )
    while (trial := study.ask()) is not None:
        study.tell(trial, a=trial["x"] + trial["y"], c=trial["x"])  # type: ignore[operator]
    assert study.best is not None
    assert 0.8 <= study.best.vector[0] < 0.85
    late = study.history.trials[20:]
    assert sum(t.config["x"] >= 0.79 for t in late) > 0.8 * len(late)  # type: ignore[operator]


def test_optunas_samplers_are_refused() -> None:
    study = automl.Study(SPACE, metric=TWO, strategy="optuna", trials=3)
    with pytest.raises(SpecError, match="use auto or gp"):
        study.ask()


def test_the_state_of_no_trial_is_lost() -> None:
    study = searched("halving", "random", batch=8)
    assert {t.state for t in study.history.trials} <= {State.DONE, State.STOPPED, State.PAUSED}
