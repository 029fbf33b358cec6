"""A lane whose state is known goes on without a module being built, where its dropout probabilities are known too."""

from typing import Any

import pytest
import torch

from automl import models
from automl.data import load
from automl.fused.engine import Engine
from automl.fused.problem import Entry, Problem

CONFIG = {"depth": 1, "width": 8, "batch_size": 256, "lr": 1e-3, "dropout": 0.25}


def engine(*, own_factory: bool) -> tuple[Engine, list[dict[str, Any]]]:
    """An engine, and the configs whose modules it has built."""
    data, built = load("digits"), list[dict[str, Any]]()

    def build(config: Any, inputs: Any, outputs: Any) -> torch.nn.Module:
        built.append(dict(config))
        return models.build("mlp")(config, inputs, outputs)

    problem = Problem(build, data.inputs, data.outputs, data.kind, data.train, data.val, own_factory=own_factory)
    made = Engine(problem)
    made.admit([Entry(0, CONFIG, 0, 4), Entry(1, CONFIG, 1, 4)], together=True)
    made.run_epoch()
    return made, built


@pytest.mark.parametrize(
    ("change", "own_factory", "builds"),
    [({}, True, 0), ({"lr": 0.5}, False, 0), ({"lr": 0.5}, True, 1), ({"dropout": 0.5}, False, 1)],
)
def test_a_lane_that_goes_on(change: dict[str, float], own_factory: bool, builds: int) -> None:
    made, built = engine(own_factory=own_factory)
    state, weights = made.snapshot([0])[0], made.weights(0)
    made.release([0])
    before, config = len(built), {**CONFIG, **change}
    made.admit([Entry(7, config, 7, 4, state)], together=True)
    assert len(built) == before + builds
    assert all(torch.equal(value, weights[name]) for name, value in made.weights(7).items())
    lane = next(lane for runner in made._all() for lane in runner.group.lanes if lane.trial == 7)
    assert set(lane.drops.values()) == {config["dropout"]}
    assert (lane.hypers.lr, lane.epoch) == (config["lr"], 1)
    made.run_epoch()


def test_what_is_remembered_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    from automl.fused.uniform import cohort

    monkeypatch.setattr(cohort, "MOST_DROPS", 2)
    made, _ = engine(own_factory=False)
    for k in range(4):
        made.admit([Entry(10 + k, {**CONFIG, "dropout": 0.1 * (k + 1)}, k, 4)], together=True)
    (runner,) = made._all()
    assert len(runner.group._drops) == 2  # type: ignore[attr-defined]
