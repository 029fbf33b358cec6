"""Short versions of `make chaos` and `make fuzz`, and searches whose order must not depend on timing."""

import time
from pathlib import Path

import pytest

import automl
from automl.testing.stress import chaos, faults, fuzz, fuzz_tables
from tests.failures.kit import board, search

SHORT = {
    "random, 2 workers": 8,
    "random, inline": 10,
    "tpe, inline": 10,
    "genetic, inline": 8,
    "random + asha, inline": 10,
    "random + asha, 2 workers, deterministic": 8,
    "random + asha by promotion, inline": 8,
    "tpe + asha, two objectives and a limit, inline": 4,
    "random + asha, fused, 1 worker": 3,
    "tpe + halving, fused, 1 worker, deterministic": 3,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORT)
@pytest.mark.catalogue(
    7, "drivers and workers are killed at random, again and again", "nothing lost, doubled or different", None
)
def test_random_kills(tmp_path: Path, name: str) -> None:
    case = next(c for c in chaos.CASES if c.name == name)
    (tally,) = chaos.run(SHORT[name], 0, [case], tmp_path)
    assert tally.problems == []
    assert tally.kills >= SHORT[name]


def test_at_least_sixty_kills_are_part_of_the_tests() -> None:
    assert sum(SHORT.values()) >= 60


@pytest.mark.slow
@pytest.mark.catalogue(
    13,
    "each single write, flush, rename and commit fails once",
    "the search ends as it should or with exit 3 or 5, and goes on to the same leaderboard",
    None,
)
def test_each_write_fails_once() -> None:
    tried, problems = faults.run(codes=(28,), every=2)
    assert tried >= 30
    assert problems == []


@pytest.mark.slow
def test_mutated_specs() -> None:
    for text in fuzz.mutants(2500, 21):
        assert fuzz.wrong(text) == "", text


@pytest.mark.slow
@pytest.mark.catalogue(44, "mutated tables", "data, or one message", 2)
def test_mutated_tables(tmp_path: Path) -> None:
    for content in fuzz_tables.mutants(500, 21):
        assert fuzz_tables.wrong(content, tmp_path) == "", content


PROMOTE = {"name": "asha", "eta": 2, "mode": "promote"}


@pytest.mark.parametrize("stopper", [{"name": "asha", "eta": 2}, pytest.param(PROMOTE, marks=pytest.mark.slow)])
def test_deterministic_with_three_workers(tmp_path: Path, stopper: dict[str, object]) -> None:
    def uneven(trial: automl.Trial) -> None:
        """Workers overtake each other differently each time."""
        for step in trial.steps(6):
            time.sleep(0.02 * ((trial.number * 7 + step * 3 + time.monotonic_ns() // 1000) % 5))
            trial.report(loss=(trial["x"] - 0.3) ** 2 + trial.seed % 89 / 89 / step)

    boards = []
    for k in range(2):
        options = {"strategy": {"name": "tpe", "startup": 4}, "stopper": stopper, "workers": 3, "executor": "local"}
        study = search(uneven, tmp_path / f"{k}", trials=14, horizon=6, deterministic=True, finalists=None, **options)
        assert study.counts.ended == 14
        boards.append(board(tmp_path / f"{k}"))
    assert boards[0] == boards[1]
    assert any(row[2] == "stopped" for row in boards[0])
