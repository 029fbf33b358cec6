"""Requests that change a search while it runs: what is refused, what follows, and that a replay does the same."""

import json
from pathlib import Path
from typing import Any

import pytest

import automl
from automl.core.history import History
from automl.core.live.narrowing import narrowed
from automl.core.space import Config, Space
from automl.core.trial import State
from automl.errors import SpecError
from automl.study.live.requests import MOST_BYTES, Request
from automl.study.reader import StudyView
from automl.testing.stress import replay

SPACE = {
    "lr": automl.Float(1e-4, 1.0, log=True, default=0.1),
    "optimizer": ["adam", "sgd"],
    "momentum": automl.Float(0, 0.9, when={"optimizer": "sgd"}),
    "layers": automl.Int(1, 9, step=2),
}


def loss(config: dict[str, Any]) -> float:
    return float(abs(config["lr"] - 0.01) + config["layers"] / 100 + config.get("momentum", 0.5) / 10)


def begun(path: Path | None, **options: Any) -> automl.Study:
    given = {"metric": "loss", "trials": 12, "strategy": {"name": "tpe", "startup": 4}, "seed": 3, "path": path}
    return automl.Study(SPACE, **{**given, **options})


def trained(study: automl.Study, n: int) -> list[Config]:
    configs = []
    for _ in range(n):
        trial = study.ask()
        if trial is None:
            break
        configs.append(trial.config)
        study.tell(trial, loss=loss(trial.config))
    return configs


# -- what requests do ----------------------------------------------------------------------------------------------


def test_a_config_that_was_added_is_tried_next_and_completed() -> None:
    study = begun(None)
    trained(study, 3)
    study.edit(add=[{"lr": 0.02}, {"optimizer": "sgd", "momentum": 0.3}], by="ada")
    a, b = trained(study, 2)
    assert a["lr"] == 0.02
    assert set(a) >= {"optimizer", "layers"}
    assert (b["optimizer"], b["momentum"], b["lr"]) == ("sgd", 0.3, 0.1)
    assert [t.origin for t in study.history.trials] == ["default", "", "", "edit", "edit"]


def test_a_stopped_trial_ends_with_its_next_report_and_a_paused_one_at_once() -> None:
    study = begun(None, horizon=4, stopper={"name": "asha", "eta": 2, "mode": "promote"})
    first, second = study.ask(2)
    study.edit(stop=first.number, by="ada")
    assert study.report(first, 1, {"loss": 0.1}).reason == "stopped by ada"
    assert study.history.trials[first.number].state is State.STOPPED
    study.history.pause(second.number)
    study.edit(stop=second.number)
    assert study.history.trials[second.number].reason == "stopped by python"


def test_a_pinned_trial_is_ended_by_no_stopper() -> None:
    study = begun(None, horizon=9, stopper={"name": "median", "min_trials": 2, "warmup": 0})
    good, better, bad = study.ask(3)
    study.edit(pin=bad.number)
    for step in (1, 2, 3):
        for trial, value in ((good, 0.1), (better, 0.1), (bad, 9.0)):
            assert study.report(trial, step, {"loss": value}).kind == "continue"


def test_nothing_begins_in_a_pause() -> None:
    study = begun(None)
    trained(study, 2)
    study.edit(pause=True)
    assert study.ask() is None
    assert study.ask(3) == []
    study.edit(resume=True)
    assert study.ask() is not None


@pytest.mark.parametrize(("budget", "begins"), [("+3", 15), (20, 20), ("7 trials", 7)])
def test_the_budget_of_trials_changes(budget: object, begins: int) -> None:
    study = begun(None)
    trained(study, 5)
    study.edit(budget=budget)
    trained(study, 99)
    assert len(study.history) == begins
    assert study.facts["plan"]["trials"] == begins


def test_budgets_of_time_and_epochs() -> None:
    study = begun(None, time_s=60.0, steps=100)
    study.edit(budget="+10m")
    study.edit(budget="+500 epochs")
    assert (study.plan.time_s, study.plan.steps) == (660.0, 600)


def test_the_strategy_keeps_to_a_narrowed_space() -> None:
    study = begun(None, trials=60)
    trained(study, 20)
    study.edit(narrow={"lr": [1e-3, 0.02], "optimizer": ["adam"], "layers": [2, 6]})
    for config in trained(study, 40):
        assert 1e-3 <= config["lr"] <= 0.02
        assert config["layers"] in (3, 5)
        assert config["optimizer"] == "adam"
        assert "momentum" not in config


# -- a later session -----------------------------------------------------------------------------------------------


def test_a_later_session_and_a_replay_know_all_edits(tmp_path: Path) -> None:
    with begun(tmp_path) as study:
        trained(study, 4)
        study.edit(add={"lr": 0.5}, budget="+6", narrow={"lr": [1e-3, 1.0]})
        study.edit(add={"lr": 0.3})
        running = study.ask()
        assert running is not None
        study.edit(pin=running.number, pause=True)
        queue = list(study.history.live.queue)
    assert len(queue) == 1
    with begun(tmp_path) as study:
        assert study.plan.trials == 18
        assert study.space.params["lr"].low == 1e-4  # type: ignore[union-attr]
        assert study.history.space.params["lr"].low == 1e-3  # type: ignore[union-attr]
        assert list(study.history.live.queue) == queue
        assert study.history.live.pinned == {running.number}
        assert study.notes == ["the search was paused, and goes on"]
        trained(study, 99)
        assert study.counts.done == 18
    assert list(replay.problems(tmp_path)) == []
    with begun(tmp_path, trials=20) as study:  # a budget that the user has given anew
        assert study.plan.trials == 20


def test_a_request_is_carried_out_once(tmp_path: Path) -> None:
    request = Request({"budget": "+5"}, id="one")
    with begun(tmp_path) as study:
        study.carry_out(request)
        assert study.carry_out(request) == ["this was done before"]
    with begun(tmp_path) as study:
        assert study.carry_out(request) == ["this was done before"]
        assert study.plan.trials == 17


def test_views_show_the_space_as_declared(tmp_path: Path) -> None:
    with begun(tmp_path, trials=30) as study:
        trained(study, 25)
        study.edit(narrow={"optimizer": ["sgd"], "lr": [0.9, 1.0]})
    view = StudyView(tmp_path)
    assert view.space.params["optimizer"].choices == ("adam", "sgd")  # type: ignore[union-attr]
    assert "adam" in str(view.leaderboard(None))


# -- refusals ------------------------------------------------------------------------------------------------------

REFUSED = {
    "unknown key": ({"stpo": 1}, "'stpo' cannot be asked for; did you mean 'stop'?"),
    "nothing": ({"by": "ada"}, "nothing is asked for"),
    "no trial": ({"stop": 7}, "stop: there is no trial 7; trials are 0 to 4"),
    "ended": ({"stop": 0}, "stop: trial 0 has ended already (done)"),
    "no number": ({"pin": "4"}, "pin: needs the number of a trial, got '4'"),
    "true is no trial": ({"stop": True}, "stop: needs the number of a trial"),
    "parameter": ({"add": {"lrr": 0.1}}, "add: lrr is not a parameter; did you mean 'lr'?"),
    "second config": ({"add": [{"lr": 0.1}, {"lr": 7}]}, "add[1]: lr = 7 is outside float [0.0001, 1.0] log"),
    "config": ({"add": 3}, "add: a config is a mapping"),
    "no config": ({"add": []}, "add: needs a config, or a list"),
    "budget": ({"budget": "lots"}, "budget: needs a number such as 200 or +50 (trials)"),
    "budget 0": ({"budget": 0}, "budget: needs a number"),
    "unlimited": ({"budget": "+1h"}, "budget: +1h adds to a limit, but of time there is none (limited: trials)"),
    "range": ({"narrow": {"lr": [2, 3]}}, "narrow: lr: [2, 3] has nothing in common with float [0.0001, 1.0] log"),
    "no step": ({"narrow": {"layers": [4, 4]}}, "narrow: layers: no value of int [1, 9] step 2 lies in [4, 4]"),
    "value": ({"narrow": {"optimizer": ["adm"]}}, "'adm' is not among its values; did you mean 'adam'?"),
    "name": ({"narrow": {"optimiser": ["adam"]}}, "'optimiser' is not a parameter; did you mean 'optimizer'?"),
    "resume": ({"resume": True}, "resume: the search is not paused"),
    "pause": ({"pause": "yes"}, "pause: needs true, got 'yes'"),
    "after": ({"stop": 4, "after": {"trial": 1}}, "after: 'trial' is not counted; did you mean 'trials'?"),
    "by": ({"stop": 4, "by": "a\x1b[31m"}, "by: needs a name"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_request_changes_nothing_and_is_told_where_it_is_wrong(name: str) -> None:
    request, message = REFUSED[name]
    study = begun(None)
    trained(study, 4)
    study.ask()
    with pytest.raises(SpecError) as caught:
        study.carry_out(Request.of({"add": {"lr": 0.5}, **request} if "by" not in request else request))
    assert message in str(caught.value)
    assert not study.history.live.queue


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"stop": NaN}', b"[" * 100_000, b" " * (MOST_BYTES + 1)])
def test_what_is_no_request_is_refused(content: bytes) -> None:
    with pytest.raises(SpecError):
        Request.of(content)


def test_a_damaged_edit_is_told(tmp_path: Path) -> None:
    with begun(tmp_path) as study:
        study.ledger.edit({"kind": "stop"}, "x", "ada", 0.0)
        study.ledger.commit()
    with pytest.raises(automl.AutoMLError, match="has no 'trial'"):
        begun(tmp_path)


# -- narrowing -----------------------------------------------------------------------------------------------------


def test_conditions_that_cannot_hold_any_more_are_left_out() -> None:
    space = Space.of(SPACE)
    assert "momentum" not in narrowed(space, "optimizer", ["adam"]).params
    assert narrowed(space, "optimizer", ["sgd"]).params["momentum"].when == {"optimizer": ("sgd",)}
    assert narrowed(space, "lr", [1e-3, 1e-3]).sample(History(space).rng())["lr"] == 1e-3
    assert narrowed(space, "lr", [0.2, 0.3]).default() is None


def test_a_request_waits_for_its_place() -> None:
    history = History(Space.of(SPACE))
    request = Request.of(json.dumps({"stop": 0, "after": {"trials": 1, "reports": 2}}).encode())
    history.begin(history.space.sample(history.rng()))
    assert not request.due(history)
    history.point(0, 1, 0.5)
    history.point(0, 2, 0.5)
    assert request.due(history)
