"""Cut networks: they are built again from their description, and cutting does what it says."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from automl.bundle.compressed.layers import LowRank, described, resized
from automl.compression.measuring import count
from automl.compression.ways.pruning import MULTIPLE, Pruning, units_kept
from automl.compression.ways.ranks import Ranks
from automl.data.shapes import Inputs, Outputs
from automl.errors import BundleError
from automl.models import build

TOKENS = Inputs((12,), kind="tokens", vocabulary=30)
MODELS: dict[str, tuple[str, dict[str, Any], Inputs, Outputs]] = {
    "mlp": ("mlp", {"width": 32, "depth": 3, "norm": "batch", "residual": True}, Inputs((40,)), Outputs(5)),
    "table": ("mlp", {"width": 32}, Inputs((6,), kind="table", cardinalities=(3, 9)), Outputs(5)),
    "convnet": ("convnet", {"width": 16, "stages": 2}, Inputs((1, 8, 8)), Outputs(5)),
    "layer norm": ("convnet", {"width": 16, "stages": 2, "norm": "layer"}, Inputs((1, 8, 8)), Outputs(5)),
    "language": ("transformer", {"width": 32, "depth": 2, "heads": 4}, TOKENS, Outputs(30, "tokens")),
    "tied": ("transformer", {"width": 32, "depth": 1, "tied": True}, TOKENS, Outputs(30, "tokens")),
    "gelu": ("transformer", {"width": 32, "depth": 1, "activation": "gelu", "norm": "layer"}, TOKENS, Outputs(5)),
}


class Untrained:
    """What cutting needs to know of a subject."""

    def __init__(self, name: str) -> None:
        family, self.config, self.inputs, self.outputs = MODELS[name]
        self.build = build(family)
        torch.manual_seed(0)
        self.module = self.build(self.config, self.inputs, self.outputs).eval()
        self.x = self.samples()
        self.prepared, self.val = self, self

    def samples(self) -> Tensor:
        if self.inputs.kind == "tokens":
            return torch.randint(1, 30, (4, *self.inputs.shape))
        x = torch.randn(4, *self.inputs.shape)
        return x.abs().floor().clamp(max=2) if self.inputs.kind == "table" else x


@pytest.mark.parametrize("way", [Pruning, Ranks])
@pytest.mark.parametrize("name", MODELS)
def test_a_cut_network_is_built_again_from_its_description_and_weights(name: str, way: Any) -> None:
    if way is Pruning:
        pytest.importorskip("torch_pruning")
    subject = Untrained(name)
    cut = way(subject)
    assert cut.groups
    smaller = cut.cut(dict.fromkeys(cut.groups, 0.75))
    assert count(smaller) < 0.75 * count(subject.module)
    layers = described(subject.module, smaller)
    again = resized(subject.build, layers)(subject.config, subject.inputs, subject.outputs).eval()
    again.load_state_dict(smaller.state_dict(), strict=name != "tied")
    if name == "tied":
        again.head.weight = again.embed.weight
    assert torch.equal(again(subject.x), smaller(subject.x))
    assert torch.isfinite(smaller(subject.x)).all()


def test_the_original_stays_as_it_is() -> None:
    subject = Untrained("language")
    before = {name: value.clone() for name, value in subject.module.state_dict().items()}
    Ranks(subject).cut({"head": 0.5})  # type: ignore[arg-type]
    cut = Pruning(subject)  # type: ignore[arg-type]
    cut.cut(dict.fromkeys(cut.groups, 0.5))
    assert all(torch.equal(value, before[name]) for name, value in subject.module.state_dict().items())


def test_units_and_heads_that_do_nothing_go_first_and_change_no_output() -> None:
    subject = Untrained("language")
    attention, feed = subject.module.blocks[0].attention, subject.module.blocks[1].feed
    with torch.no_grad():
        attention.out.weight.view(32, 4, -1)[:, [0, 2]] = 0
        feed.down.weight[:, ::2] = 0
    smaller = Pruning(subject).cut({"blocks.0.attention": 0.5, "blocks.1.feed": 0.25})  # type: ignore[arg-type]
    assert smaller.blocks[0].attention.heads == 2
    assert smaller.blocks[1].feed.down.in_features < feed.down.in_features
    assert torch.allclose(smaller(subject.x), subject.module(subject.x), atol=1e-5)


def test_a_layer_of_low_rank_keeps_the_energy_it_is_asked_to() -> None:
    torch.manual_seed(0)
    subject = Untrained("mlp")
    layer = nn.Linear(40, 32, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(32, 5) @ torch.randn(5, 40))
    subject.module[1][0] = layer
    smaller = Ranks(subject).cut({"1.0": 0.05}).get_submodule("1.0")  # type: ignore[arg-type]
    assert isinstance(smaller, LowRank)
    product = smaller.second.weight @ smaller.first.weight
    gone = (product - layer.weight).square().sum() / layer.weight.square().sum()
    assert gone <= 0.05
    assert smaller.first.weight.shape[0] <= 5


@pytest.mark.parametrize(("units", "level"), [(1024, 0.75), (100, 0.5), (16, 0.875), (3, 0.9), (32, 0.25)])
def test_the_number_of_units_that_stay(units: int, level: float) -> None:
    stay = units_kept(units, level)
    assert 1 <= stay <= units
    assert abs(stay - units * (1 - level)) <= MULTIPLE / 2 + 1
    assert stay % MULTIPLE == 0 or stay < MULTIPLE


@pytest.mark.parametrize(
    ("layers", "wrong"),
    [
        ({"1.0": {"kind": "linear", "inputs": 40, "outputs": 0, "bias": True}}, "whole numbers"),
        ({"1.0": {"kind": "linear", "inputs": 40, "outputs": 2**25, "bias": True}}, "whole numbers"),
        ({"1.0": {"kind": "linear", "inputs": 40, "outputs": "x", "bias": True}}, "whole numbers"),
        ({"1.0": {"kind": "linear", "outputs": 3, "bias": True}}, "whole numbers"),
        ({"1.0": {"kind": "conv", "inputs": 4, "outputs": 3, "bias": True}}, "no layer"),
        ({"9.9": {"kind": "linear", "inputs": 4, "outputs": 3, "bias": True}}, "no layer"),
        ({"": {"kind": "linear", "inputs": 4, "outputs": 3, "bias": True}}, "no layer"),
        ({"1.0": {"kind": ["linear"]}}, "no layer"),
    ],
)
def test_a_wrong_description_is_refused(layers: dict[str, Any], wrong: str) -> None:
    subject = Untrained("mlp")
    with pytest.raises(BundleError, match=wrong):
        resized(subject.build, layers)(subject.config, subject.inputs, subject.outputs)
