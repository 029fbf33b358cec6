"""Every preset is loaded, sampled 200 times and trained for two steps, or grown for two rounds."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from automl_search_spaces import presets

from automl import specfile
from automl.data import Inputs, Outputs, Part, Prepared, load
from automl.models import build, families
from automl.training import Trainer, hyperparameters
from automl.training.trees.trainer import TreeTrainer

PARTS = sorted(name for name in presets() if "/" in name)
WHOLE = sorted(name for name in presets() if "/" not in name)


def small(inputs: Inputs, outputs: Outputs, kind: str) -> Prepared:
    """Two batches of noise of the right kind."""
    if inputs.kind == "tokens":
        x = torch.randint(0, int(inputs.vocabulary or 1), (8, *inputs.shape))
    else:
        x = torch.randn(8, *inputs.shape)
    y = torch.randint(0, int(outputs), (8,))
    part = Part(x, y)
    target = {"name": "y", "kind": kind, "classes": list(range(int(outputs)))}
    return Prepared(inputs, outputs, kind, part, part, part, target["classes"], [], {"target": target}, "")  # type: ignore[arg-type]


def of_part(name: str) -> specfile.Spec:
    group, short = name.split("/")
    model = short if group == "architecture" else "mlp"
    head = f"model: {model}\ndata: digits\nmetric: val_loss\nepochs: 1\nbudget: {{trials: 1}}\n"
    text = f"{head}space: {{{group}: {{use: {short}}}}}\n"
    return specfile.parse(text)


def two_steps(family: str, config: dict, inputs: Inputs, outputs: Outputs) -> None:
    rows = small(inputs, outputs, "classification")
    if family == "trees":
        trainer: Trainer | TreeTrainer = TreeTrainer(rows, {**config, "rounds": 2}, 1, seed=0)
    else:
        trainer = Trainer(build(family), rows, {**config, "batch_size": 4}, 1, seed=0)
        assert trainer.steps == 2
    report = trainer.epoch()
    assert trainer.done == 1
    assert set(report) >= {"train_loss", "val_loss", "val_accuracy"}


@pytest.mark.parametrize("name", PARTS)
def test_each_part_is_sampled_and_trained(name):
    made = of_part(name)
    rng = np.random.default_rng(0)
    known = {*hyperparameters.NAMES, *(key for family in families().values() for key in family.defaults)}
    words = Inputs((6,), "tokens", 9)
    shapes = {"convnet": Inputs((1, 8, 8)), "lstm": words, "transformer": words, "bag": words}
    for k in range(200):
        config = made.space.sample(rng)
        assert made.space.contains(config)
        assert set(config) <= known, "a parameter nothing reads"
        hyperparameters.read(config)
        if k < 6:
            family = made.model or "mlp"
            narrow = {**config, "width": min(int(config.get("width", 16)), 64)}
            two_steps(family, narrow, shapes.get(family, Inputs(12)), Outputs(3))
    assert made.space.contains(made.space.default() or {})


@pytest.mark.parametrize("name", WHOLE)
def test_each_complete_space_is_sampled_and_trained(name, shared_data, monkeypatch):
    monkeypatch.setenv("AUTOML_DATA", str(shared_data))
    made = specfile.read(name)
    rng = np.random.default_rng(0)
    configs = [made.space.sample(rng) for _ in range(200)]
    assert all(made.space.contains(config) for config in configs)
    data = load(made.data, target=made.target, split=made.split, prepare=made.prepare, seed=made.seed)
    few = {part: Part(getattr(data, part).x[:64], getattr(data, part).y[:64]) for part in ("train", "val", "test")}
    config = {**configs[0], "batch_size": 32}
    trainer = Trainer(build(str(made.model)), replace(data, **few), config, 1, seed=0)
    report = trainer.epoch()
    assert trainer.steps == 2
    assert made.metric.name in report
    assert all(np.isfinite(value) for value in report.values())


def test_every_parameter_has_a_comment_with_its_reason():
    for name in PARTS:
        lines = [line for line in presets()[name].read_text().splitlines() if line and not line.startswith("#")]
        assert all("#" in line for line in lines), name
