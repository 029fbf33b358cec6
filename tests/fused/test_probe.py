import pytest
import torch
import torch.nn.functional as F
from torch import nn

from automl.data.prepared import Part
from automl.errors import EnvironmentProblem
from automl.fused.engine import Engine
from automl.fused.modules.blueprint import Blueprint
from automl.fused.problem import Entry, Options, Problem
from automl.fused.sizing.probe import probe
from automl.fused.uniform.cohort import UniformCohort
from automl.fused.uniform.cohort_stepper import cohort_stepper
from automl.fused.uniform.stepper import StackStepper
from automl.models.mlp import Residual

TOKENS = Part(torch.randint(0, 11, (40, 6), generator=torch.Generator().manual_seed(0)), torch.arange(40) % 3)
VALUES = Part(torch.randn(40, 6, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 3)
CONFIG = {"batch_size": 16, "dropout": 0.3}


class Bag(nn.Module):
    def __init__(self, embedding, drop=0.0):
        super().__init__()
        self.embedding, self.drop, self.head = embedding, nn.Dropout(drop), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.drop(self.embedding(x).mean(1)))


class OwnEmbedding(nn.Embedding):
    """Subclasses are not swapped, so vmap's wrong gradient shows."""


def probed(build, data=VALUES):
    return probe(Blueprint(build, 6, 3, torch.device("cpu")), CONFIG, "classification", data)


def test_silently_wrong_padding_gradients_are_caught():
    found = probed(lambda c, i, o: Bag(OwnEmbedding(11, 8, padding_idx=0)), TOKENS)
    assert not found.ok
    assert "gradient of 'embedding.weight' is wrong" in found.reason


def test_swapped_padding_embeddings_are_right():
    assert probed(lambda c, i, o: Bag(nn.Embedding(11, 8, padding_idx=0), 0.3), TOKENS).ok


class Scaled(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.how, self.linear = how, nn.Linear(6, 3)

    def forward(self, x):
        return self.how(self.linear(x), self)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (lambda y, m: y * float(y.mean().item()), "control flow"),
        (lambda y, m: F.dropout(y, 0.5, m.training), "nn.Dropout"),
        (lambda y, m: (y, y), "single tensor"),
    ],
)
def test_what_cannot_train_as_lanes_is_reported_with_a_remedy(how, words):
    found = probed(lambda c, i, o: Scaled(how))
    assert not found.ok
    assert words in found.sentence()


class Masked(nn.Module):
    """Keeps a mask of minus infinities in a buffer, as attention often does."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 3)
        self.register_buffer("mask", torch.full((6, 6), float("-inf")).triu(1))

    def forward(self, x):
        return self.linear(x @ self.mask.softmax(-1))


def test_a_buffer_with_infinities_is_no_difference():
    assert probed(lambda c, i, o: Masked()).ok


def normed(c, i, o):
    return nn.Sequential(nn.Linear(i, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(c["dropout"]), nn.Linear(8, o))


def convolved(c, i, o):
    first = [nn.Unflatten(1, (1, i)), nn.Conv1d(1, 4, 3), nn.Dropout1d(c["dropout"])]
    return nn.Sequential(*first, nn.ReLU(), nn.Flatten(), nn.Linear(16, o))


def residual(c, i, o):
    inner = nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.ReLU(), nn.Dropout(c["dropout"]))
    return nn.Sequential(
        nn.Linear(i, 8), nn.Tanh(), nn.Dropout(c["dropout"]), Residual(inner), nn.GELU(), nn.Linear(8, o)
    )


FUSABLE = {
    "residual stack": residual,
    "batch norm and dropout": normed,
    "layer norm": lambda c, i, o: nn.Sequential(nn.Linear(i, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, o)),
    "no bias": lambda c, i, o: nn.Sequential(nn.Linear(i, 8, bias=False), nn.SiLU(inplace=True), nn.Linear(8, o)),
    "convolution": convolved,
}


@pytest.mark.parametrize("name", FUSABLE)
def test_fusable_models(name):
    found = probed(FUSABLE[name])
    assert found.ok, found.reason


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.head(self.second(self.first(x).relu()) + F.linear(x, self.first.weight))


def test_a_weight_used_three_times_gets_the_sum_of_its_gradients():
    found = probed(lambda c, i, o: Tied())
    assert found.ok, found.reason


def test_require_refuses_and_auto_falls_back():
    problem = Problem(
        lambda c, i, o: Scaled(lambda y, m: F.dropout(y, 0.5, m.training)), 6, 3, "classification", VALUES, VALUES
    )
    with pytest.raises(EnvironmentProblem, match="fuse: require"):
        Engine(problem, Options(fuse="require")).reason_to_run_alone([CONFIG], 8)
    reason = Engine(problem, Options(fuse="auto")).reason_to_run_alone([CONFIG], 8)
    assert reason is not None
    assert "one at a time" in reason


def plain(build, lanes=4):
    cohort = UniformCohort(Blueprint(build, 6, 3, torch.device("cpu")), CONFIG)
    cohort.resize(lanes)
    return isinstance(cohort_stepper(cohort).pieces[0], StackStepper)


def test_plain_stacks_are_known_and_others_are_left_to_the_general_path():
    assert all(plain(FUSABLE[name]) for name in FUSABLE if name != "convolution")
    assert not plain(convolved)
    assert not plain(lambda c, i, o: Tied())

    class Own(nn.Sequential):
        def forward(self, x):
            return super().forward(x) * 2

    assert not plain(lambda c, i, o: Own(nn.Linear(i, o)))
    frozen = nn.Linear(6, 6).requires_grad_(False)
    assert not plain(lambda c, i, o: nn.Sequential(frozen, nn.Linear(i, o)))
    hooked = nn.Sequential(nn.Linear(6, 3))
    hooked.register_forward_hook(lambda m, given, out: out * 2)
    assert not plain(lambda c, i, o: hooked)
    replaced = nn.Sequential(nn.Linear(6, 3), nn.GELU())
    replaced[1].forward = lambda x: 2 * x
    assert not plain(lambda c, i, o: replaced)


def test_lanes_are_bitwise_the_same_in_every_bucket_of_more_than_one_piece():
    x = torch.randn(120, 6, generator=torch.Generator().manual_seed(0))
    part = Part(x, torch.arange(120) % 3)
    weights = []
    for others in (64, 200):
        e = Engine(Problem(normed, 6, 3, "classification", part, part), Options(fuse="require", max_parallel=256))
        e.admit([Entry(t, {**CONFIG, "optimizer": "adamw", "lr": 1e-3 * (1 + t)}, t, 2) for t in range(others)])
        e.run_epoch()
        weights.append(e.weights(5))
    assert all(torch.equal(weights[0][n], weights[1][n]) for n in weights[0])
