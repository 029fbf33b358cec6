"""Greedy ensembles: what is chosen, what they answer, and that their members are verified."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import automl
from automl.bundle import bundle, ensemble
from automl.data import load
from automl.errors import BundleError
from automl.evaluation.holdout import Holdout
from automl.models import build
from automl.training import Solo


def test_models_that_err_differently_are_taken_together() -> None:
    y = torch.arange(90) % 3
    outputs = []
    for wrong in range(3):  # each is sure and wrong on its own third of the rows
        made = torch.nn.functional.one_hot(y, 3).double() * 4
        rows = torch.arange(90) % 9 // 3 == wrong
        made[rows] = made[rows].roll(1, 1)
        outputs.append(made)
    outputs.append(torch.nn.functional.one_hot((y + 1) % 3, 3).double() * 4)  # one that is always wrong

    def loss(made: Tensor) -> float:
        return float(torch.nn.functional.cross_entropy(made, y))

    weights = ensemble.choose(loss, outputs, 9, classes=True)
    assert weights[3] == 0
    assert min(weights[:3]) >= 1
    single = min(loss(o) for o in outputs)
    mixed = sum(w * o.softmax(1) for w, o in zip(weights, outputs, strict=True)) / sum(weights)
    assert loss(mixed.log()) < single


def test_values_are_averaged_as_they_are() -> None:
    y = torch.linspace(-1, 1, 20)[:, None]
    weights = ensemble.choose(lambda made: float((made - y).square().mean()), [y + 1, y - 1, y + 9], 4, classes=False)
    assert weights == [1, 1, 0]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ensemble")
    prepared = load("diabetes", seed=1)
    models = {}
    for seed in range(3):
        config = {"width": 8, "lr": 1e-2}
        trainer = Solo(build("mlp"), prepared, config, 3, seed=seed)
        for _ in range(3):
            report = trainer.epoch()
        models[f"m{seed}"] = bundle.save(
            folder / f"m{seed}",
            model="mlp",
            config=config,
            prepared=prepared,
            state_dict=trainer.weights(),
            metrics=report,
        )
    holdout = Holdout(prepared, build("mlp"), "rmse")
    told = ensemble.make(folder / "ensemble", models, holdout, 5, models["m0"])
    assert told["gain"] == pytest.approx(holdout.sample(models["m0"], "test").value - told["test"])
    return folder / "ensemble"


def test_it_answers_with_the_members_average(made: Path) -> None:
    from sklearn.datasets import load_diabetes

    rows = load_diabetes(as_frame=True).data.head(7)
    together = automl.load(made)
    parts = [w * m.predict(rows) for m, w in zip(together.models, together.weights, strict=True)]
    assert np.allclose(together.predict(rows), sum(parts) / sum(together.weights), rtol=1e-5)


def test_another_member_is_refused(made: Path) -> None:
    member = next(p for p in made.iterdir() if p.is_dir())
    manifest = member / "manifest.json"
    kept = manifest.read_text()
    manifest.write_text(kept.replace('"format"', ' "format"'))
    with pytest.raises(BundleError, match="not the member that was saved"):
        automl.load(made)
    manifest.write_text(kept)
    assert automl.load(made).kind == "regression"
