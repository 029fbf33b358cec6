"""Users' models: random small ones of many layers, what they may not read, and what they are told.

A fuzz of more models: `python tests/fused/test_users_models.py 200`.
"""

import random
import sys
from collections.abc import Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automl.data.prepared import Part
from automl.data.shapes import Inputs, Outputs
from automl.fused.engine import Engine
from automl.fused.modules.blueprint import Blueprint
from automl.fused.problem import Entry, Options, Problem
from automl.fused.sizing.probe import ProbeResult, probe

CPU, F64 = torch.device("cpu"), torch.float64
CONFIG = {"lr": 1e-2, "batch_size": 10, "dropout": 0.2, "optimizer": "sgd", "momentum": 0.0}
ACTIVATIONS = (nn.ReLU, nn.GELU, nn.Tanh, nn.SiLU, nn.ELU, nn.Softplus, nn.Hardswish, nn.LeakyReLU, nn.PReLU, nn.Mish)


class Last(nn.Module):
    """[B, T, F] -> [B, F] of a recurrent layer's outputs."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)[0][:, -1]  # type: ignore[no-any-return]


class Attends(nn.Module):
    def __init__(self, width: int, heads: int, drop: float, need_weights: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, dropout=drop, batch_first=True)
        self.need_weights = need_weights

    def forward(self, x: Tensor) -> Tensor:
        return x + self.attention(x, x, x, need_weights=self.need_weights)[0]  # type: ignore[no-any-return]


class Twice(nn.Module):
    """A layer that is called twice, with a shortcut."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.scale = inner, nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.inner(self.inner(x))  # type: ignore[no-any-return]


class Codes(nn.Module):
    def __init__(self, width: int, pad: int | None, tied: bool) -> None:
        super().__init__()
        self.table = nn.Embedding(7, width, padding_idx=pad)
        self.other = self.table if tied else nn.Embedding(7, width)

    def forward(self, x: Tensor) -> Tensor:
        codes = (x.abs() * 3).long().clamp(max=6)
        return self.table(codes) + self.other(codes.flip(1))  # type: ignore[no-any-return]


def on_vectors(r: random.Random, width: int, drop: float) -> nn.Module:
    """[B, width] -> [B, width]."""
    return r.choice([
        lambda: nn.Linear(width, width, bias=r.random() < 0.7),
        lambda: nn.BatchNorm1d(width, affine=r.random() < 0.7, momentum=r.choice([0.1, None])),
        lambda: nn.LayerNorm(width),
        lambda: nn.RMSNorm(width),
        lambda: nn.Sequential(nn.Unflatten(1, (2, width // 2)), nn.GroupNorm(2, 2), nn.Flatten()),
        lambda: nn.Dropout(r.choice([0.0, drop])),
        lambda: Twice(nn.Sequential(nn.Linear(width, width), r.choice(ACTIVATIONS)())),
        lambda: r.choice(ACTIVATIONS)(),
        lambda: nn.Sequential(nn.Linear(width, 2 * width), nn.GLU()),
    ])()  # fmt: skip


def on_sequences(r: random.Random, width: int, drop: float) -> nn.Module:
    """[B, T, width] -> [B, width]."""
    first = r.choice([
        nn.Identity,
        lambda: Attends(width, 2, r.choice([0.0, drop]), r.random() < 0.5),
        lambda: nn.TransformerEncoderLayer(width, 2, 3 * width, r.choice([0.0, drop]), batch_first=True,
                                           norm_first=r.random() < 0.5, activation=r.choice(["relu", "gelu"])),
        lambda: nn.LayerNorm(width),
    ])()  # fmt: skip
    last = r.choice([
        lambda: Last(nn.LSTM(width, width, r.choice([1, 2]), batch_first=True, bias=r.random() < 0.8)),
        lambda: Last(nn.GRU(width, width, batch_first=True, bidirectional=False)),
        lambda: Last(nn.RNN(width, width, batch_first=True, nonlinearity=r.choice(["tanh", "relu"]))),
        lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(width)),
        lambda: nn.Sequential(nn.LazyConv1d(width, 1), nn.AdaptiveMaxPool1d(1), nn.Flatten()),
    ])()  # fmt: skip
    return nn.Sequential(first, last)


def on_images(r: random.Random, width: int, drop: float) -> nn.Module:
    """[B, 12] -> [B, width], as [B, 1, 3, 4] images."""
    channels = r.choice([2, 4])
    parts = [
        nn.Unflatten(1, (1, 3, 4)),
        r.choice([
            lambda: nn.Conv2d(1, channels, 3, padding=1, padding_mode=r.choice(["zeros", "reflect"])),
            lambda: nn.ConvTranspose2d(1, channels, 2),
            lambda: nn.Sequential(nn.Conv2d(1, channels, 1), nn.Conv2d(channels, channels, 3, 1, 1, groups=channels)),
        ])(),
        r.choice([lambda: nn.BatchNorm2d(channels), lambda: nn.GroupNorm(2, channels), nn.Identity,
                  lambda: nn.InstanceNorm2d(channels, affine=True), lambda: nn.Dropout2d(drop)])(),
        r.choice(ACTIVATIONS)(),
        r.choice([lambda: nn.MaxPool2d(2), lambda: nn.AvgPool2d(2), lambda: nn.AdaptiveAvgPool2d(2)])(),
    ]  # fmt: skip
    return nn.Sequential(*parts, nn.Flatten(), nn.LazyLinear(width))


def random_model(number: int, config: Mapping[str, Any]) -> nn.Module:
    """[B, 12] -> [B, 3]; the structure depends on `number` alone, initial values on torch's generator."""
    r, drop = random.Random(number), float(config["dropout"])
    width = r.choice([4, 6, 8])
    stem = r.choice([
        lambda: nn.Linear(12, width),
        lambda: on_images(r, width, drop),
        lambda: nn.Sequential(nn.Unflatten(1, (3, 4)), nn.Linear(4, width), on_sequences(r, width, drop)),
        lambda: nn.Sequential(Codes(width, r.choice([None, 0]), r.random() < 0.3), on_sequences(r, width, drop)),
    ])()  # fmt: skip
    middle = [on_vectors(r, width, drop) for _ in range(r.randint(0, 3))]
    model = nn.Sequential(stem, *middle, nn.Linear(width, 3))
    with torch.no_grad():
        model(torch.randn(4, 12))  # lazy layers find their sizes
    if r.random() < 0.15:
        next(iter(model.parameters())).requires_grad_(False)
    return model


def data(n: int = 30) -> Part:
    generator = torch.Generator().manual_seed(0)
    return Part(torch.randn(n, 12, generator=generator), torch.randint(0, 3, (n,), generator=generator))


def lane_losses(number: int, fuse: Any) -> Tensor:
    """Losses of three lanes after each of three epochs."""
    part = Part(data().x.double(), data().y)
    problem = Problem(lambda c, i, o: random_model(number, c), Inputs(12), Outputs(3), "classification", part, part)
    engine = Engine(problem, Options(fuse=fuse, dtype=F64))
    engine.admit([Entry(t, {**CONFIG, "lr": 0.01 * (1 + t)}, t, 3) for t in range(3)])
    rows = []
    for _ in range(3):
        report = engine.run_epoch()
        rows.append([report.metrics["val_loss"][report.trials.index(t)] for t in range(3)])
    return torch.tensor(rows)


def verdict(number: int) -> str:
    """What is wrong with the probe's answer for a random model; empty where nothing is."""
    blueprint = Blueprint(lambda c, i, o: random_model(number, c), Inputs(12), Outputs(3), CPU)
    found = probe(blueprint, [CONFIG, {**CONFIG, "lr": 0.3}], "classification", data())
    if not found.ok:
        return f"refused: {found.sentence()}"
    wrong = float((lane_losses(number, "require") - lane_losses(number, "never")).abs().max())
    return "" if wrong < 1e-6 else f"let through, but wrong by {wrong:.1e}"


@pytest.mark.parametrize("number", range(12))
def test_random_models_are_judged_rightly(number: int) -> None:
    assert verdict(number) == ""


class Own(nn.Module):
    def __init__(self, how: Any, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.body, self.head, self.how, self.config = nn.Linear(12, 8), nn.Linear(8, 3), how, config

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.how(self.body(x), self))  # type: ignore[no-any-return]


def probed(how: Any, configs: Any = CONFIG) -> ProbeResult:
    return probe(Blueprint(lambda c, i, o: Own(how, c), Inputs(12), Outputs(3), CPU), configs, "classification", data())


def masked_by_value(y: Tensor, m: Own) -> Tensor:
    return y[y[:, 0] > 0].sum(0) + y


WRONG = {
    "draws": (lambda y, m: y + torch.randn_like(y), "draw random numbers through nn.Dropout"),
    "reads a value": (lambda y, m: y * y.mean().item(), "keep values of tensors out of Python control flow"),
    "masks by value": (masked_by_value, "keep values of tensors out of Python control flow"),
    "functional dropout": (lambda y, m: F.dropout(y, 0.3, m.training), "draw random numbers through nn.Dropout"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_a_lane_is_refused_with_the_layer_and_a_remedy(name: str) -> None:
    how, remedy = WRONG[name]
    found = probed(how)
    assert not found.ok
    assert remedy in found.sentence()
    assert "Own.forward" in found.sentence()


def test_the_layer_that_fails_is_named() -> None:
    def build(config: Mapping[str, Any], inputs: Any, outputs: Any) -> nn.Module:
        return nn.Sequential(nn.Linear(12, 12), nn.Sequential(nn.ReLU(), Own(WRONG["draws"][0], config)))

    found = probe(Blueprint(build, Inputs(12), Outputs(3), CPU), CONFIG, "classification", data())
    assert "in layer '1.1'" in found.sentence()


def test_a_model_that_reads_its_learning_rate_is_refused() -> None:
    configs = [{**CONFIG, "lr": lr} for lr in (0.1, 0.2, 0.3)]
    found = probed(lambda y, m: y * m.config["lr"], configs)
    assert not found.ok
    assert "reads hyperparameters that each lane has for itself (lr)" in found.sentence()
    assert "another name" in found.sentence()
    assert probed(lambda y, m: y.relu(), configs).ok


def test_a_model_of_float32_constants_is_judged_in_float32() -> None:
    def shifted(y: Tensor, m: Own) -> Tensor:
        return torch.addmm(torch.zeros(8, dtype=torch.float32), y, torch.eye(8, dtype=torch.float32))

    assert probed(shifted).ok


class Frozen(nn.Module):
    """A gradient that is a little wrong: one part in a million of it is lost."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 1e-6 * (x - x.detach()) * (1.0 if torch._C._functorch.maybe_current_level() is None else 2.0)


def test_small_errors_are_seen() -> None:
    def build(config: Mapping[str, Any], inputs: Any, outputs: Any) -> nn.Module:
        return nn.Sequential(nn.Linear(12, 8), Frozen(), nn.Linear(8, 3))

    found = probe(Blueprint(build, Inputs(12), Outputs(3), CPU), CONFIG, "classification", data())
    assert "gradient of '0.weight' is wrong" in found.sentence()


if __name__ == "__main__":
    torch.set_num_threads(1)
    told = {number: text for number in range(int(sys.argv[1])) if (text := verdict(number))}
    print(f"{sys.argv[1]} models: {len(told)} judged wrongly")
    for number, text in told.items():
        print(number, text)
