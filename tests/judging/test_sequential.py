"""The sequential test: its level for any noise that two equal sides can have, its power, and what it says."""

import itertools

import numpy as np
import pytest

from automl.errors import SpecError
from automl.judging.sequential import PairedTest, sign_flip


def share_better(noise, shift: float, cases: int, pairs: int = 8, seed: int = 5) -> tuple[float, float]:
    """How many of `cases` campaigns of one judgement end with "better", and the mean number of pairs."""
    rng, test = np.random.default_rng(seed), PairedTest(pairs)
    better, used = 0, 0
    for _ in range(cases):
        differences = noise(rng, pairs) + shift
        for n in range(3, pairs + 1):
            look = test.look(differences[:n])
            if look.better or look.hopeless:
                break
        better, used = better + look.better, used + n
    return better / cases, used / cases


def normal(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.standard_normal(n)


def accuracy(rng: np.random.Generator, n: int) -> np.ndarray:
    """Differences of an accuracy on 50 rows: many are equal, or 0."""
    return (rng.binomial(50, 0.95, n) - rng.binomial(50, 0.95, n)) / 50.0


def heavy(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.standard_t(2, n)


def coin(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.choice([-1.0, 1.0], n)


@pytest.mark.parametrize("noise", [normal, accuracy, heavy, coin])
def test_equal_sides_are_seldom_called_different(noise) -> None:
    assert share_better(noise, 0.0, 200)[0] <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("noise", [normal, accuracy, heavy, coin])
def test_the_level_holds_in_thousands_of_cases(noise) -> None:
    assert share_better(noise, 0.0, 4000)[0] <= 0.05 + 3 * (0.05 * 0.95 / 4000) ** 0.5


def test_one_deviation_is_found_in_four_of_five_cases_and_a_large_effect_sooner() -> None:
    found, pairs = share_better(normal, 1.0, 1000)
    assert found >= 0.77  # 0.80 in the long run, see docs/decisions/judge.md
    assert pairs < 7.5
    assert share_better(normal, 4.0, 200)[1] < 5.5
    assert share_better(normal, -1.0, 200)[1] < 5


def test_the_interval_and_the_answer_agree() -> None:
    rng, test = np.random.default_rng(1), PairedTest(8)
    for _ in range(200):
        differences = rng.standard_normal(8) + 0.8
        for n in range(3, 9):
            look = test.look(differences[:n])
            assert look.better == (look.interval[0] > 0)
            assert not look.better or look.p <= 0.05


def test_sign_flips_are_counted_one_by_one() -> None:
    values = np.array([0.3, -0.1, 0.5, 0.2, 0.4])
    counted = [sum(s * abs(v) for s, v in zip(signs, values, strict=True)) >= values.sum() - 1e-12
               for signs in itertools.product((1, -1), repeat=5)]  # fmt: skip
    assert sign_flip(values) == np.mean(counted)
    assert sign_flip(np.ones(5)) == 1 / 32


def test_equal_differences_are_no_proof_before_the_sign_flips_are() -> None:
    test = PairedTest(8)
    assert [test.look([0.01] * n).better for n in range(3, 9)] == [False, False, False, True, True, True]
    assert not test.look([0.0] * 8).better


@pytest.mark.parametrize("options", [{"pairs": 2}, {"pairs": 17}, {"level": 0.0}, {"level": 0.9}])
def test_numbers_out_of_range_are_refused(options) -> None:
    with pytest.raises(SpecError):
        PairedTest(**options)
