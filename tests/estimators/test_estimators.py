"""`automl.fit` and the estimators: a table is enough, and scikit-learn's own tools take them."""

import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator
from typer.testing import CliRunner

import automl
from automl.cli.app import app
from automl.errors import DataError
from automl.estimators.recipe import FEW_FOLDS, FOLDS, recipe, split
from automl.models.combined.bagged import FOLDS as FOLD_MODELS

QUICK = {"time_s": None, "trials": 2, "epochs": 40}


def table(rows=240, seed=0):
    """Rows whose class and price follow from a number, a category and a date."""
    rng = np.random.default_rng(seed)
    x, kind = rng.normal(size=rows), rng.choice(["a", "b", "c"], rows)
    score = x + (kind == "b") - (kind == "c")
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 300, rows), unit="D")
    label = np.where(score > 0, "yes", "no")
    return pd.DataFrame({"x": x, "kind": kind, "day": days, "label": label, "price": 3.0 * score + 20.0})


def test_a_table_becomes_a_classifier_that_names_its_labels(tmp_path):
    rows = table().drop(columns="price")
    model = automl.fit(rows, "label", dir=tmp_path, seed=3, **QUICK)
    new = table(100, seed=1)
    assert isinstance(model, automl.AutoMLClassifier)
    assert list(model.classes_) == ["no", "yes"]
    assert (model.predict(new[["x", "kind", "day"]]) == new.label).mean() > 0.85
    proba = model.predict_proba(new[["x", "kind", "day"]])
    assert proba.shape == (100, 2)
    np.testing.assert_allclose(proba.sum(1), 1.0)
    assert model.scores_["test_accuracy"] > 0.7
    assert list(model.leaderboard().columns[:4]) == ["trial", "state", "val_accuracy", "steps"]
    assert {member.config[FOLD_MODELS] for member in model.model_.models} == {FEW_FOLDS}


def test_the_study_beside_it_is_an_ordinary_one(tmp_path):
    rows = table().drop(columns="label")
    model = automl.fit(rows, "price", dir=tmp_path, name="prices", **QUICK)
    assert isinstance(model, automl.AutoMLRegressor)
    assert model.study_ == tmp_path / "prices"
    again = automl.Study.open(tmp_path / "prices")
    assert len(again.history) == 2
    assert (tmp_path / "prices.yaml").is_file()
    other = automl.fit(rows, "price", dir=tmp_path, name="prices", **QUICK)
    assert other.study_ == tmp_path / "prices-2"


def test_a_file_is_read_as_a_search_reads_it(tmp_path):
    rows = table(seed=2).drop(columns=["price", "day"])
    rows.assign(x=rows.x.map(lambda v: f"{v:.3f}".replace(".", ","))).to_csv(tmp_path / "de.csv", sep=";", index=False)
    model = automl.fit(tmp_path / "de.csv", "label", dir=tmp_path / "studies", **QUICK)
    new = table(100, seed=1)
    assert (model.predict(new[["x", "kind"]]) == new.label).mean() > 0.85


def test_labels_and_features_of_arrays_come_back_as_they_were(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    x[:, 2] = np.arange(200)  # looks like an identifier, and is an input all the same
    model = automl.AutoMLClassifier(**QUICK).fit(x, np.where(x[:, 0] > 0, 7, 3))
    assert set(model.predict(x)) <= {3, 7}
    assert model.score(x, np.where(x[:, 0] > 0, 7, 3)) > 0.9
    assert len(model.model_.models[0].preparation["columns"]) == 3
    assert not hasattr(model, "study_") or model.study_ is None


def test_it_is_pickled_cloned_scaled_and_cross_validated(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 3))
    y = x[:, 0] - 2 * x[:, 1]
    made = make_pipeline(StandardScaler(), automl.AutoMLRegressor(**QUICK))
    assert (cross_val_score(made, x, y, cv=2) > 0.5).all()
    fitted = clone(made).fit(x, y)
    joblib.dump(fitted, tmp_path / "model.joblib")
    np.testing.assert_array_equal(joblib.load(tmp_path / "model.joblib").predict(x), fitted.predict(x))


def test_what_cannot_be_is_said_in_one_sentence(tmp_path):
    with pytest.raises(DataError, match=r"no column 'lable'.*label"):
        automl.fit(table(), "lable", dir=tmp_path)
    with pytest.raises(ValueError, match="1 class"):
        automl.AutoMLClassifier(**QUICK).fit(np.zeros((80, 2)), np.ones(80))
    made = automl.AutoMLRegressor(**QUICK).fit(np.random.default_rng(0).normal(size=(80, 3)), np.arange(80.0))
    with pytest.raises(ValueError, match=r"2 features, but .* expecting 3"):
        made.predict(np.zeros((2, 2)))


def test_few_rows_are_told_to_be_too_few():
    x = np.random.default_rng(0).normal(size=(20, 2))
    with pytest.warns(UserWarning, match="20 rows cannot be split"):
        automl.AutoMLRegressor(**QUICK).fit(x, x[:, 0])


def test_the_training_is_longer_for_small_tables():
    def made(rows):
        entries = {"name": "t", "metric": None, "time_s": 60, "trials": None, "epochs": None, "seed": 0}
        return recipe("t.csv", "y", "regression", rows, **entries)

    assert made(1_000)["epochs"] > made(20_000)["epochs"] > made(200_000)["epochs"]
    assert "numbers" not in made(200_000)["space"]  # embeddings of numbers, too slow for many rows


def test_the_command_fits_and_says_what_follows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table().drop(columns="price").to_csv("rows.csv", index=False)
    done = CliRunner().invoke(app, ["fit", "rows.csv", "--target", "label", "--trials", "2", "--quiet", "--json"])
    assert done.exit_code == 0, done.output
    assert '"val_accuracy"' in done.stdout
    assert (tmp_path / "studies" / "rows.yaml").is_file()


def test_small_tables_have_folds_and_large_ones_few_rows_to_choose_by():
    assert split(1_000, time_s=60) == {"folds": FOLDS, "test": 0.15}
    assert split(1_000, time_s=20) == {"folds": FEW_FOLDS, "test": 0.15}
    assert split(20_000) == {"train": 0.92, "val": 0.05, "test": 0.03}
    assert sum(split(1_000, 2**30).values()) == 1  # one that may be streamed from disk has none


@pytest.mark.slow
@pytest.mark.parametrize("made", [automl.AutoMLClassifier, automl.AutoMLRegressor])
def test_scikit_learn_accepts_it(made):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_estimator(made(time_s=None, trials=2, epochs=20))
