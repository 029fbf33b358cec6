"""Recipes: the data they load, and what is refused before the first epoch."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from automl.core.trial import Metric
from automl.errors import SpecError
from automl.tasks.recipe import KEPT, PreparedData, Recipe


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    folder = tmp_path_factory.mktemp("recipe")
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(60, 6)), columns=list("abcdef"))
    rows.assign(y=np.where(rows.a > 0, "yes", "no")).to_csv(folder / "t.csv", index=False)
    return Recipe("mlp", "t.csv", 2, Metric("val_loss"), target="y", folder=folder)


def test_refit_trains_on_the_validation_rows_too(recipe: Recipe) -> None:
    plain, refit = recipe.load(), replace(recipe, refit=True).load()
    assert len(refit.train) == len(plain.train) + len(plain.val)
    assert (refit.test.y == plain.test.y).all()


def test_data_that_were_sent_are_not_read_again(recipe: Recipe) -> None:
    sent = replace(recipe, sent=recipe.load(), folder=Path("nowhere"))
    assert sent.load() is sent.sent


def test_a_metric_that_is_not_measured_is_refused_with_the_nearest_one(recipe: Recipe) -> None:
    wrong = replace(recipe, metric=Metric("val_accurracy", "maximize"))
    with pytest.raises(SpecError, match=r"'val_accurracy' is not measured for classification; did you mean 'val_acc"):
        wrong.check(recipe.load())


def test_the_last_preparations_are_kept(recipe: Recipe) -> None:
    data = PreparedData(recipe)
    assert data.of({"lr": 0.1}) is data.default
    first = data.of({"prepare_pca": 1})
    assert first is data.of({"prepare_pca": 1, "lr": 0.2})
    assert first.train.x.shape[1] == 1
    others = [data.of({"prepare_pca": count}) for count in range(2, 2 + KEPT)]
    assert all(data.of({"prepare_pca": k}) is one for k, one in enumerate(others, 2))
    assert first is not data.of({"prepare_pca": 1})


def test_user_code_is_known_by_its_colon(recipe: Recipe) -> None:
    assert not recipe.runs_user_code
    assert replace(recipe, model="mine:build").runs_user_code
    assert replace(recipe, data="mine:load").runs_user_code
