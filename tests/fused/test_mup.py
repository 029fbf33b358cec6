"""Lanes under muP against a plain loop with torch's parameter groups: a rate, decay and eps for each tensor."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import automl
from automl.core.seeds import derive
from automl.data.prepared import Part
from automl.data.shapes import Inputs, Outputs
from automl.fused.engine import Engine
from automl.fused.optim.param_groups import scales
from automl.fused.problem import Entry, Options, Problem
from automl.fused.tensors.layout import layout
from automl.models import build, families, mup
from automl.training.hyperparameters import OPTIMIZERS, read
from automl.training.optimizers import make
from tests.support.plain_training import trained

F64 = torch.float64
INPUTS, OUTPUTS = Inputs((12,)), Outputs(3, "classes")
BASE = {"width": 32, "base_width": 8, "depth": 2, "batch_size": 20, "parametrization": "mup", "weight_decay": 0.1}
SEEDS = {0: 11, 1: 12, 2: 13}


def part(n: int, seed: int) -> Part:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 12, generator=generator, dtype=F64)
    return Part(x, x[:, :3].argmax(1))


def engine(fuse: str, mixes: tuple[str, ...] = ()) -> Engine:
    problem = Problem(build("mlp"), INPUTS, OUTPUTS, "classification", part(103, 0), part(50, 1), mixes=mixes)
    return Engine(problem, Options(fuse=fuse, dtype=F64, max_parallel=8))


def plain(config: Mapping[str, Any], seed: int, epochs: int) -> nn.Module:
    """One trial as a person would write it, with `Trainer`'s optimizers."""
    torch.manual_seed(derive(seed, "init"))
    module = build("mlp")(dict(config), INPUTS, OUTPUTS)
    roles = mup.roles(build("mlp"), config, INPUTS, OUTPUTS)
    mup.rescale(module, roles)
    module.to(F64)
    (optimizer,) = make(module.named_parameters(), read(config), mup.factors(roles, config["optimizer"]))
    return trained(module, optimizer, config, seed, epochs, epochs, part(103, 0))


def check(e: Engine, configs: Mapping[int, Mapping[str, Any]]) -> None:
    e.admit([Entry(t, dict(config), SEEDS[t], 8) for t, config in configs.items()])
    while e.trials:
        for t in (ended := e.run_epoch().ended()):
            expected = plain(configs[t], SEEDS[t], 8).state_dict()
            for name, value in e.weights(t).items():
                torch.testing.assert_close(value, expected[name], rtol=1e-6, atol=1e-7, msg=f"{t} {name}")
        e.release(ended)


@pytest.mark.parametrize("fuse", ["require", "never"])
@pytest.mark.parametrize("optimizer", sorted({*OPTIMIZERS} - {"muon"}))
def test_lanes_equal_the_plain_loop(optimizer: str, fuse: str) -> None:
    rate = 1e-2 if optimizer == "sgd" else 1e-3
    own = [{"lr": rate}, {"lr": 3 * rate, "clip": 0.5}, {"lr": 2 * rate, "weight_decay": 0.01}]
    check(engine(fuse), {t: {**BASE, "optimizer": optimizer, **more} for t, more in enumerate(own)})


def test_lanes_of_different_shapes_do_too() -> None:
    names = ("width", "depth", "optimizer", "batch_size")
    own = [{"width": 16, "lr": 1e-3}, {"depth": 3, "lr": 3e-3}, {"optimizer": "nadam", "lr": 2e-3, "width": 24}]
    check(engine("require", names), {t: {**BASE, "optimizer": "adamw", **more} for t, more in enumerate(own)})


@pytest.mark.parametrize("family", [f.name for f in families().values() if "parametrization" in f.defaults])
def test_every_parameter_of_every_family_has_its_factors(family: str) -> None:
    inputs = {"convnet": Inputs((1, 8, 8)), "bag": Inputs((6,), "tokens", 9)}.get(family, INPUTS)
    config = {"width": 32, "base_width": 16, "heads": 2, "parametrization": "mup"}
    plan = layout(build(family)(config, inputs, OUTPUTS))
    made = scales(mup.roles(build(family), config, inputs, OUTPUTS), plan, "adamw")
    assert len(made) > 1
    assert sorted(name for scale in made for name in scale.names) == sorted(slot.name for slot in plan.slots)
    columns = sorted((c.start, c.stop) for scale in made for c in scale.columns)
    assert columns[0][0] == 0
    assert all(a[1] == b[0] for a, b in pairwise(columns))


def test_a_search_under_mup_trains_many_trials_as_one(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(
        "model: mlp\ndata: digits\nmetric: val_accuracy\nepochs: 3\nparametrization: mup\nfuse: require\n"
        "stopper: none\nfinalists: none\nstrategy: random\nbudget: {trials: 6}\n"
        "space: {width: 32, dropout: 0.1, lr: {float: [1e-4, 1e-1], log: true}}\n"
    )
    fused = automl.search(file, path=tmp_path / "a", executor="inline", workers=1)
    alone = automl.search(file, path=tmp_path / "b", executor="inline", workers=1, overrides={"fuse": "never"})
    values = [[t.loss for t in sorted(s.history.trials, key=lambda t: t.number)] for s in (fused, alone)]
    assert values[0] == pytest.approx(values[1], abs=1e-3)
