"""The greedy choice of an ensemble's members, and what is reported of it."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

import automl
from automl.bundle import io
from automl.data import load
from automl.evaluation import ensemble_selection
from automl.evaluation.holdout import Holdout
from automl.models import build
from automl.training import Trainer


def test_models_that_err_differently_are_taken_together() -> None:
    y = torch.arange(90) % 3
    outputs = []
    for wrong in range(3):  # each is sure and wrong on its own third of the rows
        logits = torch.nn.functional.one_hot(y, 3).double() * 4
        rows = torch.arange(90) % 9 // 3 == wrong
        logits[rows] = logits[rows].roll(1, 1)
        outputs.append(logits)
    outputs.append(torch.nn.functional.one_hot((y + 1) % 3, 3).double() * 4)  # one that is always wrong

    def loss(averaged: Tensor) -> float:
        return float(torch.nn.functional.cross_entropy(averaged, y))

    def losses(averaged: Tensor) -> list[tuple[float, ...]]:
        return [(loss(one),) for one in averaged]

    weights, found = ensemble_selection.select(losses, torch.stack(outputs), 9, classes=True)
    assert weights[3] == 0
    assert min(weights[:3]) >= 1
    single = min(loss(o) for o in outputs)
    mixed = sum(w * o.softmax(1) for w, o in zip(weights, outputs, strict=True)) / sum(weights)
    assert loss(mixed.log()) < single
    assert found == (pytest.approx(loss(mixed.log())),)


def test_values_are_averaged_as_they_are() -> None:
    y = torch.linspace(-1, 1, 20)[:, None]

    def losses(averaged: Tensor) -> list[tuple[float, ...]]:
        return [(float((one - y).square().mean()),) for one in averaged]

    weights, _ = ensemble_selection.select(losses, torch.stack([y + 1, y - 1, y + 9]), 4, classes=False)
    assert weights == [1, 1, 0]


def test_of_equal_values_the_lower_loss_counts() -> None:
    """On four rows many models have the same accuracy; the one that is sure of what is right is better."""
    prepared = load("iris", seed=1)
    holdout = Holdout(prepared, build("mlp"), "accuracy")
    sure = torch.nn.functional.one_hot(prepared.val.y, 3).float() * 3
    choice = ensemble_selection.choose({"unsure": sure / 10, "sure": sure, "broken": sure / 0}, holdout, 3)
    assert set(choice.weights) == {"sure"}
    assert (choice.among, choice.value) == (2, 1.0)


def test_values_of_many_models_are_those_of_each_alone() -> None:
    prepared = load("iris", seed=1)
    outputs = torch.randn(4, len(prepared.val), 3, generator=torch.Generator().manual_seed(0))
    for name in ("accuracy", "log_loss", "auroc", "f1_macro", "balanced_accuracy"):
        holdout = Holdout(prepared, build("mlp"), name)
        alone = [holdout.sample_of(one, "val").value for one in outputs]
        torch.testing.assert_close(holdout.values_of(outputs, "val")[:, 0].tolist(), alone)


def test_what_is_reported_is_what_the_saved_ensemble_scores(tmp_path: Path) -> None:
    prepared = load("diabetes", seed=1)
    bundles = {}
    for seed in range(3):
        config = {"width": 8, "lr": 1e-2}
        trainer = Trainer(build("mlp"), prepared, config, 3, seed=seed)
        for _ in range(3):
            metrics = trainer.epoch()
        bundles[f"m{seed}"] = io.save(
            tmp_path / f"m{seed}",
            model="mlp",
            config=config,
            prepared=prepared,
            state_dict=trainer.weights(),
            metrics=metrics,
        )
    holdout = Holdout(prepared, build("mlp"), "rmse")
    report = ensemble_selection.make(tmp_path / "ensemble", bundles, holdout, 5, bundles["m0"])
    assert report["gain"] == pytest.approx(holdout.sample(bundles["m0"], "test").value - report["test"])
    assert report["among"] == 3
    together = automl.load(tmp_path / "ensemble")
    assert dict(zip(report["weights"], together.weights, strict=True)) == report["weights"]
    parts = [w * holdout.outputs(bundles[name], "val") for name, w in report["weights"].items()]
    average = sum(parts) / sum(report["weights"].values())
    assert report["val"] == pytest.approx(holdout.sample_of(average, "val").value)  # type: ignore[arg-type]
