import numpy as np
import pandas as pd
import pytest
import torch

from automl.data import Inputs, Outputs, load
from automl.data.prepared import Part
from automl.fused.modules.blueprint import Blueprint
from automl.fused.sizing.probe import probe
from automl.models import build

SMALL = {"lstm": {"width": 8}, "transformer": {"width": 8, "heads": 2, "depth": 1}}


@pytest.fixture(scope="module")
def series():
    time = np.arange(600)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": 0.1 * time + rng.normal(size=600), "b": np.sin(time / 9) + 0.01 * time})
    return load(frame, target="b", prepare={"window": 12, "horizon": 3})


@pytest.mark.parametrize("family", SMALL)
def test_a_new_model_predicts_the_last_value(series, family):
    data = build(family)(SMALL[family], series.inputs, series.outputs)
    column = series.columns.index("b")
    assert series.inputs.continues == (column,) * 3
    assert torch.allclose(data(series.val.x), series.val.x[:, -1, [column] * 3], atol=1e-6)


@pytest.mark.parametrize("family", SMALL)
def test_the_level_is_passed_on_and_nothing_else_changes(series, family):
    torch.manual_seed(0)
    data = build(family)(SMALL[family], series.inputs, series.outputs).eval()
    torch.nn.init.normal_(data.inner.head.weight)
    higher = series.val.x.clone()
    higher[..., series.columns.index("b")] += 5
    assert torch.allclose(data(higher), data(series.val.x) + 5, atol=1e-4)
    other = series.val.x.clone()
    other[..., series.columns.index("a")] += 5
    assert not torch.allclose(data(other), data(series.val.x), atol=1e-2)


@pytest.mark.parametrize("family", SMALL)
def test_it_can_be_fused_and_left_out(series, family):
    blueprint = Blueprint(build(family), series.inputs, series.outputs, torch.device("cpu"))
    part = Part(series.train.x, series.train.y)
    assert probe(blueprint, {**SMALL[family], "batch_size": 16}, "regression", part).ok
    plain = build(family)({**SMALL[family], "from_last": False}, series.inputs, series.outputs)
    assert not torch.allclose(plain(series.val.x), series.val.x[:, -1, -1:].expand(-1, 3), atol=1e-2)


def test_several_targets_each_continue_their_own_past():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 3)).cumsum(0), columns=list("abc"))
    data = load(frame, prepare={"window": 8, "horizon": 2})
    assert data.inputs.continues == (0, 1, 2, 0, 1, 2)
    out = build("lstm")(SMALL["lstm"], data.inputs, data.outputs)(data.val.x)
    assert torch.allclose(out, data.val.x[:, -1].repeat(1, 2), atol=1e-6)


@pytest.mark.parametrize("options", [{"pca": 2}, {"scale": "robust"}])
def test_without_the_targets_own_past_in_its_unit_nothing_is_added(options):
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 3)).cumsum(0), columns=list("abc"))
    assert load(frame, target="b", prepare={"window": 8, **options}).inputs.continues == ()


def test_the_layout_survives_json():
    inputs = Inputs((4, 3), continues=(2, 2))
    assert Inputs.from_json(inputs.to_json()).continues == (2, 2)
    assert Inputs.from_json({**Inputs((4, 3)).to_json()}).continues == ()
    assert Outputs.from_json(Outputs(2, "values").to_json()) == 2
