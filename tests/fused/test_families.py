"""Every built-in family trains as lanes with every option of training: beside others as alone, in float64 and bf16."""

from typing import Any

import pytest
import torch

from automl.data.prepared import Part
from automl.data.shapes import Inputs, Outputs
from automl.fused.engine import Engine
from automl.fused.problem import Entry, Options, Problem
from automl.models import build
from automl.training.hyperparameters import OPTIMIZERS

IMAGE, TABLE, TIMES = Inputs((1, 12, 12)), Inputs((6,)), Inputs((8, 3))
SERIES = Inputs((8, 3), continues=(0, 1, 2))
MIXED, WORDS = Inputs((6,), "table", None, (4, 3)), Inputs((8,), "tokens", 11)
FAMILIES: dict[str, tuple[str, dict[str, Any], Inputs, str]] = {
    "mlp": ("mlp", {"width": 16, "norm": "batch", "residual": True, "depth": 3}, TABLE, "classification"),
    "mlp, categories": ("mlp", {"width": 16, "norm": "layer"}, MIXED, "classification"),
    "mlp, regression": ("mlp", {"width": 16, "depth": 1}, TABLE, "regression"),
    "mlp, periodic": ("mlp", {"width": 8, "embed_numbers": "periodic", "embed_size": 3}, TABLE, "classification"),
    "mlp, cosine": ("mlp", {"width": 8, "embed_numbers": "cosine", "embed_size": 3}, TABLE, "regression"),
    "mlp, piecewise": ("mlp", {"width": 8, "embed_numbers": "piecewise", "embed_size": 3}, MIXED, "classification"),
    "tabm": ("tabm", {"width": 8, "members": 3}, TABLE, "classification"),
    "tabm, regression": ("tabm", {"width": 8, "members": 3, "embed_numbers": "periodic"}, MIXED, "regression"),
    "bag": ("bag", {"embedding": 8, "weighted": True}, WORDS, "classification"),
    "linear": ("linear", {"trend": 3}, SERIES, "regression"),
    "linear, all columns": ("linear", {"columns": "all", "dropout": 0.2}, SERIES, "regression"),
    "linear, a table": ("linear", {}, TABLE, "classification"),
    "sparse_mlp": ("sparse_mlp", {"width": 32, "block": 4}, TABLE, "classification"),
    "convnet": ("convnet", {"width": 4, "depth": 1}, IMAGE, "classification"),
    "transformer": ("transformer", {"width": 16, "heads": 2, "depth": 1}, TIMES, "classification"),
    "transformer, words": ("transformer", {"width": 16, "heads": 2, "depth": 1}, WORDS, "classification"),
    "transformer, next word": ("transformer", {"width": 16, "heads": 2, "depth": 1}, WORDS, "next_token"),
    "lstm": ("lstm", {"width": 8, "depth": 2}, TIMES, "classification"),
    "lstm, regression": ("lstm", {"width": 8}, TIMES, "regression"),
}
OPTIONS: list[dict[str, Any]] = [
    {},
    {"dropout": 0.3},
    {"label_smoothing": 0.1, "clip": 0.05},
    {"schedule": "cosine", "warmup": 0.2, "ema": 0.8},
    {"schedule": "wsd", "weight_decay": 0.1, "ema": 0.0},
]
FLOATS: list[dict[str, Any]] = [{"noise": 0.2}, {"mixup": 0.5, "noise": 0.1, "label_smoothing": 0.2}]
PIXELS: list[dict[str, Any]] = [{"flip": 0.5, "shift": 0.1}, {"rotate": 20.0, "crop": 0.2, "cutmix": 0.8}]


def part(inputs: Inputs, kind: str, n: int, seed: int, dtype: torch.dtype) -> Part:
    generator = torch.Generator().manual_seed(seed)
    if inputs.kind == "tokens":
        x = torch.randint(0, 11, (n, *inputs.shape), generator=generator)
    else:
        x = torch.randn(n, *inputs.shape, generator=generator, dtype=dtype)
    for at, count in enumerate(inputs.cardinalities):
        x[:, int(inputs) - len(inputs.cardinalities) + at] = torch.randint(0, count, (n,), generator=generator).to(
            dtype
        )
    if kind == "regression":
        return Part(
            x, torch.randn(n, 3, generator=generator, dtype=dtype), torch.rand(n, generator=generator).to(dtype)
        )
    shape = (n, *inputs.shape) if kind == "next_token" else (n,)
    return Part(x, torch.randint(0, 3, shape, generator=generator), torch.rand(n, generator=generator).to(dtype))


def engine(case: str, fuse: Any, dtype: torch.dtype = torch.float64, bf16: bool = False) -> Engine:
    family, _, inputs, kind = FAMILIES[case]
    outputs = Outputs(11, "tokens") if kind == "next_token" else Outputs(3)
    parts = [part(inputs, kind, n, n, dtype) for n in (50, 20)]
    scale = torch.ones(3, dtype=dtype) if kind == "regression" else None
    p = Problem(build(family), inputs, outputs, kind, *parts, scale, own_factory=False)
    return Engine(p, Options(fuse=fuse, dtype=dtype, bf16=bf16))


def trained(e: Engine, configs: list[dict[str, Any]], epochs: int = 2) -> tuple[list[float], list[dict[str, Any]]]:
    """The validation losses and weights of lanes with these configs."""
    e.admit([Entry(t, config, 40 + t, epochs) for t, config in enumerate(configs)])
    for _ in range(epochs):
        report = e.run_epoch()
    assert report.status == ("done",) * len(configs), report.messages
    order = [report.trials.index(t) for t in range(len(configs))]
    return report.metrics["val_loss"][order].tolist(), [e.weights(t) for t in range(len(configs))]


def lanes_of(case: str, **shared: Any) -> list[dict[str, Any]]:
    _, config, inputs, _ = FAMILIES[case]
    floats = FLOATS if inputs.kind != "tokens" and not inputs.cardinalities else []
    own = [*OPTIONS, *floats, *(PIXELS if inputs is IMAGE else [])]
    return [{"batch_size": 16, "lr": 1e-3, "ema": 0.5, **config, **one, **shared} for one in own]


@pytest.mark.parametrize("case", FAMILIES)
def test_every_option_of_a_family_trains_beside_others_as_alone(case: str) -> None:
    configs = lanes_of(case, ema=0.7)
    together, one_by_one = trained(engine(case, "require"), configs), trained(engine(case, "never"), configs)
    assert together[0] == pytest.approx(one_by_one[0], abs=1e-7)
    for ours, theirs in zip(together[1], one_by_one[1], strict=True):
        for name, value in theirs.items():
            torch.testing.assert_close(ours[name], value, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("case", ["mlp, categories", "transformer"])
def test_every_optimizer_trains_a_family_beside_others_as_alone(case: str, optimizer: str) -> None:
    configs = [
        {"batch_size": 25, "lr": 1e-3 / (1 + t), "optimizer": optimizer, "parametrization": "mup", **FAMILIES[case][1]}
        for t in range(3)
    ]
    together, one_by_one = (trained(engine(case, fuse), configs, 1) for fuse in ("require", "never"))
    assert together[0] == pytest.approx(one_by_one[0], abs=1e-6)


@pytest.mark.parametrize("case", FAMILIES)
def test_bf16_lanes_keep_float32_weights_and_are_near_those_of_float32(case: str) -> None:
    configs = lanes_of(case, ema=0.7)
    short = engine(case, "require", torch.float32, bf16=True)
    losses, weights = trained(short, configs)
    exact, _ = trained(engine(case, "require", torch.float32), configs)
    alone, _ = trained(engine(case, "never", torch.float32, bf16=True), configs)
    assert losses != exact
    assert losses == pytest.approx(exact, rel=0.05, abs=0.02)
    assert losses == pytest.approx(alone, rel=0.05, abs=0.02)
    assert all(v.dtype == torch.float32 for state in weights for v in state.values() if v.is_floating_point())
