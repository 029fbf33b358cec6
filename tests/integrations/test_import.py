"""Studies of other programs: real storages of Optuna, and files that W&B and Ax have written."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

import automl
from automl.core.space import Space
from automl.core.trial import Metric, State
from automl.errors import SpecError
from automl.integrations.importing.study import import_rows, rows_of
from automl.study.reader import StudyView

EXPORTS = Path(__file__).parent / "exports"
SPACE = Space.of(
    {
        "lr": automl.Float(1e-4, 1, log=True),
        "opt": ["adam", "sgd"],
        "layers": automl.Int(1, 8),
        "momentum": automl.Float(0, 0.9, when={"opt": "sgd"}),
    }
)
LOSS = Metric("val_loss")


def optimized(storage: Any, name: str = "first", direction: str = "minimize") -> Any:
    import optuna

    def objective(trial: Any) -> float:
        lr = trial.suggest_float("lr", 1e-4, 1, log=True)
        if trial.suggest_categorical("opt", ["adam", "sgd"]) == "sgd":
            trial.suggest_float("momentum", 0, 0.9)
        layers = trial.suggest_int("layers", 1, 8)
        if trial.number == 3:
            raise ValueError("no result")
        for step in (1, 2):
            trial.report(abs(lr - 0.01) + layers / 100 + 1 / step, step)
            if trial.number in (5, 6):
                raise optuna.TrialPruned
        return float(abs(lr - 0.01) + layers / 100 + 0.5)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optuna.logging.set_verbosity(optuna.logging.CRITICAL)
        study = optuna.create_study(
            storage=storage, study_name=name, direction=direction, sampler=optuna.samplers.RandomSampler(seed=1)
        )
        study.optimize(objective, n_trials=12, catch=(ValueError,))
    return study


def imported(file: Path, tmp_path: Path, study: str | None = None, space: Space = SPACE) -> tuple[Any, StudyView]:
    found = import_rows(rows_of(file, LOSS, study), space, LOSS, tmp_path / "ours", file.name)
    return found, StudyView(tmp_path / "ours")


def journal(file: Path) -> Any:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return JournalStorage(JournalFileBackend(str(file)))


@pytest.mark.parametrize("kind", ["database", "journal"])
def test_a_storage_of_optuna(kind: str, tmp_path: Path) -> None:
    file = tmp_path / ("a.db" if kind == "database" else "a.log")
    theirs = optimized(f"sqlite:///{file}" if kind == "database" else journal(file))
    found, ours = imported(file, tmp_path)
    assert (found.trials, found.failed, found.misfits) == (11, 1, ())
    kept = [t for t in theirs.trials if t.state.name != "FAIL"]
    for a, b in zip(kept, ours.history.trials, strict=True):
        assert {name: b.config[name] for name in a.params} == a.params
        assert b.curve == tuple(sorted(a.intermediate_values.items()))
        assert b.state is (State.STOPPED if a.state.name == "PRUNED" else State.DONE)
    warm = automl.Study(SPACE, metric="val_loss", trials=4, strategy="random", warm=[tmp_path / "ours"])
    first = warm.ask()
    assert first is not None
    assert first.config["lr"] == theirs.best_params["lr"]


def test_optunas_table(tmp_path: Path) -> None:
    theirs = optimized(None)
    theirs.trials_dataframe().to_csv(tmp_path / "a.csv", index=False)
    found, ours = imported(tmp_path / "a.csv", tmp_path)
    assert (found.trials, found.failed) == (11, 1)
    assert ours.history.count(State.STOPPED) == 2
    assert ours.best is not None
    assert ours.best.loss == pytest.approx(theirs.best_value)


def test_a_storage_with_two_studies_needs_a_name(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'a.db'}"
    optimized(storage, "first")
    optimized(storage, "second", "maximize")
    with pytest.raises(SpecError, match=r"it has 2 studies; say which with --study \(first, second\)"):
        rows_of(tmp_path / "a.db", LOSS)
    with pytest.raises(SpecError, match="no study 'secnd'; did you mean 'second'"):
        rows_of(tmp_path / "a.db", LOSS, "secnd")
    with pytest.raises(SpecError, match="this study is to maximize, but val_loss is to minimize here"):
        rows_of(tmp_path / "a.db", LOSS, "second")
    assert len(rows_of(tmp_path / "a.db", LOSS, "first")) == 12


def test_our_own_leaderboard_comes_back(tmp_path: Path) -> None:
    with automl.Study(SPACE, metric="val_loss", trials=9, strategy="random") as study:
        while (trial := study.ask()) is not None:
            study.tell(trial, val_loss=trial["layers"] / 10)
        (tmp_path / "a.csv").write_text(study.leaderboard(None).csv())
        found, ours = imported(tmp_path / "a.csv", tmp_path)
        assert found.trials == 9
        assert sorted(t.config["lr"] for t in ours.history.trials) == sorted(  # type: ignore[type-var]
            t.config["lr"] for t in study.history.trials
        )


@pytest.mark.parametrize(
    ("name", "trials", "failed"),
    [("ax.json", 4, 1), ("ax.csv", 4, 1), ("wandb_runs.json", 4, 0), ("wandb_project.csv", 4, 0)],
)
def test_exports_that_ax_and_wandb_have_written(name: str, trials: int, failed: int, tmp_path: Path) -> None:
    """`AxClient.save_to_json_file` without its generation strategy, its table, `run.config` and `run.summary`."""
    momentum = automl.Float(0, 0.9)
    found, ours = imported(EXPORTS / name, tmp_path, space=Space.of({**SPACE.params, "momentum": momentum}))
    assert (found.trials, found.failed, found.misfits) == (trials, failed, ())
    assert ours.best is not None
    if name.startswith("ax"):
        assert ours.best.loss == pytest.approx(0.0138266475)
        assert ours.best.config == {
            "lr": pytest.approx(0.0138266475), "opt": "sgd", "layers": 1, "momentum": pytest.approx(0.77960926)
        }  # fmt: skip
    else:
        assert ours.history.trials[0].config == {"lr": 0.238609, "opt": "sgd", "layers": 1, "momentum": 0.233}
        assert ours.history.trials[0].loss == pytest.approx(0.5719423333)


def test_runs_of_wandb_as_its_interface_gives_them(tmp_path: Path) -> None:
    runs = [
        {"name": "a", "state": "finished", "config": {"lr": 0.1, "opt": "adam", "layers": 2},
         "summary": {"val_loss": 0.4, "_step": 9}},
        {"name": "b", "state": "crashed", "config": {"lr": 0.2, "opt": "adam", "layers": 2},
         "summary": {"val_loss": 0.1}},
        {"name": "c", "state": "finished", "config": {"model": {"layers": 3}, "lr": 0.3, "opt": "sgd", "momentum": 0.5},
         "summary": {"val_loss": {"min": 0.3}}},
    ]  # fmt: skip
    (tmp_path / "runs.json").write_text(json.dumps(runs))
    found, ours = imported(tmp_path / "runs.json", tmp_path)
    assert (found.trials, found.failed) == (2, 1)
    assert [t.loss for t in ours.history.trials] == [0.4, 0.3]
    assert ours.history.trials[1].config["layers"] == 3


def test_rows_that_do_not_fit_are_left_out_and_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "config.lr,opt,layers,momentum,val_loss,State\n0.1,adam,2,,0.5,finished\n7,adam,2,,0.4,finished\n"
        "0.1,adam,2.5,,0.4,finished\n0.1,sgd,2,,0.4,finished\n0.1,adam,2,,,finished\n0.1,adam,3,,0.2,killed\n"
    )
    found, _ = imported(tmp_path / "a.csv", tmp_path)
    assert (found.trials, found.failed) == (1, 2)
    assert dict(found.misfits) == {"lr = '7'": 1, "layers = '2.5'": 1, "momentum is missing": 1}
    assert str(found).startswith(f"{tmp_path / 'ours'}: 1 trials; left out: 2 without a result, 1 that do not fit")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "x,y\n1,2\n", "no column for the metric 'val_loss'"),
        ("a.csv", "", "the table has no rows"),
        ("a.csv", "lr,val_loss\n0.1,0.5\n", "no trial fits the space: opt is missing"),
        ("a.json", "{", "cannot be read as JSON"),
        ("a.json", '{"a": 1}', "neither W&B's runs, nor a snapshot of Ax"),
        ("a.db", "SQLite format 3\0 and then nothing", "Optuna cannot read it"),
    ],
)
def test_what_cannot_be_read_is_told(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(SpecError) as caught:
        imported(tmp_path / name, tmp_path)
    assert message in str(caught.value)
    assert not (tmp_path / "ours").exists()
