"""Memory of a GPU that runs out, anywhere: no trial is lost, none fails that fits, and the leaderboard is the same."""

from functools import partial
from typing import Any

import pytest
import torch

from automl.fused.sizing.policy import FusionPolicy
from automl.fused.sizing.probe import ProbeResult
from automl.fused.uniform import epoch
from automl.fused.uniform.cohort import UniformCohort
from automl.tasks.session import TrainingSession
from automl.training import throughput
from tests.gpu_emulated.kit import Allocations, FakeDriver, oom, patched, searched

CONFIGS = [
    {"width": 8, "dropout": 0.1, "norm": "batch", "lr": 1e-3 * (k + 1), "batch_size": 100, "ema": 0.9, "clip": 1.0,
     "label_smoothing": 0.1}
    for k in range(5)
]  # fmt: skip
FUSABLE = ProbeResult(True)
EVERY = 40  # of the places, in the part of the test that is not slow


def search(way: str, monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    if way != "alone":
        return searched(CONFIGS, fuse=way)
    monkeypatch.setattr(TrainingSession, "why_alone", lambda self, config: "alone")
    return searched(CONFIGS[:2])


def assert_same(found: FakeDriver, wanted: FakeDriver) -> None:
    assert not found.broken
    assert found.ended == dict.fromkeys(range(found.given), ("finished", ""))
    ours, theirs = dict(found.leaderboard()), dict(wanted.leaderboard())
    assert ours == pytest.approx(theirs, rel=2e-5)  # a lane rounds differently alone


@pytest.mark.parametrize("share", ["some", pytest.param("all", marks=pytest.mark.slow)])
@pytest.mark.parametrize("way", ["require", pytest.param("auto", marks=pytest.mark.slow), "alone"])
def test_every_allocation_may_run_out_of_memory_once(way: str, share: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = search(way, monkeypatch)
    with Allocations() as seen:
        search(way, monkeypatch)
    places = sorted(seen.places)
    assert len(places) > 30
    every = {"some": EVERY if way != "alone" else EVERY // 2, "all": 1 if way == "require" else 3}[share]
    for place in places[::every]:
        with Allocations(place) as allocations:
            found = search(way, monkeypatch)
        assert allocations.failed, place
        assert_same(found, wanted)


def test_fewer_lanes_are_timed_where_not_so_many_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def scarce(*given: Any) -> float:
        seen.append(given[-1])
        return oom() if given[-1] > 4 else 1.0 / given[-1]

    monkeypatch.setattr("automl.fused.engine.FusionPolicy", partial(FusionPolicy, step_seconds=scarce))
    found = searched(CONFIGS)
    assert found.ended == dict.fromkeys(range(5), ("finished", ""))
    assert [seen[0], seen[-1]] == [1, 4]


def test_a_model_of_which_two_do_not_fit_trains_alone_and_the_user_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = partial(FusionPolicy, step_seconds=lambda *given: oom() if given[-1] > 1 else 1.0)
    monkeypatch.setattr("automl.fused.engine.FusionPolicy", timed)
    found = searched(CONFIGS)
    assert found.ended == dict.fromkeys(range(5), ("finished", ""))
    assert found.advice == ["trials run one at a time: two of them do not fit into the memory of cpu"]


@pytest.mark.parametrize("most", [1, 2, 4])
def test_a_group_that_cannot_grow_keeps_its_lanes_and_the_others_wait(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, grow, sizes = searched(CONFIGS, fuse="require"), UniformCohort._grow, []

    def scarce(self: UniformCohort, capacity: int) -> None:
        if capacity > most:
            oom()
        sizes.append(capacity)
        grow(self, capacity)

    monkeypatch.setattr(UniformCohort, "_grow", scarce)
    monkeypatch.setattr("automl.fused.sizing.policy.probe", lambda *given: FUSABLE)
    assert_same(searched(CONFIGS, fuse="require"), wanted)
    assert max(sizes) == most


def test_a_matrix_that_cannot_grow_leaves_the_others_as_they_are() -> None:
    from tests.fused.test_engine import CONFIGS as CASES
    from tests.fused.test_engine import engine

    made = engine()
    cohort = UniformCohort(made.blueprint, dict(CASES[0]))
    cohort.resize(2)
    for trial in range(2):
        cohort.admit(trial, CASES[trial], trial, 3, None)
    before, zeros, left = cohort.snapshot(1), torch.zeros, [2]

    def scarce(*given: Any, **more: Any) -> torch.Tensor:
        left[0] -= 1
        return oom() if left[0] < 0 else zeros(*given, **more)

    with patched(torch, "zeros", scarce), pytest.raises(torch.OutOfMemoryError):
        cohort.resize(4)
    assert cohort.bucket == 2
    assert cohort.snapshot(1).rows.keys() == before.rows.keys()
    assert all(torch.equal(row, before.rows[name]) for name, row in cohort.snapshot(1).rows.items())
    cohort.resize(4)  # there is memory again
    assert {len(row) for row in cohort.rows.values()} == {4}
    assert all(torch.equal(row, before.rows[name]) for name, row in cohort.snapshot(1).rows.items())


def test_an_evaluation_takes_smaller_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, evaluated, chunks = searched(CONFIGS, fuse="require"), epoch._evaluated, []

    def scarce(*given: Any) -> Any:
        chunks.append(given[-1])
        return oom() if given[-1] > 20 else evaluated(*given)

    monkeypatch.setattr(epoch, "_evaluated", scarce)
    assert_same(searched(CONFIGS, fuse="require"), wanted)
    assert chunks[:4] == [100, 50, 25, 12]


def test_a_trial_whose_share_of_the_peak_cannot_be_measured_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "RATED_S", 0.0)
    monkeypatch.setattr(throughput, "peak", oom)
    found = searched(CONFIGS[:3], fuse="require")
    assert found.ended == dict.fromkeys(range(3), ("finished", ""))


def test_what_does_not_fit_alone_fails_once_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    enter, begun = UniformCohort.admit, []

    def scarce(self: UniformCohort, trial: int, *given: Any) -> int:
        begun.append(trial)
        return oom() if trial == 1 else enter(self, trial, *given)

    monkeypatch.setattr(UniformCohort, "admit", scarce)
    monkeypatch.setattr("automl.fused.sizing.policy.probe", lambda *given: FUSABLE)
    found = searched(CONFIGS, fuse="require")
    assert found.ended == {t: ("failed", "oom") if t == 1 else ("finished", "") for t in range(5)}
    assert 2 <= begun.count(1) <= 4


def test_the_copy_that_makes_an_epoch_repeatable_holds_states_only() -> None:
    from tests.fused.test_engine import CONFIGS as CASES
    from tests.fused.test_engine import engine

    cohort = UniformCohort(engine().blueprint, dict(CASES[0]))
    cohort.resize(2)
    held = {id(matrix) for matrix in cohort.lasting()}
    assert {name for name, row in cohort.rows.items() if id(row) not in held} == {"grad", "scratch"}
