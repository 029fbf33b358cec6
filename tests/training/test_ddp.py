"""One trial on two devices (two processes on the CPU here): the same training as on one."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import automl
from automl.core.messages import Assignment, Outcome, Reported
from automl.core.trial import Metric
from automl.data.prepared import Part
from automl.errors import SpecError
from automl.tasks.builtin import BuiltinTask
from automl.tasks.ranks import RankGroup
from automl.tasks.session import TrainingSession
from automl.training import Settings, Trainer
from automl.training.distributed.ddp import Rank
from automl.worker.link import Place, Recorder
from automl.worker.trial import Trial
from automl.worker.worker import run_trial
from tests.support.paths import SUPPORT

EPOCHS = 3
TASK = BuiltinTask("families_for_test:build", "iris", EPOCHS, Metric("val_accuracy", "maximize"), folder=SUPPORT)
CONFIG = {
    "double": True, "width": 16, "lr": 0.01, "batch_size": 23, "ema": 0.9, "clip": 1.0, "weight_decay": 0.1,
}  # fmt: skip
CLOSE = 1e-9  # of weights in float64: see `test_fsdp`

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ddp")]  # so that one worker starts the second process


@pytest.fixture(scope="module")
def session() -> Iterator[TrainingSession]:
    """That of a worker with two devices; the second process is started when it is needed."""
    made = TASK.open(("cpu", "cpu"))
    assert made.ranks is not None
    with closing(made.ranks):
        yield made


@pytest.fixture
def ranks(session: TrainingSession) -> RankGroup:
    assert session.ranks is not None
    return session.ranks


def solo(config: dict[str, Any], rank: Rank | None = None, settings: dict[str, Any] | None = None) -> Trainer:
    session = TASK.open(("cpu",))
    return Trainer(session.build, session.prepared, config, EPOCHS, 5, settings=Settings(**(settings or {})), rank=rank)


def alone(config: dict[str, Any]) -> tuple[list[dict[str, float]], Trainer]:
    trained = solo(config)
    return [trained.epoch() for _ in range(EPOCHS)], trained


def together(ranks: RankGroup, config: dict[str, Any]) -> tuple[list[dict[str, float]], Trainer]:
    trained = ranks.begin(lambda rank: solo(config, rank), config, EPOCHS, 5, None)
    return [ranks.epoch(trained) for _ in range(EPOCHS)], trained


@pytest.mark.parametrize("more", [{}, {"optimizer": "sgd", "momentum": 0.9}, {"optimizer": "muon", "depth": 3}])
def test_two_ranks_train_what_one_does(ranks: RankGroup, more: dict[str, Any]) -> None:
    (a, one), (b, two) = alone({**CONFIG, **more}), together(ranks, {**CONFIG, **more})
    assert [r["train_loss"] for r in a] == pytest.approx([r["train_loss"] for r in b])
    for name, weight in one.weights().items():
        torch.testing.assert_close(two.weights()[name], weight, rtol=0, atol=CLOSE)


def test_it_goes_on_from_a_saved_state(ranks: RankGroup) -> None:
    config = {**CONFIG, "dropout": 0.3}
    whole, _ = together(ranks, config)
    first = ranks.begin(lambda rank: solo(config, rank), config, EPOCHS, 5, None)
    ranks.epoch(first)
    state = ranks.state(first)
    second = ranks.begin(lambda rank: solo(config, rank), config, EPOCHS, 5, state)
    assert [ranks.epoch(second) for _ in range(EPOCHS - 1)] == whole[1:]


def test_auto_replicates_on_cpus_and_shards_what_one_rank_has_no_room_for(ranks: RankGroup) -> None:
    reports, one = alone(CONFIG)
    trained = ranks.begin(lambda rank: solo(CONFIG, rank), CONFIG, EPOCHS, 5, None)
    assert not trained.sharded
    before = ranks.rank
    ranks.rank = replace(before, memory=1000)  # of rank 0 alone
    try:
        shared_reports, trained = together(ranks, CONFIG)
        weights = ranks.weights(trained)
    finally:
        ranks.rank = before
    assert trained.sharded
    assert [r["train_loss"] for r in shared_reports] == pytest.approx([r["train_loss"] for r in reports])
    for name, weight in one.weights().items():
        torch.testing.assert_close(weights[name], weight, rtol=0, atol=CLOSE)


def test_a_worker_with_two_devices_trains_a_trial_on_both(session: TrainingSession, tmp_path: Path) -> None:
    link = Recorder()
    trial = Trial(Assignment(3, CONFIG, 1, 5), Place(0, ("cpu", "cpu"), tmp_path), link)
    assert run_trial(session, trial) == (Outcome.FINISHED, None)
    reports = [event.points[0].metrics for event in link.sent if isinstance(event, Reported)]
    assert [r["train_loss"] for r in reports] == pytest.approx([r["train_loss"] for r in alone(CONFIG)[0]])


def test_an_error_on_another_rank_is_told_and_the_next_trial_has_new_ranks(ranks: RankGroup) -> None:
    wrong = {**CONFIG, "lr": -1.0}
    with pytest.raises(SpecError, match="lr must be at least 0"):
        ranks.begin(lambda rank: solo(CONFIG, rank), wrong, EPOCHS, 5, None)
    reports, _ = together(ranks, CONFIG)
    assert len(reports) == EPOCHS


NORM = {**CONFIG, "norm": "batch", "batch_size": 20, "ema": 0}
"""With batch norm each rank has statistics of its own."""


@pytest.mark.parametrize(
    ("config", "settings"),
    [(NORM, {}), ({**NORM, "ema": 0.9}, {}), ({**NORM, "ema": 0.9}, {"parallel": "shard"})],
    ids=["replicated", "with an average", "sharded"],
)
def test_ranks_share_the_rows_of_an_evaluation(
    ranks: RankGroup, config: dict[str, Any], settings: dict[str, Any]
) -> None:
    """Rank 0 computes half of them, and the numbers are those of all rows on one device."""
    group = ranks if not settings else RankGroup(replace(TASK, settings=settings), ("cpu", "cpu"))
    if settings:
        ranks.close()  # a process is in one group of ranks at a time
    with closing(group):
        trained = group.begin(lambda rank: solo(config, rank, settings), config, EPOCHS, 5, None)
        computed: list[int] = []
        trained.model.register_forward_pre_hook(
            lambda model, inputs: None if model.training else computed.append(len(inputs[0]))
        )
        for _ in range(2):
            computed.clear()
            measured = group.epoch(trained)
            rows = len(trained.validation.part(last=False))
            if not config.get("ema") or settings:  # else the average calls the model's function, not the model
                assert sum(computed) == -(-rows // 2)
            one = solo(config)
            one.load(group.state(trained))
            expected = one.evaluate(one.validation.part(last=False), "val_")
            assert {name: measured[name] for name in expected} == pytest.approx(expected, rel=1e-6, nan_ok=True)


@pytest.mark.parametrize(("count", "world"), [(1, 2), (2, 2), (5, 2), (6, 4), (3, 8)])
def test_each_row_is_evaluated_by_one_rank(count: int, world: int) -> None:
    shares = [Rank(rank, world).rows(count) for rank in range(world)]
    assert len({len(rows) for rows, _ in shares}) == 1, "all ranks meet in the same calls"
    assert sorted(row for rows, own in shares for row in rows[:own].tolist()) == list(range(count))
    whole = torch.stack([rows for rows, _ in shares], 1).flatten()[:count]
    assert whole.tolist() == list(range(count)), "the order in which they are put together"


@pytest.mark.parametrize("rows", [1, 2, 5, 6])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_shares_of_all_ranks_make_the_mean_of_the_batch(rows: int, weighted: bool) -> None:
    losses, weight = torch.rand(rows), torch.rand(rows) + 0.1 if weighted else None
    batch = Part(torch.arange(rows), torch.zeros(rows), weight)
    total = 0.0
    for rank in range(3):
        part, share = Rank(rank, 3).share(batch)
        own = losses[part.x]
        mean = own.mean() if part.weight is None else (own * part.weight).sum() / part.weight.sum()
        total += float(mean * share) / 3
    expected = losses.mean() if weight is None else (losses * weight).sum() / weight.sum()
    assert total == pytest.approx(float(expected), rel=1e-5)


def test_two_processes_of_the_cpu_can_be_asked_for(tmp_path):
    (tmp_path / "spec.yaml").write_text(
        "model: mlp\ndata: iris\nmetric: val_accuracy\nepochs: 2\nbudget: {trials: 1}\nworkers: 1\n"
        "space: {lr: {float: [0.01, 0.1]}}\nfinalists: none\nparallel: shard\nresources: {devices: [cpu, cpu]}\n"
    )
    study = automl.search(tmp_path / "spec.yaml", path=tmp_path / "study", seed=1)
    assert [trial.step for trial in study.history.trials] == [2]
    assert study.winner is not None
