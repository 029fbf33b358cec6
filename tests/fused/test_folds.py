"""Folds as lanes: each lane trains on its fold's rows, a trial is scored on what its lanes have not seen."""

import dataclasses

import pytest
import torch
from torch.nn import functional

from automl.core import seeds
from automl.data.folds import Folds
from automl.data.prepared import Part
from automl.data.shapes import Inputs, Outputs
from automl.fused.engine import Engine
from automl.fused.folded import FoldedEngine
from automl.fused.lane import Lane, LaneState
from automl.fused.problem import Entry, Options, Problem
from automl.fused.tensors.rows import TrainingRows
from automl.models import build
from automl.models.combined.bagged import FOLDS, build_saved
from automl.training.hyperparameters import read
from automl.training.samples.units import Unit

FAMILY = build("mlp")
BASE = {"batch_size": 16, "optimizer": "adamw", "width": 8, "depth": 1, "dropout": 0.2, "ema": 0.9}
CONFIGS = [{**BASE, "lr": 1e-2}, {**BASE, "lr": 3e-3}]
MIXED = [{**BASE, "lr": 1e-2}, {**BASE, "lr": 3e-3, "width": 13, "depth": 2}]


def problem(count=3, *, uneven=False, mixes=(), kind="classification"):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(90, 5, generator=generator)
    y = x[:, :3].argmax(1) if kind == "classification" else x[:, :1] * 2
    home = torch.arange(90) % count
    if uneven:
        home = torch.where(torch.arange(90) < 50, 0, home)
    part = Part(x, y)
    outputs = Outputs(3, "classes") if kind == "classification" else Outputs(1, "values")
    train = dataclasses.replace(part, folds=Folds(count, home))
    return Problem(FAMILY, Inputs(5), outputs, kind, train, part, mixes=mixes, own_factory=False)


def folded(fuse, **options):
    return FoldedEngine(Engine(problem(**options), Options(fuse=fuse, auroc_every_epoch=True)))


def trained(engine, configs, epochs=3):
    engine.admit([Entry(k, config, 40 + k, epochs) for k, config in enumerate(configs)])
    return [engine.run_epoch() for _ in range(epochs)]


@pytest.mark.parametrize("unit", [Unit(), Unit("batches", 4)])
def test_a_lane_sees_its_folds_rows_alone(unit):
    rows = TrainingRows(problem(uneven=True).train, unit)
    lanes = [Lane(k, {}, k, 2, read(BASE), {}, fold=k) for k in range(3)]
    found = rows.source(lanes, 16, rows.updates(16), lambda shape, dtype: torch.empty(shape, dtype=dtype)).order
    for k, lane in enumerate(lanes):
        own = rows.data.folds.train_rows(lane.fold)
        assert set(found[k].tolist()) <= set(own.tolist())
        if unit.is_epoch:
            assert found.shape == (3, rows.data.epoch_rows)
            assert len(set(found[k, : len(own)].tolist())) == len(own)
            rest = rows.samples - len(own)  # one that has fewer rows begins again
            assert torch.equal(found[k, len(own) :], found[k, :rest])


@pytest.mark.parametrize("configs", [CONFIGS, MIXED])
def test_fused_and_alone_are_the_same(configs):
    mixes = ("width", "depth") if configs is MIXED else ()
    together, alone = folded("require", mixes=mixes), folded("never", mixes=mixes)
    a, b = trained(together, configs), trained(alone, configs)
    assert together.num_lanes(0) == 6
    assert alone.num_lanes(0) == 1
    for one, other in zip(a, b, strict=True):
        assert one.trials == other.trials == (0, 1)
        for name, values in one.metrics.items():
            assert values == pytest.approx(other.metrics[name], rel=1e-5), name
    assert a[-1].status == ("done", "done")


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_the_score_is_that_of_what_each_lane_has_not_seen(kind):
    engine = folded("require", kind=kind, uneven=True)
    report = trained(engine, CONFIGS)[-1]
    p = engine.lanes.problem
    for trial, weights in engine.weights_of([0, 1]).items():
        model = build_saved(FAMILY, {**CONFIGS[trial], FOLDS: 3}, p.inputs, p.outputs).eval()
        model.load_state_dict(weights)
        made = torch.zeros(90, int(p.outputs))
        for fold, member in enumerate(model.members):
            out = p.train.folds.home == fold
            made[out] = member(p.val.x[out]).detach()
        if kind == "classification":
            loss, score = functional.cross_entropy(made, p.val.y), (made.argmax(1) == p.val.y).double().mean()
        else:
            loss = (made - p.val.y).square().mean()
            score = loss.sqrt()
        name = "val_accuracy" if kind == "classification" else "val_rmse"
        assert report.metrics["val_loss"][trial] == pytest.approx(float(loss), rel=1e-4)
        assert report.metrics[name][trial] == pytest.approx(float(score), rel=1e-4)
        together = model(p.val.x).detach()
        each = torch.stack([member(p.val.x).detach() for member in model.members])
        mean = each.softmax(-1).mean(0).log() if kind == "classification" else each.mean(0)
        torch.testing.assert_close(together, mean)


def test_lanes_of_a_trial_begin_with_other_weights_and_the_trials_config():
    engine = folded("require")
    engine.admit([Entry(7, CONFIGS[0], 3, 2)])
    lanes = engine.lanes.runners[engine.signature(CONFIGS[0])][0].group.lanes
    assert [lane.seed for lane in lanes] == [seeds.derive(3, "fold", k) for k in range(3)]
    assert [lane.fold for lane in lanes] == [0, 1, 2]
    assert all(lane.config == CONFIGS[0] for lane in lanes)
    assert engine.trials == [7]


def test_it_goes_on_from_a_saved_state_together_or_alone():
    whole = trained(folded("require"), CONFIGS, 4)[-1]
    first = folded("require")
    first.admit([Entry(k, config, 40 + k, 4) for k, config in enumerate(CONFIGS)])
    for _ in range(2):
        first.run_epoch()
    states = {t: LaneState.from_dict(s.to_dict()) for t, s in first.snapshot([0, 1]).items()}
    first.release([0])
    assert first.trials == [1]
    for fuse in ("require", "never"):
        second = folded(fuse)
        second.admit([Entry(k, c, 40 + k, 4, states[k]) for k, c in enumerate(CONFIGS)])
        second.run_epoch()
        last = second.run_epoch()
        assert last.metrics["val_loss"] == pytest.approx(whole.metrics["val_loss"], rel=1e-5)


def test_a_fold_that_diverges_ends_its_trial_alone():
    engine = folded("require")
    engine.admit([Entry(k, config, 40 + k, 3) for k, config in enumerate(CONFIGS)])
    group = engine.lanes.runners[engine.signature(CONFIGS[0])][0].group
    group.rows["param"][group.find(4)] = torch.nan  # fold 2 of trial 1
    report = engine.run_epoch()
    assert dict(zip(report.trials, report.status, strict=True)) == {0: "running", 1: "diverged"}
    assert "trial 1 (fold 2 of 3): the training loss is not finite" in report.messages[1]
    engine.release([1])
    assert engine.run_epoch().trials == (0,)
