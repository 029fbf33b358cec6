"""The export, read back by Optuna itself."""

import warnings

import pytest

from automl.core.space import Choice, Float, Int
from automl.core.trial import Failure
from automl.errors import SpecError
from automl.integrations.optuna_journal import export
from automl.study.study import Study

optuna = pytest.importorskip("optuna")


@pytest.fixture
def study():
    space = {
        "lr": Float(1e-4, 1.0, log=True),
        "drop": Float(0.0, 0.6, step=0.1),
        "width": Int(16, 256, log=True),
        "opt": Choice(("sgd", None, True, 3)),
        "momentum": Float(0.5, 0.99, when={"opt": ("sgd",)}),
        "epochs": 5,
    }
    with Study(space, metric="val_accuracy", trials=30, seed=3, name="farm") as made:
        for k in range(30):
            trial = made.ask()
            if k == 3:
                made.fail(trial, Failure("nan", "loss is nan", 1))
            elif k < 29:
                made.report(trial, 1, {"val_accuracy": 0.5})
                made.tell(trial, val_accuracy=0.5 + k / 100)
        yield made


def read(file):
    from optuna.storages.journal import JournalFileBackend

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(file)))
        return optuna.load_study(study_name="farm", storage=storage)


def test_optuna_reads_all_trials_values_and_curves(study, tmp_path):
    assert export(study, tmp_path / "journal.log") == 30
    theirs = read(tmp_path / "journal.log")
    assert theirs.direction.name == "MAXIMIZE"
    assert len(theirs.trials) == 30
    assert theirs.best_trial.number == study.best.number
    for record, trial in zip(study.history.trials, theirs.trials, strict=True):
        assert trial.number == record.number
        assert trial.params == {n: v for n, v in record.config.items() if n != "epochs"}
        assert trial.user_attrs["epochs"] == 5
        assert trial.intermediate_values == {s: study.metric.value(loss) for s, loss in record.curve}
    states = [t.state.name for t in theirs.trials]
    assert (states[3], states[29], states.count("COMPLETE")) == ("FAIL", "RUNNING", 28)
    assert theirs.trials[3].user_attrs["failure"] == "nan: loss is nan"
    assert 0 <= theirs.trials[0].duration.total_seconds() < 60


def test_their_importance_can_be_computed_from_it(study, tmp_path):
    export(study, tmp_path / "journal.log")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert optuna.importance.get_param_importances(read(tmp_path / "journal.log"), params=["lr"])


def test_a_file_that_is_there_is_not_touched(study, tmp_path):
    (tmp_path / "journal.log").write_text("mine")
    with pytest.raises(SpecError, match="exists"):
        export(study, tmp_path / "journal.log")
    assert (tmp_path / "journal.log").read_text() == "mine"


@pytest.mark.parametrize(
    ("choices", "shown"),
    [
        ([(64,), (64, 32)], ["[64]", "[64, 32]"]),
        ([[64], 8, None], ["[64]", 8, None]),
        ([1, True, "1", None], ["1", "true", '"1"', "null"]),
    ],
)
def test_tuples_and_values_that_optuna_would_take_for_the_same(choices, shown, tmp_path):
    with Study({"c": Choice(choices), "one": Float(1, 1)}, metric="loss", strategy="grid", name="farm") as made:
        while (trial := made.ask()) is not None:
            made.tell(trial, loss=0.5)
        export(made, tmp_path / "journal.log")
        theirs = read(tmp_path / "journal.log")
        assert sorted(map(str, (trial.params["c"] for trial in theirs.trials))) == sorted(map(str, shown))
        assert list(theirs.trials[0].distributions["c"].choices) == shown


def test_a_study_with_two_objectives_is_one_with_two_directions(tmp_path):
    metric = ["val_loss", {"name": "accuracy", "direction": "maximize"}, {"name": "ms", "at_most": 3}]
    study = Study({"x": Float(0, 1)}, metric=metric, trials=4, name="farm")
    for k in range(4):
        trial = study.ask()
        values = {"val_loss": k / 4, "accuracy": 0.5 + k / 8, "ms": 1.0}
        assert study.report(trial, 1, values, horizon=2).kind == "continue"
        if k < 3:
            study.tell(trial, **values)
        else:
            study.withdraw(trial.number)
    assert export(study, tmp_path / "journal.log") == 4
    theirs = read(tmp_path / "journal.log")
    assert [d.name for d in theirs.directions] == ["MINIMIZE", "MAXIMIZE"]
    assert theirs.metric_names == ["val_loss", "accuracy"]
    assert [t.values for t in theirs.trials] == [[k / 4, 0.5 + k / 8] for k in range(3)] + [None]
    assert theirs.trials[1].user_attrs["values"]["ms"] == 1.0
    assert {t.number for t in theirs.best_trials} == {0, 1, 2}
