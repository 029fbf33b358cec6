"""Which trials can train together, decided from their configs alone."""

from typing import Any

import pytest

from automl.core.space import Choice, Float, Int, Space
from automl.core.trial import Metric
from automl.tasks.builtin import BuiltinTask
from automl.tasks.fusing import mixes, why_alone


def task(**options: Any) -> BuiltinTask:
    return BuiltinTask("mlp", "digits", 3, Metric("val_loss"), **options)


def test_hyperparameters_that_do_not_shape_the_model_may_differ() -> None:
    group = task().group
    assert group is not None
    assert group({"lr": 0.1, "width": 8, "dropout": 0.1}) == group({"lr": 0.2, "width": 8, "dropout": 0.3}) != ""
    assert group({"lr": 0.1, "width": 8}) != group({"lr": 0.1, "width": 16})


@pytest.mark.parametrize(
    ("config", "settings", "reason"),
    [
        ({}, {"precision": "fp16"}, "precision: fp16"),
        ({}, {"compile": "always"}, "compile: always"),
    ],
)
def test_what_trains_alone_has_a_reason_and_no_group(config: Any, settings: Any, reason: str) -> None:
    assert reason in why_alone(config, settings)
    group = task(settings=settings).group
    assert group is not None
    assert group(config) == ""


def test_what_trains_together_has_no_reason() -> None:
    assert why_alone({"optimizer": "adamw", "noise": 0.1}, {"precision": "bf16", "augment": {"mixup": 0.2}}) == ""
    assert why_alone({"prepare_pca": 3}, {}) == ""
    group = task().group
    assert group is not None
    assert group({"noise": 0.1}) == group({"noise": 0.0, "mixup": 0.3}) == group({}) != ""


def test_never_means_no_groups() -> None:
    assert task(fuse="never").group is None


def test_shapes_are_mixed_only_where_a_space_has_many() -> None:
    many = Space.of({"width": Int(8, 64), "lr": Float(0.1, 1.0)})
    few = Space.of({"width": Choice((8, 16)), "lr": Float(0.1, 1.0)})
    assert "width" in mixes("mlp", many)
    assert mixes("mlp", few) == ()
    assert mixes("convnet", many) == ()
