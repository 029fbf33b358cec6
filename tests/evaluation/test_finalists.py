"""Finalists: fresh and paired seeds, the winner by their mean, one evaluation on the test rows, and kills."""

import json
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import automl
from automl.errors import SpecError
from automl.evaluation import verdict as verdicts
from automl.study import winner
from automl.study.reader import StudyView
from automl.study.study import Study
from automl.view.pages.final import document, final

X = {"x": automl.Float(0, 1)}
SPEC = """
model: mlp
data: iris
metric: val_log_loss
epochs: 3
space:
  width: {int: [4, 16]}
  lr: {float: [1e-3, 1e-1], log: true}
stopper: none
budget: {trials: 6}
seed: 2
"""


def by_seed(trial: automl.Trial) -> None:
    """A loss that is half luck; the seed decides how lucky."""
    trial.report(loss=trial["x"] + (trial.seed % 1000) / 1000)


def plain(trial: automl.Trial) -> None:
    trial.report(loss=trial["x"])


def run(task: Callable[[automl.Trial], None], path: Path, **options: Any) -> Study:
    given: dict[str, Any] = {"space": X, "metric": "loss", "trials": 12, "executor": "inline", "seed": 1, **options}
    return automl.search(task, path=path, **given)


def runs(path: Path) -> list[Any]:
    view = StudyView(path / "finalists")
    found = list(view.history.trials)
    view.close()
    return found


def test_the_winner_is_the_best_on_fresh_seeds(tmp_path: Path) -> None:
    study = run(by_seed, tmp_path / "s")
    verdict = study.verdict
    assert verdict is not None
    means = [f["mean"] for f in verdict["finalists"]]
    assert means == sorted(means)
    assert [len(f["values"]) for f in verdict["finalists"]] == [3] * 5
    assert {f["trial"] for f in verdict["finalists"]} == {
        t.number for t in sorted(study.history.done, key=lambda t: (t.loss, t.number))[:5]
    }
    assert study.winner is not None
    assert study.winner.number == verdict["winner"] == verdict["finalists"][0]["trial"]
    assert study.best is not None
    assert study.winner.number != study.best.number, "the luckiest trial of this search is not the best config"
    assert verdict["optimism"] == pytest.approx(means[0] - study.winner.loss)  # type: ignore[operator]
    assert winner.best_trial(tmp_path / "s") == study.winner.number
    low, high = verdict["finalists"][0]["interval"]
    assert low < means[0] < high


def test_seeds_are_fresh_and_the_same_for_all_finalists(tmp_path: Path) -> None:
    file = tmp_path / "seeds.txt"

    def note(trial: automl.Trial) -> None:
        with file.open("a") as out:
            out.write(f"{trial['x']} {trial.seed}\n")
        trial.report(loss=trial["x"])

    run(note, tmp_path / "s", finalists={"top": 3, "seeds": 4})
    seen: dict[str, list[int]] = {}
    for line in file.read_text().splitlines():
        seen.setdefault(line.split()[0], []).append(int(line.split()[1]))
    again = [seeds for seeds in seen.values() if len(seeds) > 1]
    assert len(again) == 3
    assert len({tuple(seeds[1:]) for seeds in again}) == 1
    assert len({seeds[0] for seeds in seen.values()} | set(again[0][1:])) == 12 + 4


def test_without_finalists_the_searchs_best_wins(tmp_path: Path) -> None:
    study = run(by_seed, tmp_path / "s", finalists=None)
    assert study.verdict is None
    assert study.winner == study.best
    assert not (tmp_path / "s" / "finalists").exists()
    assert document(study)["finalists"] is None


@pytest.mark.parametrize("wrong", [{"top": 0}, {"best": 3}, {"seeds": "3"}])
def test_wrong_numbers_are_refused_before_the_search(tmp_path: Path, wrong: Mapping[str, Any]) -> None:
    with pytest.raises(SpecError, match="finalists takes"):
        run(by_seed, tmp_path / "s", finalists=wrong)


def test_a_training_that_ignores_its_seed_is_told(tmp_path: Path) -> None:
    study = run(plain, tmp_path / "s")
    assert "does the training use trial.seed?" in final(study)
    assert "no test set" in final(study)
    verdict = dict(study.facts["finalists"])
    assert verdict.pop("seeds_have_no_effect")
    study.facts["finalists"] = {**verdict, "deaf": True}  # as version 0.1.0 has written it
    assert "does the training use trial.seed?" in final(study)


def test_a_config_that_fails_on_a_fresh_seed_does_not_win(tmp_path: Path) -> None:
    def fragile(trial: automl.Trial) -> None:
        if trial["x"] < 0.03 and "finalists" in str(trial.folder) and trial.number > 3:
            raise RuntimeError("not again")
        trial.report(loss=trial["x"])

    study = run(fragile, tmp_path / "s", finalists={"top": 4, "seeds": 2}, trials=30, strategy="random")
    assert study.best is not None
    assert study.best.config["x"] < 0.03
    assert study.winner is not None
    assert study.winner.config["x"] >= 0.03


def test_when_all_fail_again_the_search_has_its_winner(tmp_path: Path) -> None:
    def once(trial: automl.Trial) -> None:
        if "finalists" in str(trial.folder):
            raise RuntimeError("not again")
        trial.report(loss=trial["x"])

    study = run(once, tmp_path / "s")
    assert study.verdict is None
    assert study.winner == study.best is not None


def test_more_trials_judge_again_and_keep_what_was_run(tmp_path: Path) -> None:
    run(by_seed, tmp_path / "s")
    before = runs(tmp_path / "s")
    study = run(by_seed, tmp_path / "s", trials=40)
    after = runs(tmp_path / "s")
    assert [t.config for t in after[: len(before)]] == [t.config for t in before]
    assert study.verdict is not None
    assert len(study.verdict["finalists"]) == 5
    wanted = [study.history.trials[f["trial"]].config for f in study.verdict["finalists"]]
    counted = [sum(t.config == w for t in after) for w in wanted]
    assert counted == [3] * 5


def described(folder: Path, more: str = "") -> Path:
    (folder / "space.yaml").write_text(SPEC + more)
    return folder / "space.yaml"


def test_a_described_task_is_tested_once_and_says_so(tmp_path: Path) -> None:
    study = automl.search(described(tmp_path), path=tmp_path / "s", executor="inline")
    verdict = study.verdict
    assert verdict is not None
    assert verdict["test"]["metric"] == "test_log_loss"
    low, high = verdict["test"]["interval"]
    assert low < verdict["test"]["value"] < high
    model = automl.load(tmp_path / "s")
    assert model.metrics["test_log_loss"] == pytest.approx(verdict["test"]["value"])
    assert "test_log_loss" in (tmp_path / "s" / "best" / "README.md").read_text()
    told = document(study)
    assert told["test"]["value"] == verdict["test"]["value"]
    assert told["finalists"][0]["seeds"] == 3
    json.dumps(told, allow_nan=False)
    assert "evaluated once" in final(study)

    again = automl.resume(tmp_path / "s")
    assert again.verdict == json.loads(json.dumps(verdict))
    view = StudyView(tmp_path / "s")
    assert len(view.facts[verdicts.TEST_EVALUATIONS]) == 1
    view.close()


def test_killed_between_the_look_and_the_verdict_it_is_still_one_look(tmp_path: Path) -> None:
    first = automl.search(described(tmp_path), path=tmp_path / "s", executor="inline")
    view = StudyView(tmp_path / "s")
    looks = view.facts[verdicts.TEST_EVALUATIONS]
    view.close()
    db = sqlite3.connect(tmp_path / "s" / "ledger.sqlite")
    db.execute("DELETE FROM study WHERE key = ?", (verdicts.FACT,))
    db.commit()
    db.close()
    again = automl.resume(tmp_path / "s")
    assert again.verdict == json.loads(json.dumps(first.verdict))
    view = StudyView(tmp_path / "s")
    assert view.facts[verdicts.TEST_EVALUATIONS] == looks
    view.close()


def test_a_described_task_without_test_rows(tmp_path: Path) -> None:
    spec = described(tmp_path, "split: {train: 0.7, val: 0.3, test: 0.0}\n")
    study = automl.search(spec, path=tmp_path / "s", executor="inline")
    assert study.verdict is not None
    assert study.verdict["test"] is None
    assert automl.load(tmp_path / "s").metrics["val_log_loss"] > 0


def test_refit_and_ensemble(tmp_path: Path) -> None:
    spec = described(tmp_path, "refit: train+val\nensemble: 4\n")
    study = automl.search(spec, path=tmp_path / "s", executor="inline")
    verdict = study.verdict
    assert verdict is not None
    model = automl.load(tmp_path / "s")
    assert model.metrics["test_log_loss"] == pytest.approx(verdict["test"]["value"])
    assert not any(name.startswith("val_") for name in model.metrics), "this model was trained on the validation rows"
    ensemble = automl.load(tmp_path / "s" / "ensemble")
    assert sum(ensemble.weights) <= 4
    assert verdict["ensemble"]["gain"] == pytest.approx(verdict["test"]["value"] - verdict["ensemble"]["test"])
    assert verdict["ensemble"]["among"] == 6 + 15  # models of the search, and of five finalists on three seeds
    assert f"{verdict['ensemble']['models']} of 21 models: test_log_loss" in final(study)


def noisy_but_equal_at_the_end(trial: automl.Trial) -> None:
    """As an accuracy on few rows: the last value is equal for all seeds, the way there is not."""
    trial.report(loss=trial["x"] + (trial.seed % 1000) / 1000)
    trial.report(loss=trial["x"])


def other_metric_differs(trial: automl.Trial) -> None:
    trial.report(loss=trial["x"], val_log_loss=(trial.seed % 1000) / 1000)


def only_some_configs_use_it(trial: automl.Trial) -> None:
    trial.report(loss=trial["x"] + (trial["x"] > 0.2) * (trial.seed % 1000) / 1000)


def perfect(trial: automl.Trial) -> None:
    trial.report(accuracy=1.0)


@pytest.mark.parametrize(
    ("train", "metric", "accused"),
    [
        (plain, "loss", True),
        (noisy_but_equal_at_the_end, "loss", False),
        (other_metric_differs, "loss", False),
        (only_some_configs_use_it, "loss", False),
        (perfect, "accuracy", False),
    ],
)
def test_seeds_are_said_to_have_no_effect_only_if_all_that_was_reported_is_equal(
    tmp_path: Path, train: Callable[[automl.Trial], None], metric: str, accused: bool
) -> None:
    study = run(train, tmp_path / "s", metric=metric, strategy="random")
    assert study.verdict is not None
    assert study.verdict["seeds_have_no_effect"] is accused
    assert ("does the training use trial.seed?" in final(study)) is accused
