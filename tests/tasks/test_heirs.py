"""Heirs in real training: they begin with their parent's weights, whatever trains them and whatever is killed."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import automl
from automl.core.trial import State, schedule_of
from automl.driver.screen import NullScreen
from automl.errors import AutoMLError
from automl.evaluation.schedules import key
from automl.fused.lane import LaneState
from automl.study.study import Study
from automl.tasks.lanes.parking import Parking
from automl.training.hyperparameters import Hyperparameters
from automl.training.loop import saved_state
from automl.training.optimizers import make
from automl.worker.link import Place
from automl.worker.trial import Trial

SPEC: dict[str, Any] = {
    "model": "mlp",
    "data": "digits",
    "metric": "val_accuracy",
    "epochs": 6,
    "space": {
        "depth": 1,
        "width": 8,
        "lr": {"float": [1e-3, 3e-2], "log": True},
        "weight_decay": {"float": [1e-6, 1e-1], "log": True},
        "batch_size": 64,
    },
    "strategy": "pbt",
    "stopper": {"name": "population", "size": 6, "ready": 2, "share": 0.5},
    "budget": {"epochs": 36},
    "finalists": {"top": 4, "seeds": 1},
}


class Killed(NullScreen):
    """Ends the process's search at once, as Ctrl-C twice does, when `after` trials have ended."""

    def __init__(self, after: int) -> None:
        self.left = after

    def ended(self, study: object, record: object) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


def searched(path: Path, kills: tuple[int, ...] = ()) -> Study:
    spec = path.parent / f"{path.name}.yaml"
    spec.write_text(json.dumps({**SPEC, "study": path.name}))
    for after in kills:
        with pytest.raises(AutoMLError):
            automl.search(spec, path=path, executor="inline", screen=Killed(after))
    return automl.search(spec, path=path, executor="inline", screen=None)


def facts(study: Study) -> list[Any]:
    return [(t.number, t.config, t.origin, t.state, t.curve) for t in study.history.trials]


def test_a_population_of_lanes_is_the_same_after_kills_and_its_winner_is_trained_again_in_parts(tmp_path: Path) -> None:
    whole = searched(tmp_path / "whole")
    trials = whole.history.trials
    heirs = [t for t in trials if t.parent is not None]
    assert len(heirs) == 6, "half of six in each of two comparisons"
    assert whole.history.steps_spent == 36
    assert whole.history.count(State.DONE) == 6
    for heir in heirs:
        parent = trials[heir.parent[0]]  # type: ignore[index]
        assert heir.curve[0][0] == heir.begun_at + 1
        assert {n for n in heir.config if heir.config[n] != parent.config[n]} <= {"lr", "weight_decay"}
        assert heir.curve[0][1] < trials[0].curve[0][1], "it goes on with trained weights"
    assert facts(searched(tmp_path / "killed", kills=(1, 2))) == facts(whole)
    assert whole.verdict is not None
    finalists = [schedule_of(trials, f["trial"]) for f in whole.verdict["finalists"]]
    assert max(map(len, finalists)) > 1, "three of the six that are done are heirs"
    runs = automl.Study.open(tmp_path / "whole" / "finalists").history
    trained = [schedule_of(runs.trials, t.number) for t in runs.done]
    assert sorted(map(key, trained)) == sorted(map(key, finalists))
    assert len(runs) == sum(map(len, finalists))
    first = whole.winner
    assert first is not None
    described = json.loads((tmp_path / "whole" / "best" / "winner.json").read_text())
    assert len(described.get("schedule", [0])) == len(schedule_of(trials, first.number))


def saving(trial: automl.Trial) -> None:
    """What a trial has learned is the sum of its rates; a report may pause it, so its state is saved in any case."""
    state = trial.load() or {"learned": 0.0}
    for step in trial.steps(4):
        state["learned"] += trial["rate"]
        try:
            trial.report(step, loss=100 - state["learned"])
        finally:
            trial.save(state)


def late(trial: automl.Trial) -> None:
    """The same, but it saves after it has reported, and so not when that report pauses it."""
    state = trial.load() or {"learned": 0.0}
    for _ in trial.steps(4):
        state["learned"] += trial["rate"]
        trial.report(loss=100 - state["learned"])
        trial.save(state)


@pytest.mark.parametrize(("function", "own"), [(saving, 2), (late, 3)])
def test_a_function_goes_on_with_what_its_parent_has_saved(function: Any, own: int, tmp_path: Path) -> None:
    study = automl.search(
        function,
        space={"rate": automl.Float(0.0, 1.0)},
        metric="loss",
        strategy="pbt",
        stopper={"name": "population", "size": 4, "ready": 2},
        horizon=4,
        epochs=16,
        path=tmp_path / "s",
        executor="inline",
        screen=None,
    )
    (heir,) = (t for t in study.history.trials if t.parent is not None)
    parent = study.history.trials[heir.parent[0]]  # type: ignore[index]
    rates = [float(t.config["rate"]) for t in (parent, heir)]  # type: ignore[arg-type]
    assert heir.curve[-1] == (4, pytest.approx(100 - (4 - own) * rates[0] - own * rates[1]))


def test_what_is_parked_is_bounded_and_belongs_to_a_step() -> None:
    def trial(number: int, step: int, parent: Any = None) -> Trial:
        made = automl.core.messages.Assignment(number, {"lr": 0.1}, seed=number, step=step, parent=parent)
        return Trial(made, Place(0, ("cpu",), None), None)  # type: ignore[arg-type]

    def state() -> LaneState:
        return LaneState(3, 30, {"param": torch.zeros(100)}, {})

    parking = Parking(most_bytes=1000)
    for number in range(4):
        paused = trial(number, 3)
        paused.step = 3
        parking.put(paused, state(), {})
    assert list(parking.places) == [2, 3], "400 bytes each"
    assert parking.of(trial(3, 3)) is not None
    assert parking.of(trial(3, 4)) is None, "it has reported since, elsewhere"
    assert parking.of(trial(1, 3)) is None
    parent = automl.core.messages.Parent(3, 3, {"lr": 0.1}, 3)
    heir = trial(9, 3, parent)
    assert parking.of(heir) is not None
    assert (heir.step, heir.inherited) == (3, True)
    assert parking.of(trial(9, 4, parent)) is None, "it goes on from its own checkpoint"
    assert parking.of(trial(9, 2, automl.core.messages.Parent(3, 2, {"lr": 0.1}, 3))) is None


def test_an_optimizer_that_gets_the_state_of_another_keeps_its_own_rates() -> None:
    def optimizers(lr: float) -> tuple[torch.nn.Module, list[torch.optim.Optimizer]]:
        model = torch.nn.Linear(2, 2)
        return model, make(model.named_parameters(), Hyperparameters(lr=lr), None, frozenset())

    parent, rates = optimizers(0.1)
    parent(torch.ones(1, 2)).sum().backward()
    rates[0].step()
    heir, own = optimizers(0.02)
    saved_state.load(saved_state.save(parent, rates, None, False), heir, own, None, False)
    assert {group["base_lr"] for group in own[0].param_groups} == {0.02}
    assert own[0].state_dict()["state"]
    assert torch.equal(heir.weight, parent.weight)
