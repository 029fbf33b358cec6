"""One trial on two devices (two processes on the CPU here) that hold half of the model each: the same as on one."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, distributed, nn

import automl
from automl.core.messages import Assignment, Outcome, Reported
from automl.core.trial import Metric
from automl.errors import SpecError
from automl.executors.inline import Inline
from automl.tasks.builtin import BuiltinTask
from automl.tasks.ranks import RankGroup
from automl.tasks.session import TrainingSession
from automl.training import Settings, Trainer
from automl.training.distributed import ddp, fsdp
from automl.training.distributed.ddp import Rank
from automl.training.distributed.tensors import local
from automl.training.precision import Runner
from automl.worker.link import Place, Recorder
from automl.worker.trial import Trial
from automl.worker.worker import run_trial
from tests.support.paths import SUPPORT

EPOCHS = 2
CLOSE = 1e-9
"""Largest difference of weights, which are about 1 and move by about `lr` = 0.01 at each of the 10 steps, in float64.

The two ways sum the same numbers in another order: each gradient is off by 1e-16 or so, and no optimizer here makes
more than 1e-10 of that. In float32 nothing of the kind holds: Muon's five Newton-Schulz iterations enlarge a rounding
up to 3.4445^5 = 485 times.
"""
TASK = BuiltinTask(
    "families_for_test:build", "iris", EPOCHS, Metric("val_accuracy", "maximize"), folder=SUPPORT,
    settings={"parallel": "shard"},
)  # fmt: skip
MLP = {
    "double": True, "width": 16, "depth": 3, "norm": "layer", "lr": 0.01, "batch_size": 23, "clip": 1.0,
    "weight_decay": 0.1,
}  # fmt: skip
TRANSFORMER = {
    **MLP,
    "family": "transformer",
    "norm": "rms",
    "depth": 2,
    "heads": 2,
    "dropout": 0.0,
    "schedule": "cosine",
}
FLOAT = {"double": False}
CPUS = ("cpu", "cpu")

pytestmark = pytest.mark.xdist_group("fsdp")  # so that one worker starts the second process


@pytest.fixture(scope="module")
def session() -> TrainingSession:
    return TASK.open(("cpu",))


@pytest.fixture(scope="module")
def ranks() -> Iterator[RankGroup]:
    with closing(RankGroup(TASK, CPUS)) as made:  # its processes are started when they are needed
        yield made


def solo(session: TrainingSession, config: dict[str, Any], rank: Rank | None = None) -> Trainer:
    settings = Settings(**session.recipe.settings)
    return Trainer(session.build, session.prepared, config, EPOCHS, 5, settings=settings, rank=rank)


def begun(
    ranks: RankGroup, session: TrainingSession, config: dict[str, Any], state: dict[str, Any] | None = None
) -> Trainer:
    return ranks.begin(lambda rank: solo(session, config, rank), config, EPOCHS, 5, state)


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> None:
    assert one.keys() == two.keys()
    for name, weight in one.items():
        assert type(two[name]) is Tensor
        torch.testing.assert_close(two[name], weight, rtol=0, atol=CLOSE, msg=lambda text, name=name: f"{name}: {text}")


def trained_like_one(ranks: RankGroup, session: TrainingSession, config: dict[str, Any]) -> None:
    """Reports, weights and states of one device and of two; and each goes on from where the other was saved."""
    one, two = solo(session, config), begun(ranks, session, config)
    assert two.sharded
    one.epoch(), ranks.epoch(two)
    states = one.state(), ranks.state(two)
    rest, whole = zip(*[(one.epoch(), ranks.epoch(two)) for _ in range(EPOCHS - 1)], strict=True)
    weights = ranks.weights(two)
    same(one.weights(), weights)
    for state in states:
        back = begun(ranks, session, config, state)
        again = [ranks.epoch(back) for _ in whole]
        assert [r["val_loss"] for r in again] == pytest.approx([r["val_loss"] for r in rest])
        same(weights, ranks.weights(back))
    assert again == list(whole)
    alone = solo(session, config)
    alone.load(states[1])
    assert [alone.epoch()["val_loss"] for _ in whole] == pytest.approx([r["val_loss"] for r in whole])


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        {"ema": 0.9}, {"optimizer": "sgd", "momentum": 0.9}, {"optimizer": "sgd", "momentum": 0.0},
        {"optimizer": "adam"}, {"optimizer": "nadam"}, {"optimizer": "rmsprop", "lr": 1e-3},
        {"optimizer": "lion", "lr": 1e-3}, {"optimizer": "adafactor"}, {"optimizer": "muon"},
        {"parametrization": "mup", "base_width": 8, "optimizer": "muon", "ema": 0.5},
    ],
    ids=str,
)  # fmt: skip
def test_every_optimizer_trains_halves_as_it_trains_the_whole(
    ranks: RankGroup, session: TrainingSession, more: dict[str, Any]
) -> None:
    trained_like_one(ranks, session, {**MLP, **more})


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        TRANSFORMER, {**TRANSFORMER, "ema": 0.9, "positions": "learned", "norm": "layer"},
        {**MLP, "family": "sparse_mlp", "block": 4, "density": 0.5},
    ],
    ids=lambda config: f"{config['family']} {config.get('ema', 0)}",
)  # fmt: skip
def test_other_families_too(ranks: RankGroup, session: TrainingSession, config: dict[str, Any]) -> None:
    trained_like_one(ranks, session, config)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_each_rank_holds_half_of_everything(ranks: RankGroup, session: TrainingSession, optimizer: str) -> None:
    trained = begun(ranks, session, {**TRANSFORMER, **FLOAT, "ema": 0.9, "width": 64, "optimizer": optimizer})
    ranks.epoch(trained)
    total = sum(p.numel() for p in trained.step.parameters)
    state = [value for one in trained.optimizers for each in one.state.values() for value in each.values()]
    assert trained.average is not None
    for tensors, copies in (
        (trained.step.parameters, 1),
        ([value for value in state if value.ndim], 2 if optimizer == "adamw" else 1),
        ([value for value in trained.average.weights.values() if value.is_floating_point()], 1),
    ):
        held = sum(local(t).untyped_storage().nbytes() // 4 for t in tensors)
        assert 0.4 * copies * total < held < 0.6 * copies * total


@pytest.mark.slow
def test_batch_norm_uneven_shares_unused_and_frozen_layers(ranks: RankGroup, session: TrainingSession) -> None:
    config = {"family": "uneven", "lr": 0.01, "batch_size": 13, "ema": 0.9}
    first = begun(ranks, session, config)
    ranks.epoch(first)
    state = ranks.state(first)
    before = {name: value.clone() for name, value in state["model"].items()}
    whole = [ranks.epoch(first) for _ in range(EPOCHS - 1)]
    assert all(torch.equal(before[name], value) for name, value in state["model"].items()), "a snapshot has changed"
    alone = solo(session, config)
    alone.load(state)
    same(alone.state()["model"], before)
    assert alone.epoch()["val_loss"] == pytest.approx(whole[0]["val_loss"], rel=0.2)  # statistics of whole batches


@pytest.mark.slow
def test_dropout_goes_on_exactly_and_the_saved_state_is_left_alone(ranks: RankGroup, session: TrainingSession) -> None:
    config = {**MLP, "dropout": 0.3, "optimizer": "adafactor", "ema": 0.9}
    first = begun(ranks, session, config)
    ranks.epoch(first)
    state = ranks.state(first)
    whole = [ranks.epoch(first) for _ in range(EPOCHS - 1)]
    for _ in range(2):
        second = begun(ranks, session, config, state)
        assert [ranks.epoch(second) for _ in range(EPOCHS - 1)] == whole


@pytest.mark.slow
def test_a_trial_goes_on_from_its_checkpoint_sharded_or_alone(ranks: RankGroup, tmp_path: Path) -> None:
    config = {**MLP, "ema": 0.9, "optimizer": "muon"}

    def run(name: str, devices: tuple[str, ...], until: int | None = None) -> list[float]:
        made, link = replace(TASK, until=until, checkpoint_s=0.0).open(("cpu",)), Recorder()
        made.ranks = ranks if devices == CPUS else None
        trial = Trial(Assignment(3, config, 1, 5), Place(0, devices, tmp_path / name), link)
        assert run_trial(made, trial) == (Outcome.FINISHED, None)
        return [event.points[0].metrics["val_loss"] for event in link.sent if isinstance(event, Reported)]

    whole = run("alone", ("cpu",))
    assert len(whole) == EPOCHS
    for name, then in (("both", CPUS), ("then alone", ("cpu",))):
        assert run(name, CPUS, until=1) == pytest.approx(whole[:1])
        assert list((tmp_path / name).rglob("*.ckpt"))
        assert run(name, then) == pytest.approx(whole)


@pytest.mark.slow
def test_bf16_computes_in_it_and_keeps_float32(ranks: RankGroup) -> None:
    """A group of one rank, whose model is sharded all the same: it needs no second process."""
    ranks.close()  # a process is in one group of ranks at a time
    task = replace(TASK, settings={"parallel": "shard", "precision": "bf16"})
    session = task.open(("cpu",))
    config = {**TRANSFORMER, **FLOAT}
    one = solo(session, config)
    with closing(RankGroup(task, ("cpu",))) as alone:
        two = begun(alone, session, config)
        assert two.sharded
        for _ in range(EPOCHS):
            assert alone.epoch(two)["val_loss"] == pytest.approx(one.epoch()["val_loss"], rel=0.05)
        assert {value.dtype for value in alone.weights(two).values()} == {torch.float32}
    distributed.destroy_process_group()


@pytest.mark.slow
def test_the_next_token(ranks: RankGroup, tmp_path: Path) -> None:
    ranks.close()  # a process is in one group of ranks at a time
    file = tmp_path / "text.txt"
    file.write_text("".join(f"{k} and {k + 1} are {2 * k + 1}. " for k in range(300)))
    task = replace(TASK, data=str(file), metric=Metric("val_loss", "minimize"), prepare={"window": 16})
    with closing(RankGroup(task, CPUS)) as made:
        for more in ({"tied": True, "optimizer": "sgd"}, {"family": "lstm"}):
            trained_like_one(made, task.open(("cpu",)), {**TRANSFORMER, **more, "batch_size": 32, "ema": 0.5})


class TwoDevices(Inline):
    """A worker here, of two devices."""

    def place(self) -> Place:
        return Place(devices=CPUS, folder=self._folder)


@pytest.mark.slow
def test_a_whole_search(ranks: RankGroup, tmp_path: Path) -> None:
    ranks.close()
    (tmp_path / "space.yaml").write_text(
        "model: mlp\ndata: digits\nepochs: 3\nmetric: val_accuracy\nvalue: best\nbudget: {trials: 2}\nseed: 1\n"
        "resources: {gpus: 2}\nparallel: shard\nfinalists: {top: 1, seeds: 1}\n"
        "space: {lr: {float: [3e-3, 1e-2], log: true}, optimizer: [adamw, muon], ema: [0, 0.9]}\n"
        "first: [{lr: 5e-3, optimizer: adamw, ema: 0}, {lr: 5e-3, optimizer: muon, ema: 0.9}]\n"
    )
    study = automl.search(tmp_path / "space.yaml", dir=tmp_path, executor=TwoDevices())
    assert study.best is not None
    assert study.path is not None
    assert all(trial.state.name != "FAILED" for trial in study.history.trials)
    digits = load_digits()
    assert (automl.load(study.path).predict(digits.data) == digits.target).mean() > 0.8


def test_a_model_is_sharded_when_four_times_its_size_does_not_fit() -> None:
    model = nn.Linear(99, 10)  # 1000 numbers
    assert ddp.too_large(model, 19_999)
    assert not ddp.too_large(model, 20_000)
    assert not ddp.too_large(model, None)
    assert ddp.memory_of(torch.device("cpu")) is None


def test_blocks_are_the_members_of_lists_and_sequences() -> None:
    def names(model: nn.Module) -> list[str]:
        found = {id(module): name for name, module in model.named_modules()}
        return [found[id(block)] for block in fsdp.blocks(model)]

    def lin() -> nn.Module:
        return nn.Linear(2, 2)

    assert names(nn.Sequential(lin(), nn.ReLU(), nn.Sequential(lin(), nn.ReLU()), lin())) == ["0", "2", "3"]
    assert names(nn.Sequential(nn.Sequential(nn.Sequential(lin()), lin()), lin())) == ["0.0", "0.1", "1"]
    assert names(nn.ModuleDict({"a": nn.ModuleList([lin(), lin()]), "b": lin()})) == ["a.0", "a.1", "b"]
    tied, once = nn.Sequential(lin(), lin(), lin()), lin()
    tied[2].weight = tied[0].weight
    assert names(tied) == ["1"]
    assert names(nn.Sequential(once, lin(), once)) == ["1"]


def test_what_cannot_be_sharded_says_what_to_do() -> None:
    model, cpu = nn.Linear(3, 4), torch.device("cpu")
    model.register_parameter("scale", nn.Parameter(torch.tensor(1.0)))
    with pytest.raises(
        SpecError, match=r"'scale', a single number: give it shape \[1\], or take `parallel: replicate`"
    ):
        fsdp.shard(model, cpu, 2)
    with pytest.raises(SpecError, match="'weight', it is not contiguous in memory; take `parallel: replicate`"):
        fsdp.shard(_turned(), cpu, 2)
    with pytest.raises(SpecError, match="take compile: never or parallel: replicate"):
        Runner(nn.Linear(3, 4), cpu, Settings(compile="always"), sharded=True)


def _turned() -> nn.Module:
    model = nn.Linear(3, 4)
    model.weight = nn.Parameter(torch.ones(3, 4).T)
    return model
