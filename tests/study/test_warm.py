"""Earlier studies: which rows are copied, what is tried first, and that the old folder may vanish."""

import shutil
from pathlib import Path
from typing import Any

import pytest

import automl
from automl.core.live.agreement import agreement, predictions
from automl.core.live.state import Earlier
from automl.errors import SpecError
from automl.study.live.warm import differ, fitted
from automl.testing.stress import replay
from automl.view.pages.trial import text

SPACE = {"x": automl.Float(0, 1), "opt": ["adam", "sgd"], "m": automl.Float(0, 0.9, when={"opt": "sgd"})}
RANDOM = {"metric": "loss", "strategy": "random"}


def loss(config: dict[str, Any], best: float = 0.3) -> float:
    return float((config["x"] - best) ** 2 + (0.2 if config["opt"] == "sgd" else 0.0))


def ran(
    path: Path | None, trials: int, best: float = 0.3, space: dict[str, Any] | None = None, **more: Any
) -> automl.Study:
    study = automl.Study(space or SPACE, **{**RANDOM, "trials": trials, "path": path, **more})
    while (trial := study.ask()) is not None:
        study.tell(trial, loss=loss(trial.config, best))
    study.close()
    return study


@pytest.fixture
def old(tmp_path: Path) -> Path:
    ran(tmp_path / "old", 30)
    return tmp_path / "old"


def test_the_best_configs_are_tried_first_and_the_rows_are_kept(old: Path, tmp_path: Path) -> None:
    study = ran(tmp_path / "new", 10, warm=[old])
    first = study.history.trials[:3]
    assert [t.origin for t in study.history.trials] == ["earlier"] * 3 + [""] * 7
    best = sorted(loss(t.config) for t in automl.Study.open(old).history.trials)
    assert loss(first[0].config) == best[0]
    assert all(differ(study.space, a.config, b.config) for a in first for b in first if a is not b)
    assert study.notes == ["warm: old: 30 of 30 trials fit this space; its best 3 are tried first"]
    (earlier,) = study.history.live.earlier
    assert (earlier.name, earlier.full, len(earlier.configs)) == ("old", 30, 30)
    assert list(earlier.losses) == sorted(earlier.losses)


def test_the_old_folder_may_vanish(old: Path, tmp_path: Path) -> None:
    given = {**RANDOM, "trials": 10, "path": tmp_path / "new", "warm": [str(old)]}
    with automl.Study(SPACE, **given) as study:
        trial = study.ask()
        assert trial is not None
        study.tell(trial, loss=loss(trial.config))
        queue = list(study.history.live.queue)
    shutil.rmtree(old)
    with automl.Study(SPACE, **given) as study:
        assert list(study.history.live.queue) == queue
        assert study.notes == []
        while (trial := study.ask()) is not None:
            study.tell(trial, loss=loss(trial.config))
        assert [t.origin for t in study.history.trials].count("earlier") == 3
    assert list(replay.problems(tmp_path / "new")) == []


def test_seeds_of_several_studies_take_turns_after_the_defaults(tmp_path: Path) -> None:
    for k, best in enumerate((0.1, 0.5, 0.9)):
        ran(tmp_path / f"s{k}", 60, best)
    space = {**SPACE, "x": automl.Float(0, 1, default=0.2)}
    study = ran(None, 9, space=space, warm=[tmp_path / f"s{k}" for k in range(3)])
    origins = [t.origin for t in study.history.trials]
    assert origins == ["default", *["earlier"] * 6, "", ""]
    near = [min((0.1, 0.5, 0.9), key=lambda best: abs(best - t.config["x"])) for t in study.history.trials[1:7]]
    assert near == [0.1, 0.5, 0.9] * 2


def test_rows_of_another_space_are_completed_or_left_out(old: Path) -> None:
    space = {"x": automl.Float(0, 0.5), "opt": ["adam", "lion"], "depth": automl.Int(1, 9)}
    study = automl.Study(space, **RANDOM, trials=5, warm=[old])
    (earlier,) = study.history.live.earlier
    assert 0 < len(earlier.configs) < 30
    assert all(config == {"x": config["x"], "opt": "adam", "depth": 5} for config in earlier.configs)
    assert study.notes[0].endswith("depth: new here, filled in")
    assert fitted({"x": 0.7, "opt": "adam"}, study.space) is None
    assert fitted({"x": 0.2, "opt": "adam", "gone": 3}, study.space) == {"x": 0.2, "opt": "adam", "depth": 5}


def test_stopped_trials_come_after_full_ones(tmp_path: Path) -> None:
    with automl.Study(SPACE, **RANDOM, trials=4, horizon=3, path=tmp_path / "old", stopper="median") as study:
        done, cut = study.ask(2)
        study.tell(done, 3, loss=0.9)
        study.report(cut, 1, {"loss": 0.1})
        study.withdraw(cut.number)
    study = automl.Study(SPACE, **RANDOM, trials=4, warm=[tmp_path / "old"])
    (earlier,) = study.history.live.earlier
    assert (earlier.losses, earlier.full) == ((0.9, 0.1), 1)


@pytest.mark.parametrize(
    ("warm", "message"),
    [
        ("studies/odl", "odl: no study here"),
        (3, "warm: needs the folder of a study"),
        ({"study": "old", "seed": 3}, "warm: no option 'seed'; did you mean 'seeds'?"),
        ({"study": "old", "seeds": 7}, "warm: seeds needs a whole number from 0 to 6, got 7"),
    ],
)
def test_a_wrong_source_is_told(warm: Any, message: str, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(old.parent)
    with pytest.raises(SpecError) as caught:
        automl.Study(SPACE, **RANDOM, trials=3, warm=[warm])
    assert message in str(caught.value)


def test_a_study_of_which_nothing_fits_is_told(old: Path) -> None:
    with pytest.raises(SpecError, match=r"none of its trials fits this space \(its best one has x = "):
        automl.Study({**SPACE, "x": automl.Float(3, 4)}, **RANDOM, trials=3, warm=[old])


def test_agreement_is_high_with_the_same_task_and_low_with_another(old: Path) -> None:
    same, other = ran(None, 40, 0.3, warm=[old]), ran(None, 40, 0.9, warm=[old])
    values = [agreement(s.history, s.history.live.earlier[0]) for s in (same, other)]
    assert None not in values
    assert float(values[0] or 0) > 0.8
    assert float(values[1] or 0) < 0.4
    assert same.earlier_studies()[0].startswith("old agrees with this data (rank correlation 0.")
    assert ran(None, 4, warm=[old]).earlier_studies() == []


def test_predictions_are_the_scores_of_what_is_near() -> None:
    space = automl.Space.of({"x": automl.Float(0, 1)})
    xs = [k / 10 for k in range(11)]
    earlier = Earlier("a", tuple({"x": x} for x in xs), tuple(xs), 11)
    low, high = predictions(space, earlier, [{"x": 0.05}, {"x": 0.95}])
    assert low < 0.25 < 0.75 < high


def test_a_specification_names_earlier_studies_beside_it(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from automl import specfile

    text = "command: [echo, '{x}']\nmetric: val_loss\nspace: {x: {float: [0, 1]}}\nbudget: {trials: 3}\nwarm: [%s]\n"
    (tmp_path / "a.yaml").write_text(text % "old")
    assert specfile.read(tmp_path / "a.yaml", gpus=lambda: 0).warm == ({"study": "old", "seeds": 3},)
    (tmp_path / "b.yaml").write_text(text % "{study: odl, seeds: 1}")
    with pytest.raises(SpecError, match=r"b.yaml:5:8: warm\[0\]: odl is no study.*did you mean 'old'"):
        specfile.read(tmp_path / "b.yaml", gpus=lambda: 0)


def train(trial: automl.Trial) -> None:
    trial.report(loss=loss(trial.config))


def test_a_search_of_a_function_starts_from_an_earlier_study(old: Path, tmp_path: Path) -> None:
    given = {"metric": "loss", "trials": 5, "strategy": "random", "executor": "inline", "finalists": None}
    study = automl.search(train, space=SPACE, warm=[{"study": old, "seeds": 2}], path=tmp_path / "new", **given)
    assert [t.origin for t in study.history.trials] == ["earlier", "earlier", "", "", ""]
    assert "suggested by: an earlier study" in text(automl.Study.open(tmp_path / "new"), 0, 80)
