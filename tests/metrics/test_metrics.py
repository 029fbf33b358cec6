import math

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from automl import metrics
from automl.errors import SpecError


@pytest.mark.parametrize(
    ("name", "direction"),
    [("val_loss", "minimize"), ("val_accuracy", "maximize"), ("test_auroc", "maximize"), ("perplexity", "minimize"),
     ("valid_error", "minimize"), ("f1_macro", "maximize"), ("loss_total", "minimize"), ("top5_acc", "maximize")],
)  # fmt: skip
def test_direction_is_known_for_the_usual_names(name, direction):
    assert metrics.direction(name) == direction


def test_an_unknown_direction_says_what_to_write():
    with pytest.raises(SpecError, match="direction: minimize"):
        metrics.direction("val_quux")


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_classification_metrics_are_scikit_learns(classes, weighted):
    rng = np.random.default_rng(classes)
    logits = np.round(rng.normal(size=(200, classes)) * 8) / 8  # exact, and with ties
    y = rng.integers(0, classes, 200)
    w = rng.random(200) if weighted else None
    found = metrics.compute(
        "classification", torch.tensor(logits), torch.tensor(y), None if w is None else torch.tensor(w)
    )
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    guess, area = logits.argmax(1), logits[:, 1] - logits[:, 0] if classes == 2 else p
    scores, columns = torch.tensor(logits).softmax(1).numpy(), [1] if classes == 2 else range(classes)
    bins, gaps, weight = np.ceil(p.max(1) * 15), (guess == y) - p.max(1), np.ones(200) if w is None else w
    expected = {
        "accuracy": sk.accuracy_score(y, guess, sample_weight=w),
        "balanced_accuracy": sk.balanced_accuracy_score(y, guess, sample_weight=w),
        "f1_macro": sk.f1_score(y, guess, average="macro", sample_weight=w),
        "log_loss": sk.log_loss(y, p, sample_weight=w),
        "auroc": sk.roc_auc_score(y, area, multi_class="ovr", sample_weight=w),
        "average_precision": np.mean([sk.average_precision_score(y == k, scores[:, k], sample_weight=w)
                                      for k in columns]),
        "mcc": sk.matthews_corrcoef(y, guess, sample_weight=w),
        "ece": sum(abs((gaps * weight)[bins == b].sum()) for b in range(1, 16)) / weight.sum(),
    }  # fmt: skip
    assert found == pytest.approx(expected, abs=1e-9)


def test_regression_metrics_are_scikit_learns_in_the_unit_of_the_data():
    rng = np.random.default_rng(0)
    y, guess, w = rng.normal(size=100) * 30 + 7, rng.normal(size=100) * 30 + 7, rng.random(100)
    standard = [torch.tensor((v - 7) / 30)[:, None] for v in (guess, y)]
    found = metrics.compute("regression", *standard, torch.tensor(w), scale=torch.tensor([30.0]))
    expected = {
        "rmse": sk.root_mean_squared_error(y, guess, sample_weight=w),
        "mae": sk.mean_absolute_error(y, guess, sample_weight=w),
        "r2": sk.r2_score(y, guess, sample_weight=w),
    }
    assert found == pytest.approx(expected, rel=1e-9)


def test_auroc_of_one_class_is_not_a_number():
    found = metrics.compute("classification", torch.randn(5, 2), torch.ones(5, dtype=torch.int64))
    assert np.isnan(found["auroc"])


def test_perplexity_of_a_uniform_guess_is_the_vocabulary():
    found = metrics.compute("next_token", torch.zeros(3, 4, 17), torch.randint(0, 17, (3, 4)))
    assert found["perplexity"] == pytest.approx(17)


@pytest.mark.parametrize(
    ("name", "reach"),
    [
        ("val_accuracy", (0, 1)),
        ("auroc", (0, 1)),
        ("val_mcc", (-1, 1)),
        ("val_ece", (0, math.inf)),
        ("val_rmse", (0, math.inf)),
        ("r2", (-math.inf, 1)),
        ("mine", (-math.inf, math.inf)),
    ],
)
def test_bounds(name: str, reach: tuple[float, float]) -> None:
    assert metrics.bounds(name) == reach
