"""Tune small, train big: `fidelity` is searched at its low end, and its finalists are trained at the high one."""

import json
from pathlib import Path

import pytest

import automl
from automl import specfile
from automl.errors import SpecError
from automl.study.reader import StudyView
from automl.view.pages.final import document, final

SPEC = """
model: mlp
data: iris
metric: val_log_loss
epochs: 2
parametrization: mup
fidelity: {width: [8, 32]}
space:
  width: {int: [4, 64], log: true}
  lr: {float: [1e-3, 1e-1], log: true}
stopper: none
budget: {trials: 4}
finalists: {top: 2, seeds: 2}
"""


def sized(trial: automl.Trial) -> None:
    """The bigger the better; and what is best small is best big."""
    trial.report(loss=(trial["x"] - 0.3) ** 2 + 1 / trial["width"])


def test_the_search_is_narrow_the_finalists_and_the_saved_model_are_wide(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(SPEC)
    study = automl.search(file, path=tmp_path / "s", executor="inline")
    assert {t.config["width"] for t in study.history.trials} == {8}
    assert {t.config["width"] for t in StudyView(tmp_path / "s" / "finalists").history.trials} == {32}
    assert json.loads((tmp_path / "s" / "best" / "winner.json").read_text())["config"]["width"] == 32
    model = automl.load(tmp_path / "s")
    assert 32 in [weights.shape[0] for weights in model.module.state_dict().values()]


def test_it_goes_on_after_the_search_was_extended(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(SPEC)
    automl.search(file, path=tmp_path / "s", executor="inline")
    study = automl.resume(tmp_path / "s", trials=5)
    assert {t.config["width"] for t in study.history.trials} == {8}
    assert study.counts.done == 5


def test_a_function_has_it_too_and_a_small_value_is_no_optimism(tmp_path: Path) -> None:
    study = automl.search(
        sized, space={"x": automl.Float(0, 1)}, metric="loss", trials=8, fidelity={"width": (8, 64)}, seed=1,
        finalists={"top": 3, "seeds": 2}, path=tmp_path / "s", executor="inline",
    )  # fmt: skip
    assert study.verdict is not None
    assert study.winner == study.best
    best = study.verdict["finalists"][0]
    assert best["found"] - best["mean"] == pytest.approx(1 / 8 - 1 / 64)
    assert document(study)["optimism"] is None
    assert document(study)["big"] == {"width": 64}
    assert "at width 64 over 2 fresh seeds" in final(study)


def test_without_finalists_there_is_nothing_to_train_big(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="finalists"):
        automl.search(
            sized, space={"x": automl.Float(0, 1)}, metric="loss", trials=2, fidelity={"width": (8, 64)},
            finalists=None, path=tmp_path / "s",
        )  # fmt: skip


def test_nothing_else_of_the_space_may_depend_on_it() -> None:
    text = SPEC.replace("epochs: 2", "epochs: 2").replace(
        "  lr:", "  depth: {int: [1, 3]}\n  drop: {float: [0, 1], when: {depth: [2, 3]}}\n  lr:"
    )
    with pytest.raises(SpecError, match="drop depends on depth"):
        specfile.parse(text.replace("{width: [8, 32]}", "{depth: [1, 3]}"), "space.yaml")
