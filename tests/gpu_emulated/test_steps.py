"""Epochs on a GPU that has no values: no tensor on the wrong device, nothing waited for, and few launches a step."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from automl.data.prepared import Prepared
from automl.fused.engine import Engine
from automl.fused.modules import context
from automl.fused.modules.blueprint import Blueprint
from automl.fused.modules.context import running
from automl.fused.optim import update
from automl.fused.problem import Entry, Options, Problem
from automl.fused.uniform.cohort import UniformCohort
from automl.fused.uniform.cohort_stepper import cohort_stepper, module_mode
from automl.fused.uniform.cuda_graph import StepGraph, StepGraphs
from automl.fused.uniform.piece import PieceEpoch
from automl.models import build
from automl.training import Settings, Trainer
from automl.training.rules import RULES
from tests.gpu_emulated.fake_gpu import CASES, DEVICE, FakeGpu, OneLaunch, part

OWN = {"batch_size": 32, "lr": 1e-3, "label_smoothing": 0.1, "clip": 1.0, "ema": 0.9}
FEW = ("mlp", "transformer of tables")
BUDGET = {"mlp": 46, "mlp batch norm": 65, "convnet": 200, "transformer": 322, "transformer of sentences": 320,
          "transformer of tables": 198, "lstm": 745}  # fmt: skip
"""Launches of a recorded step, whatever the number of lanes; it can only go down."""


@pytest.fixture(autouse=True)
def autocast_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch does not know whether it is on for the meta device."""
    asked = torch.is_autocast_enabled
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *kind: kind != ("meta",) and asked(*kind))


def engine(name: str, lanes: int, **config: Any) -> Engine:
    """An engine in which so many lanes train."""
    family, own, inputs, outputs, kind = case = CASES[name]
    data = part(case)
    scale = torch.ones(int(outputs)) if kind == "regression" else None
    problem = Problem(build(family), inputs, outputs, kind, data, data.head(40), scale, own_factory=False)
    made = Engine(problem, Options(fuse="require" if lanes > 1 else "never", device="meta"))
    config = {**own, **OWN, **config}
    made.admit([Entry(j, config, j, 9) for j in range(lanes)], together=lanes > 1)
    return made


@pytest.mark.parametrize("lanes", [4, *(pytest.param(lanes, marks=pytest.mark.slow) for lanes in (1, 64))])
@pytest.mark.parametrize("name", CASES)
def test_a_round_waits_for_the_device_once(name: str, lanes: int) -> None:
    """For its numbers, at the end; the first round of a bucket also copies its rows, to begin again if memory ends."""
    with FakeGpu():
        made = engine(name, lanes)
        assert len(made.run_epoch().trials) == lanes
        with FakeGpu() as seen:
            made.run_epoch()
    assert (seen.to_host, seen.waited) == (1, 0)


@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name in FEW else pytest.mark.slow) for name in CASES])
def test_lanes_come_grow_move_and_leave(name: str) -> None:
    with FakeGpu():
        made = engine(name, 3)
        made.run_epoch()
        config = {**CASES[name][1], **OWN}
        made.admit([Entry(3 + j, config, j, 9) for j in range(6)], together=True)
        made.run_epoch()
        states = made.snapshot([0, 8])
        assert {len(rows) for rows in made.weights_of(made.trials).values()} == {len(made.weights(0))}
        made.release([1, 2, 3, 4, 5, 6, 7])
        made.run_epoch()
        made.release([0, 8])
        made.admit([Entry(t, config, t, 9, state) for t, state in states.items()], together=True)
        assert len(made.run_epoch().trials) == 2


@pytest.mark.parametrize(
    "optimizer", [pytest.param(n, marks=[] if n in ("adamw", "muon") else pytest.mark.slow) for n in RULES]
)
def test_every_optimizer_stays_on_the_device(optimizer: str) -> None:
    with FakeGpu():
        for lanes in (1, 4):
            made = engine("mlp", lanes, optimizer=optimizer, weight_decay=0.1)
            made.run_epoch()
            with FakeGpu() as seen:
                made.run_epoch()
            assert (seen.to_host, seen.waited) == (1, 0)


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[OneLaunch]:
    """Triton's kernels, of which each is one launch."""
    one = OneLaunch()
    monkeypatch.setattr(update, "launched", one)
    monkeypatch.setattr(context, "launched", one)
    return one


def recorded(name: str, lanes: int) -> tuple[PieceEpoch, StepGraph, UniformCohort]:
    """The step of a piece, as a CUDA graph would record it."""
    family, own, inputs, outputs, kind = case = CASES[name]
    config = {**own, "batch_size": 32, "lr": 1e-3, "label_smoothing": 0.1}
    cohort = UniformCohort(Blueprint(build(family), inputs, outputs, DEVICE), config)
    cohort.resize(lanes)
    for trial in range(lanes):
        cohort.admit(trial, config, trial, 9, None)
    piece = PieceEpoch(cohort_stepper(cohort).pieces[0], kind, part(case).to(DEVICE), recordable=True)
    graphs = StepGraphs(record=False)
    graphs.steps_of(piece)
    return piece, next(iter(graphs.graphs.values())), cohort


@pytest.mark.parametrize("name", CASES)
def test_a_recorded_step_stays_within_its_launches(name: str, kernels: OneLaunch) -> None:
    counts = []
    for lanes in (4, 64):
        piece, graph, cohort = recorded(name, lanes)
        with module_mode(cohort, batched=True, training=True), running(piece.context):
            graph._step()
            kernels.kernels.clear()
            with FakeGpu() as seen:
                graph._step()
        assert (seen.to_host, seen.to_device, seen.waited) == (0, 0, 0)
        counts.append(seen.launches.total() + kernels.kernels.total())
    assert counts[0] == counts[1] <= BUDGET[name]


def test_between_two_steps_the_host_copies_nothing() -> None:
    """Tables, losses and the step's number are the device's; the host only asks for the next step."""
    piece, graph, _ = recorded("mlp", 4)
    graph.load(piece)
    graph._step = lambda: None  # type: ignore[method-assign]  # what the graph replays
    with FakeGpu() as seen:
        for s in range(3):
            graph.run(s, 3)
    assert seen.launches.total() == seen.to_device == seen.to_host == 0


@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name in FEW else pytest.mark.slow) for name in CASES])
def test_a_trial_alone_waits_for_the_device_only_at_the_end_of_an_epoch(name: str) -> None:
    family, own, inputs, outputs, kind = case = CASES[name]
    data = part(case)
    preparation = {"target": {"name": "y", "kind": kind}}
    prepared = Prepared(inputs, outputs, kind, data, data, data, [], [], preparation, "")  # type: ignore[arg-type]
    with FakeGpu():
        trainer = Trainer(
            build(family), prepared, {**own, **OWN, "optimizer": "lion"}, 3, 0, "meta", Settings(compile="never")
        )
        with FakeGpu() as seen:
            trainer.train_epoch()
    assert (seen.to_host, seen.waited) == (0, 1)
