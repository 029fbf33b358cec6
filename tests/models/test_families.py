import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from automl.data import Inputs, Outputs, load
from automl.data.prepared import Part
from automl.errors import SpecError
from automl.fused.engine import Engine
from automl.fused.modules import swap
from automl.fused.problem import Problem
from automl.fused.tensors.layout import layout
from automl.models import build, families
from automl.models.sparse_mlp import BlockLinear
from automl.training import Trainer
from tests.support.paths import ROOT

SAMPLES = {
    "flat": (Inputs(16), torch.randn(5, 16)),
    "table": (
        Inputs((6,), "table", cardinalities=(3, 4)),
        torch.cat([torch.randn(5, 4), torch.randint(0, 3, (5, 2)).float()], 1),
    ),
    "image": (Inputs((2, 9, 7)), torch.randn(5, 2, 9, 7)),
    "tokens": (Inputs((11,), "tokens", 30), torch.randint(0, 30, (5, 11))),
    "series": (Inputs((11, 3)), torch.randn(5, 11, 3)),
}
TAKES = {
    "mlp": ("flat", "table", "image", "series"),
    "sparse_mlp": ("flat", "table", "image", "series"),
    "convnet": ("flat", "image"),
    "transformer": ("flat", "table", "image", "tokens", "series"),
    "lstm": ("flat", "tokens", "series"),
}


@pytest.mark.parametrize(("family", "sample"), [(f, s) for f, kinds in TAKES.items() for s in kinds])
@pytest.mark.parametrize("outputs", [Outputs(3), Outputs(2, "values")])
def test_every_family_takes_what_it_says_and_every_weight_has_a_gradient(family, sample, outputs):
    inputs, x = SAMPLES[sample]
    model = build(family)({"width": 24}, inputs, outputs)
    out = model(x)
    assert out.shape == (5, int(outputs))
    out.square().sum().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert not without


@pytest.mark.parametrize(("family", "sample"), [(f, s) for f, kinds in TAKES.items() for s in kinds])
def test_no_family_leaves_dropout_out_where_it_is_zero(family, sample):
    """So lanes with and without dropout share a cohort, whichever of them its template was built from."""
    inputs, x = SAMPLES[sample]
    config = {"width": 24, "depth": 2}
    problem = Problem(build(family), inputs, Outputs(3), "classification", Part(x, x), Part(x, x), own_factory=False)
    policy = Engine(problem).policy
    without, some = ({**config, "dropout": rate} for rate in (0.0, 0.4))
    assert policy.signature(without) == policy.signature(some)
    blueprint = policy.blueprint
    models = [swap.operate(blueprint.module(one, 0)) for one in (without, some)]
    assert layout(models[0]) == layout(models[1])
    kinds = [{name: type(child) for name, child in module.named_modules()} for module in models]
    assert kinds[0] == kinds[1]
    rates = [swap.drop_rates(module) for module in models]
    assert rates[0].keys() == rates[1].keys()
    assert 0.4 in rates[1].values()
    others = (nn.MultiheadAttention, nn.LSTM, nn.GRU)  # these look at their own rate, which is the template's
    assert all(not isinstance(child, others) or not child.dropout for child in models[1].modules())


@pytest.mark.parametrize("family", ["transformer", "lstm"])
def test_a_language_model_sees_no_future(family):
    inputs, x = SAMPLES["tokens"]
    model = build(family)({"width": 24, "depth": 2}, inputs, Outputs(30, "tokens")).eval()
    changed = x.clone()
    changed[:, 6:] = (changed[:, 6:] + 1) % 30
    before, after = model(x), model(changed)
    assert before.shape == (5, 11, 30)
    assert torch.allclose(before[:, :6], after[:, :6], atol=1e-5)
    assert not torch.allclose(before[:, 6:], after[:, 6:], atol=1e-2)


@pytest.mark.parametrize("family", ["transformer", "lstm"])
def test_padding_behind_a_sentence_does_not_matter(family):
    x = torch.randint(1, 30, (4, 11))
    x[:, 7:] = 0
    long = build(family)({"width": 24, "bidirectional": False}, Inputs((11,), "tokens", 30), Outputs(3)).eval()
    assert torch.allclose(long(x), long(x[:, :8]), atol=1e-5)


@given(
    st.fixed_dictionaries(
        {"width": st.integers(1, 40), "heads": st.integers(1, 9), "depth": st.just(2), "ratio": st.floats(0.3, 4),
         "positions": st.sampled_from(["rotary", "learned"]), "norm": st.sampled_from(["rms", "layer"]),
         "activation": st.sampled_from(["swiglu", "gelu"]), "tied": st.booleans()}
    )
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_any_width_goes_with_any_number_of_heads(config):
    inputs, x = SAMPLES["tokens"]
    assert build("transformer")(config, inputs, Outputs(30, "tokens"))(x).isfinite().all()


@given(st.integers(1, 50), st.integers(1, 50), st.floats(0.01, 1), st.integers(1, 16))
@settings(max_examples=50, deadline=None)
def test_a_block_layer_is_a_dense_one_with_zeros(inputs, outputs, density, block):
    layer = BlockLinear(inputs, outputs, density, block)
    dense = layer(torch.eye(inputs)) - layer(torch.zeros(1, inputs))
    x = torch.randn(3, inputs)
    assert torch.allclose(layer(x), x @ dense + layer(torch.zeros(1, inputs)), atol=1e-4)
    blocks = -(-inputs // block)
    assert layer.weight.shape[1] <= max(1, round(density * blocks)) * block
    if layer.seen.numel() >= blocks:
        assert layer.seen.unique().numel() == blocks, "an input that no output is connected to"
    assert all(row.unique().numel() == len(row) for row in layer.seen)


def test_parameters_and_work_fall_with_density():
    sizes = [sum(p.numel() for p in BlockLinear(1024, 1024, d, 16).parameters()) for d in (1.0, 0.25, 0.0625)]
    assert sizes[0] > 3.9 * sizes[1] > 15 * sizes[2]


def test_batch_norm_is_an_alias():
    with_norm = build("mlp")({"batch_norm": True}, Inputs(4), Outputs(2))
    assert any(isinstance(m, nn.BatchNorm1d) for m in with_norm.modules())
    assert not any(
        isinstance(m, nn.BatchNorm1d) for m in build("mlp")({"batch_norm": False}, Inputs(4), Outputs(2)).modules()
    )


@pytest.mark.parametrize(
    ("family", "sample", "message"),
    [
        ("convnet", "tokens", "images"),
        ("mlp", "tokens", "transformer"),
        ("lstm", "image", "sequences"),
        ("convnet", "series", "images"),
    ],
)
def test_inputs_a_family_cannot_take_are_refused(family, sample, message):
    with pytest.raises(SpecError, match=message):
        build(family)({}, SAMPLES[sample][0], Outputs(2))


def test_unknown_family_and_values():
    with pytest.raises(SpecError, match="did you mean 'transformer'"):
        build("transfromer")
    with pytest.raises(SpecError, match="did you mean 'rotary'"):
        build("transformer")({"positions": "rotari"}, *SAMPLES["tokens"][:1], Outputs(3))


@pytest.mark.parametrize(
    ("family", "config", "epochs"),
    [("mlp", {"width": 64}, 6), ("sparse_mlp", {"width": 256, "density": 0.25}, 6), ("convnet", {"width": 8}, 4),
     ("transformer", {"width": 16, "depth": 1, "heads": 2}, 4), ("lstm", {"width": 24}, 4)],
)  # fmt: skip
def test_every_family_learns_digits(family, config, epochs):
    data = load("digits", seed=0)
    trainer = Trainer(
        build(family), data, {"lr": 1e-2, "batch_size": 64, "schedule": "cosine", **config}, epochs, seed=0
    )
    for _ in range(epochs):
        report = trainer.epoch()
    assert report["val_accuracy"] > (0.3 if family == "lstm" else 0.85), report


def test_the_list_of_families_needs_no_torch():
    code = "import sys, automl.models as m; assert 'trees' in m.families(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
    assert all("width" in f.defaults for f in families().values() if "parametrization" in f.defaults)
