"""Embeddings of numbers: formulas against a plain loop, layout, settings, and the same training fused and alone."""

import itertools
import math

import pytest
import torch
from scipy.stats import norm

from automl.data.shapes import Inputs, Outputs
from automl.errors import SpecError
from automl.models import build
from automl.models.numbers import NumberEmbedding


@pytest.mark.parametrize("kind", ["periodic", "cosine", "piecewise"])
def test_features_are_those_of_the_formulas(kind):
    torch.manual_seed(0)
    made = NumberEmbedding(3, kind, 4, 5, 0.7)
    x = torch.randn(7, 6)
    got = made(x)
    assert got.shape == (7, 3 * 4 + 3)
    torch.testing.assert_close(got[:, 12:], x[:, 3:])
    for row, column in ((0, 0), (3, 2), (6, 1)):
        value = float(x[row, column])
        if kind == "piecewise":
            edges = [float(norm.ppf(min(max(k / 5, 0.1), 0.9))) for k in range(6)]
            parts = [(value - a) / (b - a) for a, b in itertools.pairwise(edges)]
            features = [min(parts[0], 1), *(min(max(p, 0), 1) for p in parts[1:-1]), max(parts[-1], 0)]
        else:
            f = made.frequencies[column].tolist()
            phase = made.phases[column].tolist() if kind == "cosine" else [0.0] * 5
            angles = [2 * math.pi * (value * a + p) for a, p in zip(f, phase, strict=True)]
            features = [math.cos(a) for a in angles] + ([math.sin(a) for a in angles] if kind == "periodic" else [])
        out = torch.relu(torch.tensor(features) @ made.weight[column] + made.bias[column])
        torch.testing.assert_close(got[row, column * 4 : column * 4 + 4], out, rtol=1e-4, atol=1e-5)


def test_a_single_bin_is_a_straight_line():
    made = NumberEmbedding(2, "piecewise", 3, 1, 0.1)
    assert made(torch.randn(4, 2)).shape == (4, 6)


def test_categories_stay_beside_the_embedded_numbers():
    inputs = Inputs((5,), "table", cardinalities=(3, 4))
    model = build("mlp")({"embed_numbers": "periodic", "embed_size": 6, "depth": 1, "width": 8}, inputs, Outputs(2))
    x = torch.cat([torch.randn(10, 3), torch.randint(0, 3, (10, 2)).float()], dim=1)
    assert model(x).shape == (10, 2)
    assert model[2][0].in_features == 3 * 6 + 2 + 3


def test_images_are_not_embedded():
    model = build("mlp")({"embed_numbers": "periodic"}, Inputs((1, 4, 4)), Outputs(2))
    assert not any(isinstance(m, NumberEmbedding) for m in model.modules())


@pytest.mark.parametrize("wrong", [{"embed_numbers": "fourier"}, {"embed_size": 0}, {"embed_scale": 0.0}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(SpecError, match=next(iter(wrong))):
        build("mlp")({"embed_numbers": "periodic", **wrong}, Inputs((3,), "table"), Outputs(2))


def test_a_function_with_waves_is_learned_that_a_plain_network_misses():
    torch.manual_seed(1)
    x = torch.randn(2000, 1)
    y = torch.sin(12 * x)
    errors = {}
    for kind in ("none", "periodic"):
        torch.manual_seed(0)
        config = {"embed_numbers": kind, "embed_scale": 1.0, "width": 64, "depth": 2}
        model = build("mlp")(config, Inputs((1,), "table"), Outputs(1, "values"))
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for _ in range(150):
            optimizer.zero_grad()
            loss = (model(x) - y).square().mean()
            loss.backward()
            optimizer.step()
        errors[kind] = float(loss.detach())
    assert errors["periodic"] < 0.3 * errors["none"]
