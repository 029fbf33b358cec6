"""Trials with a dropout of exactly 0 train together with others where it makes no difference whose code runs them."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import automl
from automl.fused.engine import Engine
from automl.fused.modules.blueprint import Blueprint
from automl.fused.problem import Entry, Options, Problem
from automl.fused.signature import dropping_signature, group, signature
from automl.fused.sizing.zero_dropout import zero_dropout_joins
from automl.study.ledger.ledger import Ledger
from tests.fused.test_engine import CONFIGS, F64, assert_same, build, data, plain_loop

CONFIG = {"dropout": 0.3, "batch_size": 16}
CPU = torch.device("cpu")


class Net(nn.Module):
    """A model whose forward depends on the dropout probability in the way that `how` says."""

    def __init__(self, config, inputs, outputs, how):
        super().__init__()
        self.first, self.drop, self.last = nn.Linear(inputs, 8), nn.Dropout(config["dropout"]), nn.Linear(8, outputs)
        self.p, self.how = config["dropout"], how

    def forward(self, x):
        return self.last(self.how(self, self.first(x).relu()))


def net(how):
    return lambda config, inputs, outputs: Net(config, inputs, outputs, how)


def left_out(config, inputs, outputs):
    dropout = [nn.Dropout(config["dropout"])] if config["dropout"] > 0 else []
    return nn.Sequential(nn.Linear(inputs, 8), nn.ReLU(), *dropout, nn.Linear(8, outputs))


def another_layer(config, inputs, outputs):
    layer = nn.Dropout(config["dropout"]) if config["dropout"] > 0 else nn.Identity()
    return nn.Sequential(nn.Linear(inputs, 8), nn.ReLU(), layer, nn.Linear(8, outputs))


def wider(config, inputs, outputs):
    width = 8 if config["dropout"] > 0 else 9
    return nn.Sequential(nn.Linear(inputs, width), nn.Dropout(config["dropout"]), nn.Linear(width, outputs))


def refuses(config, inputs, outputs):
    if not config["dropout"]:
        raise RuntimeError("dropout must be positive")
    return left_out(config, inputs, outputs)


def two_rates(config, inputs, outputs):
    return nn.Sequential(nn.Dropout(config["dropout"]), nn.Linear(inputs, 8), nn.Dropout(config["head.dropout"]),
                         nn.ReLU(), nn.Linear(8, outputs))  # fmt: skip


JOIN = {
    "kept": net(lambda self, x: self.drop(x)),
    "skipped in evaluation": net(lambda self, x: self.drop(x) if self.training else x),
}
APART = {
    "left out": left_out,
    "another layer": another_layer,
    "another shape": wider,
    "skipped where it is 0": net(lambda self, x: self.drop(x) if self.p > 0 else x),
    "other numbers where it is 0": net(lambda self, x: self.drop(x) if self.p > 0 else 2 * self.drop(x)),
    "a function": net(lambda self, x: F.dropout(x, self.p, self.training)),
    "refused": refuses,
}


@pytest.mark.parametrize("rate", [0.0, 0.001, 0.3, 1])
@pytest.mark.parametrize("name", [*JOIN, *APART])
def test_whose_code_makes_a_difference(name, rate):
    blueprint = Blueprint({**JOIN, **APART}[name], 12, 3, CPU)
    joins = zero_dropout_joins(blueprint, {**CONFIG, "dropout": rate}, "classification", data(40, 0, torch.float32))
    assert joins == (name in JOIN)


def test_several_probabilities():
    blueprint, config = Blueprint(two_rates, 12, 3, CPU), {**CONFIG, "head.dropout": 0.0, "dropout_kind": "plain"}
    assert zero_dropout_joins(blueprint, config, "classification", data(40, 0, torch.float32))
    zero = {**config, "dropout": 0.0}
    assert dropping_signature(config) == dropping_signature(zero) == signature({**config, "head.dropout": 0.1})
    assert signature(config) != signature(zero)
    assert dropping_signature({**config, "use_dropout": True}) != dropping_signature({**config, "use_dropout": False})


def engine(factory, **options):
    problem = Problem(factory, 12, 3, "classification", data(203, 0), data(90, 1))
    return Engine(problem, Options(dtype=F64, max_parallel=16, **options))


def counted(factory, calls):
    def built(config, inputs, outputs):
        calls.append(config)
        return factory(config, inputs, outputs)

    return built


def test_models_are_built_once_to_find_out_and_only_where_it_matters():
    calls = []
    e = engine(counted(build, calls), fuse="auto")
    assert e.signature({"width": 8}) == group({"width": 8}, ())
    assert not calls
    assert not e.joins_subgroups
    assert e.signature(CONFIGS[0]) == e.signature({**CONFIGS[1], "dropout": 0.0})
    assert e.joins_subgroups
    before = len(calls)
    assert before > 0
    e.signature({**CONFIGS[2], "dropout": 0})
    assert len(calls) == before
    alone = engine(counted(build, calls), fuse="never")
    assert alone.signature(CONFIGS[0]) == group(CONFIGS[0], ())
    assert len(calls) == before


def test_the_group_of_a_trial_without_dropout_is_part_of_that_of_others():
    zero, dropping = ({**CONFIGS[0], "dropout": rate} for rate in (0.0, 0.2))
    name = engine(build).signature(zero)
    for config in (zero, dropping):
        assert group(config, ()).startswith(f"{name}/")
    assert group(zero, ()) != group(dropping, ())
    apart = engine(left_out)
    assert apart.signature(zero) == group(zero, ())
    assert apart.signature(dropping) == group(dropping, ())


@pytest.mark.parametrize("first", [0.0, 0.5])
def test_lanes_without_dropout_train_beside_lanes_with_it(first):
    """Whichever of them the cohort was begun with, each lane has the numbers it would have alone."""
    e = engine(build, fuse="require")
    entries = [Entry(t, {**CONFIGS[0], "dropout": rate}, t, 2) for t, rate in enumerate((first, 0.5 - first, 0.25))]
    e.admit(entries, together=True)
    assert e.num_lanes(0) == 3
    e.run_epoch()
    e.run_epoch()
    for one in entries:
        assert_same(e.weights(one.trial), plain_loop(one.config, one.seed, 2, 2, e.problem.train), 1e-6)


def test_a_lane_whose_dropout_layers_are_others_is_not_admitted():
    e = engine(another_layer, fuse="require")
    e.admit([Entry(0, {**CONFIG, "dropout": 0.2}, 0, 2)], together=True)
    ((runner,),) = e.runners.values()
    runner.reserve(2)
    with pytest.raises(ValueError, match="trial 1 builds other dropout layers"):
        runner.group.admit(1, {**CONFIG, "dropout": 0.0}, 1, 2, None)


OWN = """
from torch import nn
def keeps(config, inputs, outputs):
    dropout = nn.Dropout(config["dropout"])
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), dropout, nn.Linear(8, outputs))
def omits(config, inputs, outputs):
    dropout = [nn.Dropout(config["dropout"])] if config["dropout"] else []
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), *dropout, nn.Linear(8, outputs))
"""
SPEC = """
model: own_for_zero_dropout:{factory}
data: digits
metric: val_loss
epochs: 2
space:
  dropout: [0.0, 0.2, 0.4]
  lr: {{float: [1e-3, 2e-2], log: true}}
  batch_size: 128
stopper: none
strategy: random
budget: {{trials: 14}}
seed: 5
finalists: none
fuse: require
"""


@pytest.mark.parametrize(("factory", "signatures"), [("keeps", 1), ("omits", 2)])
def test_a_search_of_a_users_model(tmp_path: Path, factory: str, signatures: int) -> None:
    (tmp_path / "own_for_zero_dropout.py").write_text(OWN)
    (tmp_path / "space.yaml").write_text(SPEC.format(factory=factory))
    study = automl.search(tmp_path / "space.yaml", path=tmp_path / "s", executor="inline", workers=1)
    assert study.counts.done == 14
    assert study.path is not None
    ledger = Ledger.read_only(study.path)
    kept = [ledger.attempts(t.number)[-1]["details"] or {} for t in study.history.trials]
    ledger.close()
    assert len({details["signature"] for details in kept}) == signatures
    zero = {t.number for t in study.history.trials if t.config["dropout"] == 0.0}
    assert zero
    most = {details["cohort"]: details["lanes"] for details in kept}
    if factory == "keeps":  # trials without dropout joined those that drop
        assert len(most) < 3
