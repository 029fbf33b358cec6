"""Recipes: the data they load, and what is refused before the first epoch."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from automl.core.messages import Assign, Assignment, Order, Ready, Reported, Shutdown
from automl.core.trial import Metric
from automl.errors import SpecError
from automl.tasks.builtin import BuiltinTask
from automl.tasks.recipe import KEPT, PreparedData, Recipe
from automl.worker.link import Place, Recorder
from automl.worker.worker import Worker


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


class OneTrial(Recorder):
    """A link that gives one trial and lets it run to its end."""

    given = False

    def receive(self) -> Order:
        if not isinstance(self.sent[-1], Ready):
            return super().receive()
        if self.given:
            return Shutdown()
        self.given = True
        return Assign((Assignment(3, {"lr": 0.01}),))


def test_a_checkpoint_is_not_loaded_by_a_trial_on_a_series_that_is_read_differently(tmp_path: Path) -> None:
    rows = pd.DataFrame({"when": pd.date_range("2024-01-01", periods=80, freq="h").astype(str), "y": np.arange(80) % 7})

    def losses(content: pd.DataFrame, epochs: int) -> list[object]:
        content.to_csv(tmp_path / "s.csv", index=False)
        task = BuiltinTask(
            "mlp",
            "s.csv",
            epochs,
            Metric("val_loss"),
            target="y",
            folder=tmp_path,
            prepare={"window": 4},
            checkpoint_s=0,
        )
        link = OneTrial()
        Worker(Place(folder=tmp_path / "study"), link).work(task)
        return [p.metrics["val_loss"] for event in link.sent if isinstance(event, Reported) for p in event.points]

    begun = losses(rows, 3)
    assert losses(rows, 5)[:2] == begun[:2], "sent again from the checkpoint"
    wider = losses(rows.assign(more=np.arange(80) % 5), 5)
    assert len(wider) == 5
    assert wider[0] != begun[0]
