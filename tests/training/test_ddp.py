"""One trial on two devices (two processes on the CPU here): the same training as on one."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

from automl.core.messages import Assignment, Outcome, Reported
from automl.core.trial import Metric
from automl.data.prepared import Part
from automl.errors import SpecError
from automl.tasks.described import DescribedTask
from automl.tasks.ranks import Crew
from automl.training import Solo
from automl.training.distributed.ddp import Rank
from automl.worker.link import Place, Recorder
from automl.worker.trial import Trial
from automl.worker.worker import run_trial

TASK = DescribedTask("mlp", "iris", 3, Metric("val_accuracy", "maximize"))
CONFIG = {"width": 16, "lr": 0.01, "batch_size": 13, "ema": 0.9, "clip": 1.0, "weight_decay": 0.1}
EPOCHS = 3

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    made = Crew(TASK, ("cpu", "cpu"))
    yield made
    made.close()


def solo(config: dict[str, Any], rank: Rank | None = None) -> Solo:
    session = TASK.open(("cpu",))
    return Solo(session.build, session.prepared, config, EPOCHS, 5, rank=rank)


def alone(config: dict[str, Any]) -> tuple[list[dict[str, float]], Solo]:
    trained = solo(config)
    return [trained.epoch() for _ in range(EPOCHS)], trained


def together(crew: Crew, config: dict[str, Any]) -> tuple[list[dict[str, float]], Solo]:
    trained = crew.begin(lambda rank: solo(config, rank), config, EPOCHS, 5, None)
    return [crew.epoch(trained) for _ in range(EPOCHS)], trained


@pytest.mark.parametrize("more", [{}, {"optimizer": "sgd", "momentum": 0.9}, {"optimizer": "muon", "depth": 3}])
def test_two_ranks_train_what_one_does(crew: Crew, more: dict[str, Any]) -> None:
    (a, one), (b, two) = alone({**CONFIG, **more}), together(crew, {**CONFIG, **more})
    assert [r["train_loss"] for r in a] == pytest.approx([r["train_loss"] for r in b], rel=1e-5)
    for name, weight in one.weights().items():
        torch.testing.assert_close(two.weights()[name], weight, rtol=1e-4, atol=1e-5)


def test_it_goes_on_from_a_saved_state(crew: Crew) -> None:
    config = {**CONFIG, "dropout": 0.3}
    whole, _ = together(crew, config)
    first = crew.begin(lambda rank: solo(config, rank), config, EPOCHS, 5, None)
    crew.epoch(first)
    state = crew.state(first)
    second = crew.begin(lambda rank: solo(config, rank), config, EPOCHS, 5, state)
    assert [crew.epoch(second) for _ in range(EPOCHS - 1)] == whole[1:]


def test_an_error_on_another_rank_is_told_and_the_next_trial_has_a_new_crew(crew: Crew) -> None:
    wrong = {**CONFIG, "lr": -1.0}
    with pytest.raises(SpecError, match="lr must be at least 0"):
        crew.begin(lambda rank: solo(CONFIG, rank), wrong, EPOCHS, 5, None)
    reports, _ = together(crew, CONFIG)
    assert len(reports) == EPOCHS


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


def test_a_worker_with_two_devices_trains_a_trial_on_both(crew: Crew, tmp_path: Path) -> None:
    crew.close()  # a process is in one crew at a time
    place = Place(0, ("cpu", "cpu"), tmp_path)
    session, link = TASK.open(place.devices), Recorder()
    trial = Trial(Assignment(3, CONFIG, 1, 5), place, link)
    assert session.crew is not None
    with closing(session.crew):
        assert run_trial(session, trial) == (Outcome.FINISHED, None)
    reports = [event.points[0].metrics for event in link.sent if isinstance(event, Reported)]
    assert [r["train_loss"] for r in reports] == pytest.approx([r["train_loss"] for r in alone(CONFIG)[0]], rel=1e-5)
