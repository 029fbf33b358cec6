"""Tilting: its tail probabilities are those of samples that are drawn, and its ends lie where values can be."""

import numpy as np
import pytest

from automl.metrics import tilting


def shape(name: str, n: int = 300) -> np.ndarray:
    rng = np.random.default_rng(5)
    made = {
        "normal": rng.normal(size=n) ** 2,
        "skewed": rng.lognormal(0, 1.2, n),
        "rare": (rng.normal(size=n) * np.where(rng.random(n) < 0.02, 10, 1)) ** 2,
    }[name]
    return (made - made.mean()) / made.std()


@pytest.mark.parametrize("name", ["normal", "skewed", "rare"])
@pytest.mark.parametrize("seen", [-0.12, 0.15])
def test_the_formula_tells_what_drawing_tells(name: str, seen: float) -> None:
    values, n = shape(name), 60
    family = tilting.Tilted(values)
    at = family.with_mean(seen)
    assert family.moments(at)[1] == pytest.approx(seen, abs=1e-9)
    rng = np.random.default_rng(0)
    for steps in (-2.0, 2.0):
        tilt = at + steps / np.sqrt(n * family.moments(at)[2])
        weights = np.exp(tilt * values - (tilt * values).max())
        drawn = rng.choice(values, (20_000, n), p=weights / weights.sum()).mean(1)
        assert family.below(tilt, at, seen, n) == pytest.approx((drawn <= seen).mean(), abs=0.03)


@pytest.mark.parametrize("name", ["normal", "skewed", "rare"])
def test_the_ends_are_where_such_a_mean_is_rare(name: str) -> None:
    values = shape(name) + 3
    low, high = tilting.interval(values, 3.1, 60)
    assert low < 3.1 < high <= values.max()
    wider = tilting.interval(values, 3.1, 60, level=0.99)
    assert wider[0] < low < high < wider[1]
    narrower = tilting.interval(values, 3.1, 240)
    assert high - low > 1.6 * (narrower[1] - narrower[0]) or name == "rare"


def test_the_interval_grows_with_the_values_unit() -> None:
    values = np.random.default_rng(1).exponential(size=50)
    low, high = tilting.interval(values, 1.0, 25)
    scaled = tilting.interval(1e6 * values, 1e6, 25)
    assert scaled == pytest.approx((1e6 * low, 1e6 * high))


@pytest.mark.parametrize("seen", [0.0, 1e-9, 1.0, 100.0])
def test_a_mean_at_the_edge_of_the_values_has_an_interval(seen: float) -> None:
    values = np.concatenate([np.zeros(40), np.ones(10), [100.0]])
    low, high = tilting.interval(values, seen, 20)
    assert np.isfinite([low, high]).all()
    assert low <= seen <= high


def test_equal_values_have_no_width() -> None:
    assert tilting.interval(np.full(9, 2.0), 2.0, 9) == (2.0, 2.0)


def test_hundreds_of_odd_samples_have_an_interval() -> None:
    for k in range(300):
        rng = np.random.default_rng(k)
        n = int(rng.integers(2, 60))
        values = np.abs(rng.standard_cauchy(n)) ** rng.choice([0.5, 2, 6]) * 10.0 ** rng.integers(-8, 8)
        seen = float(values[: n // 2 + 1].mean())
        low, high = tilting.interval(values, seen, n // 2 + 1)
        assert low <= seen <= high, k
