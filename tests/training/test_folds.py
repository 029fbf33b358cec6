"""Folds of a trial that trains alone: networks in the trainer, and trees."""

import numpy as np
import pandas as pd
import pytest
import torch

from automl.data import load
from automl.models import build
from automl.models.combined.bagged import FOLDS, build_saved, separate
from automl.training import Trainer
from automl.training.loop.folded import FoldedTrainer
from automl.training.trees.trainer import TreeTrainer

TREES = {"rounds": 12, "leaves": 5, "min_leaf": 3, "early_stop": 4}
NETWORK = {"width": 8, "depth": 1, "batch_size": 16, "lr": 1e-2, "optimizer": "adamw"}


def data(kind):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(120, 4)), columns=list("abcd"))
    frame["w"] = rng.uniform(0.5, 2, 120)
    signal = frame.a + frame.b**2
    frame["t"] = signal if kind == "regression" else np.where(signal > 1, "yes", "no")
    return load(frame, target="t", split={"folds": 3, "test": 0.2}, prepare={"weight": "w"})


def network(prepared):
    def make(own, seed):
        return Trainer(build("mlp"), own, NETWORK, 4, seed)

    return FoldedTrainer(prepared, make, 5)


def trees(prepared):
    return TreeTrainer(prepared, TREES, 4, 5)


@pytest.mark.parametrize("make", [network, trees])
@pytest.mark.parametrize("kind", ["classification", "regression"])
@torch.no_grad()
def test_what_is_measured_is_of_rows_that_a_model_has_not_seen(kind, make):
    prepared = data(kind)
    trainer = make(prepared)
    with torch.enable_grad():
        found = [trainer.epoch() for _ in range(4)][-1]
    family, config = ("trees", TREES) if make is trees else ("mlp", NETWORK)
    model = build_saved(build(family), {**config, FOLDS: 3}, prepared.inputs, prepared.outputs).eval()
    model.load_state_dict(trainer.weights())
    outputs = torch.zeros(len(prepared.val), int(prepared.outputs))
    for k, member in enumerate(model.members):
        rows = prepared.folds.home == k
        outputs[rows] = member(prepared.val.x[rows]).float()
    weight, y = prepared.val.weight, prepared.val.y
    if kind == "regression":
        score = ((outputs - y).square()[:, 0] * weight).sum() / weight.sum()
        assert found["val_rmse"] == pytest.approx(float(score.sqrt() * prepared.target_scale), rel=1e-4)
    else:
        score = ((outputs.argmax(1) == y) * weight).sum() / weight.sum()
        assert found["val_accuracy"] == pytest.approx(float(score), rel=1e-4)


@pytest.mark.parametrize("make", [network, trees])
def test_it_goes_on_from_a_saved_state(make):
    prepared = data("classification")
    whole, first, second = make(prepared), make(prepared), make(prepared)
    expected = [whole.epoch() for _ in range(3)]
    first.epoch()
    second.load(first.state())
    assert [second.epoch() for _ in range(2)] == expected[1:]
    for name, value in whole.weights().items():
        assert torch.equal(value, second.weights()[name]), name


def test_the_models_of_all_folds_have_as_many_rounds():
    trainer = trees(data("regression"))
    while not trainer.finished:
        trainer.epoch()
    rounds = {len(own["root"]) for own in separate(trainer.weights(), 3)}
    assert len(rounds) == 1
    assert 0 < rounds.pop() <= 12
