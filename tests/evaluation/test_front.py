"""Several objectives to the end: finalists of the front, the winner, kept models, pages and charts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import automl
from automl.errors import BundleError, SpecError
from automl.study.reader import StudyView
from automl.study.study import Study
from automl.testing.stress import replay
from automl.training.costs.measuring import measure
from automl.view import figures
from automl.view.pages import report
from automl.view.pages.final import document, final

METRIC = ["loss", {"name": "size", "direction": "minimize"}]
SPEC: dict[str, Any] = {
    "model": "mlp",
    "data": "iris",
    "epochs": 4,
    "objectives": ["val_log_loss", "parameters", {"name": "latency_64_ms", "at_most": 1000}],
    "space": {"width": {"int": [2, 64], "log": True}, "lr": {"float": [1e-2, 1e-1], "log": True}},
    "budget": {"trials": 12},
    "stopper": "none",
    "strategy": "sobol",
    "finalists": {"top": 3, "seeds": 2},
    "seed": 2,
}


def noisy(trial: automl.Trial) -> None:
    """A loss that falls with the size, and depends on the seed a little."""
    trial.report(loss=1 / (0.1 + trial["x"]) + (trial.seed % 1000) / 5000, size=trial["x"] ** 2)


def searched(path: Path, train: Callable[[automl.Trial], None] = noisy, metric: Any = METRIC) -> Study:
    space = {"x": automl.Float(0, 1)}
    return automl.search(train, space=space, metric=metric, trials=14, executor="inline", seed=1, path=path)


@pytest.mark.parametrize("choose", [None, {"at_most": {"size": 0.2}}])
def test_points_of_the_front_are_retrained_and_one_is_chosen(choose: Any, tmp_path: Path) -> None:
    study = searched(tmp_path / "s", metric=automl.Objectives.of(METRIC, choose=choose))
    verdict = study.verdict
    assert verdict is not None
    found = verdict["finalists"]
    assert {f["trial"] for f in found} <= {t.number for t in study.history.front()}
    assert len(found) == 5
    for f in found:
        assert len(f["objectives"]["loss"]["values"]) == 3
        assert f["objectives"]["size"]["mean"] == pytest.approx(f["objectives"]["size"]["found"])
        assert f["mean"] == pytest.approx(f["objectives"]["loss"]["mean"])
    assert study.winner is not None
    assert study.winner.number == found[0]["trial"]
    if choose:
        keeping = [f for f in found if f["objectives"]["size"]["mean"] <= 0.2]
        assert found[0]["mean"] == min(f["mean"] for f in keeping)
    text = final(study, "finished")
    assert "front (automl top --front)" in text
    assert ("The winner is the best with size <= 0.2" if choose else "The winner is the knee") in " ".join(text.split())
    told = document(study)
    assert set(told["best"]["values"]) == {"loss", "size"}
    assert all(f["front"] in (0, 1, 2, 3) for f in told["finalists"])
    assert list(replay.problems(tmp_path / "s")) == []


def test_the_models_of_the_front_are_kept_and_loaded(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(json.dumps(SPEC))
    study = automl.search(file, path=tmp_path / "s", executor="inline", screen=None)
    front = study.history.front()
    assert study.path is not None
    kept = {int(p.parent.name) for p in study.path.glob("trials/*/bundle")}
    assert kept == {t.number for t in front}
    small = min(front, key=lambda t: t.vector[1])
    assert automl.load(study.path, trial=small.number).config == small.config
    beaten = next(t.number for t in study.history.done if t.number not in kept)
    with pytest.raises(BundleError, match=f"trial {beaten} is not kept; those of trials"):
        automl.load(study.path, trial=beaten)
    width = {t.number: t.config["width"] for t in study.history.done}
    for t in study.history.done:  # four inputs, one hidden layer, three classes: and a norm or not, by the family
        assert study.history.objectives.values(t.vector)["parameters"] == parameters_of(study, t.config)
    assert len({t.vector[1] for t in study.history.done}) == len(set(width.values()))
    best = automl.load(study.path)
    assert study.winner is not None
    assert best.config == study.winner.config


def parameters_of(study: Study, config: Any) -> float:
    """Counted on a model with weights, where `costs` counts on one without."""
    from automl import specfile
    from automl.tasks.builtin import BuiltinTask
    from automl.tasks.from_spec import task_of

    task = task_of(specfile.from_json(SPEC))
    assert isinstance(task, BuiltinTask)
    prepared = task.load()
    model = task.builder()(dict(config), prepared.inputs, prepared.outputs)
    costs = measure(["bytes", "flops"], task.builder(), config, prepared.inputs, prepared.outputs, "cpu")
    numbers = sum(p.numel() for p in model.parameters())
    assert costs["bytes"] == 4 * (numbers + sum(b.numel() for b in model.buffers()))
    weights = sum(p.numel() for p in model.parameters() if p.dim() > 1)
    assert costs["flops"] == 2 * weights  # each weight is multiplied once and added once
    return float(numbers)


def test_the_chart_and_the_report_show_the_front(tmp_path: Path) -> None:
    study = searched(tmp_path / "s")
    view = StudyView(tmp_path / "s")
    chart = figures.draw("front", view)
    (axes,) = chart.axes
    assert axes.get_xlabel() == "size (lower is better)"
    shown = report.report(view)
    assert 'id="front"' in shown
    assert ">size</th>" in shown
    view.close()
    assert study.history.front()


def test_one_objective_has_no_front(tmp_path: Path) -> None:
    study = searched(tmp_path / "s", lambda trial: trial.report(loss=trial["x"]), "loss")
    assert study.history.front() == []
    assert study.verdict is not None
    assert "front" not in study.verdict["finalists"][0]
    view = StudyView(tmp_path / "s")
    assert 'id="front"' not in report.report(view)
    view.close()


def test_a_search_in_which_no_trial_keeps_the_limit_says_so(tmp_path: Path) -> None:
    study = searched(tmp_path / "s", metric=[*METRIC, {"name": "size", "at_most": -1}])
    assert study.history.front() == []
    assert study.best is not None
    assert study.best.vector[1] == min(t.vector[1] for t in study.history.done)
    assert "breaks size <= -1: no full trial keeps all limits" in " ".join(final(study, "finished").split())


def test_a_report_without_one_objective_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="'size', which is missing"):
        searched(tmp_path / "s", lambda trial: trial.report(loss=trial["x"]))
