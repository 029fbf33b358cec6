"""Attention, recurrent layers, bags, built-in families: equal to the plain module, or refused with a sentence."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from automl.data.prepared import Part
from automl.data.shapes import Inputs, Outputs
from automl.fused.engine import Engine
from automl.fused.modules.blueprint import Blueprint
from automl.fused.problem import Entry, Options, Problem
from automl.fused.sizing.probe import probe
from automl.models import build

CPU = torch.device("cpu")
CONFIG = {"batch_size": 16, "dropout": 0.3, "optimizer": "adamw"}
SERIES = torch.randn(40, 5, 8, generator=torch.Generator().manual_seed(0))
CODES = torch.randint(0, 11, (40, 5), generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(40) % 3


class Around(nn.Module):
    """`how(inner, x)` -> [B, 8], then a linear head."""

    def __init__(self, inner, how, features=8):
        super().__init__()
        self.inner, self.how, self.head = inner, how, nn.Linear(features, 3)

    def forward(self, x):
        return self.head(self.how(self.inner, x))


def causal(n):
    return torch.triu(torch.ones(n, n, dtype=torch.bool), 1)


def attend(module, x):
    return module(x, x, x)[0].mean(1)


def attend_masked(module, x):
    return module(x, x, x, attn_mask=causal(5), need_weights=False)[0].mean(1)


def attend_across(module, x):
    x = x.transpose(0, 1)
    out, weights = module(x[:2], x, x, key_padding_mask=torch.zeros(x.shape[1], 5, dtype=torch.bool))
    return out.mean(0) + weights.sum()


def last(module, x):
    return module(x)[0][:, -1]


def cell_over_time(cell, x):
    state = None
    for t in range(x.shape[1]):
        state = cell(x[:, t], state)
    return state[0] if isinstance(state, tuple) else state


def two_layers(kind, **more):
    return kind(8, 4, num_layers=2, bidirectional=True, dropout=0.3, batch_first=True, **more)


def encoder(p):
    layer = nn.TransformerEncoderLayer(8, 2, 16, p, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


MODULES = {
    "attention": lambda: Around(nn.MultiheadAttention(8, 2, 0.3, batch_first=True), attend),
    "attention without dropout": lambda: Around(nn.MultiheadAttention(8, 2, batch_first=True), attend),
    "masked attention": lambda: Around(nn.MultiheadAttention(8, 4, batch_first=True, bias=False), attend_masked),
    "attention across": lambda: Around(nn.MultiheadAttention(8, 2, 0.1, kdim=8, vdim=8), attend_across),
    "encoder": lambda: Around(encoder(0.3), lambda m, x: m(x).mean(1)),
    "causal encoder": lambda: Around(encoder(0.0), lambda m, x: m(x, mask=causal(5), is_causal=True).mean(1)),
    "lstm": lambda: Around(two_layers(nn.LSTM), last),
    "projected lstm": lambda: Around(nn.LSTM(8, 8, proj_size=4, batch_first=True), last, 4),
    "gru": lambda: Around(two_layers(nn.GRU), last),
    "tanh rnn": lambda: Around(two_layers(nn.RNN), last),
    "relu rnn, time first": lambda: Around(nn.RNN(8, 8, nonlinearity="relu"), lambda m, x: m(x.transpose(0, 1))[1][0]),
    "lstm cell": lambda: Around(nn.LSTMCell(8, 8), cell_over_time),
    "gru cell": lambda: Around(nn.GRUCell(8, 8, bias=False), cell_over_time),
}


def sentence(make, x=SERIES, inputs=8):
    found = probe(Blueprint(lambda c, i, o: make(), inputs, 3, CPU), CONFIG, "classification", Part(x, LABELS))
    return found.sentence()


@pytest.mark.parametrize("name", MODULES)
def test_modules_with_their_own_batching(name):
    assert sentence(MODULES[name]) == ""


def test_bags_of_embeddings():
    assert sentence(lambda: Around(nn.EmbeddingBag(11, 8), lambda m, x: m(x)), CODES) == ""


def test_what_has_no_rule_is_refused_in_words():
    told = sentence(lambda: Around(nn.MultiheadAttention(8, 2, add_zero_attn=True, batch_first=True), attend))
    assert "one at a time" in told
    assert "add_zero_attn" in told


IMAGE, TABLE = Inputs((1, 12, 12)), Inputs((6,), "table", None, (4, 3))
WORDS, TIMES = Inputs((8,), "tokens", 11), Inputs((8, 3))
CLASSES, NEXT = Outputs(3), Outputs(11, "tokens")
FAMILIES = [
    *(("mlp", {"norm": n, "residual": True, "depth": 3, "width": 16}, TABLE, CLASSES) for n in ("none", "batch")),
    ("mlp", {"norm": "layer", "residual": True, "depth": 3, "width": 16}, Inputs((6,)), CLASSES),
    *(("sparse_mlp", {"width": 32, "block": 4, "norm": n}, Inputs((6,)), CLASSES) for n in ("none", "batch")),
    *(("convnet", {"drop_path": 0.2, "width": 4, "stages": 2, "norm": n}, IMAGE, CLASSES) for n in ("batch", "layer")),
    *(("transformer", {"width": 16, "heads": 2, "depth": 1, "tied": True}, i, o)
      for i, o in ((WORDS, CLASSES), (WORDS, NEXT), (TIMES, CLASSES), (IMAGE, CLASSES), (TABLE, CLASSES))),
    ("transformer", {"width": 16, "heads": 2, "depth": 1, "positions": "learned", "norm": "layer"},
     WORDS, NEXT),
    *(("lstm", {"width": 8, "depth": 2}, i, o) for i, o in ((WORDS, CLASSES), (WORDS, NEXT), (TIMES, CLASSES))),
]  # fmt: skip


@pytest.mark.parametrize("case", FAMILIES, ids=lambda c: f"{c[0]}-{c[2].shape}-{c[3].kind}-{c[1].get('norm', '')}")
def test_built_in_families_can_be_fused(case):
    family, config, inputs, outputs = case
    generator = torch.Generator().manual_seed(0)
    if inputs.kind == "tokens":
        x = torch.randint(0, inputs.vocabulary, (20, *inputs.shape), generator=generator)
    else:
        x = torch.randn(20, *inputs.shape, generator=generator)
    for at, n in enumerate(inputs.cardinalities):
        x[:, int(inputs) - len(inputs.cardinalities) + at] = torch.randint(0, n, (20,), generator=generator).float()
    y = torch.randint(
        0, int(outputs), (20, inputs.shape[0]) if outputs.kind == "tokens" else (20,), generator=generator
    )
    kind = "next_token" if outputs.kind == "tokens" else "classification"
    found = probe(Blueprint(build(family), inputs, outputs, CPU), {**CONFIG, **config}, kind, Part(x, y))
    assert found.sentence() == ""


class Noisy(nn.Module):
    """Draws from torch's own generator, so that it cannot be fused."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 3)

    def forward(self, x):
        return self.linear(F.dropout(x.mean(1), 0.5, self.training))


def test_an_unfusable_model_is_a_function_of_its_seed():
    part = Part(SERIES, LABELS)
    found = []
    for companions, noise in ((0, 1), (2, 5)):
        e = Engine(Problem(lambda c, i, o: Noisy(), 8, 3, "classification", part, part), Options())
        e.admit([Entry(t, CONFIG, 70 + t, 3) for t in range(companions, -1, -1)])
        for _ in range(3):
            torch.manual_seed(noise)
            e.run_epoch()
            after = torch.rand(1)
            torch.manual_seed(noise)
            assert torch.equal(after, torch.rand(1)), "the process's own random numbers were touched"
        found.append(e.weights(0))
    assert all(torch.equal(found[0][n], found[1][n]) for n in found[0])
    other = Engine(Problem(lambda c, i, o: Noisy(), 8, 3, "classification", part, part), Options())
    other.admit([Entry(0, CONFIG, 71, 3)])
    other.run_epoch()
    assert not torch.equal(other.weights(0)["linear.weight"], found[0]["linear.weight"])
