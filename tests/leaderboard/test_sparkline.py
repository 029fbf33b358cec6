import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.leaderboard.sparkline import BLOCKS, Range, curve, sparkline

values = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=100)


@given(values, st.integers(1, 30), st.booleans())
def test_never_wider_than_asked(points, width, unicode):
    shown = sparkline(points, width, unicode=unicode)
    assert len(shown) == min(width, len(points))
    assert unicode or shown.isascii()


def test_the_ramp_goes_from_low_to_high_and_ends_with_the_last_value():
    assert sparkline(list(range(8)), 8) == BLOCKS
    assert sparkline([0, 5, 1, 7], 2) == "▆█"
    assert sparkline([3.0, 3.0], 5) == "██"
    assert sparkline([], 5) == ""


@given(values, st.integers(1, 30), st.integers(1, 200))
def test_a_curve_fills_its_share_of_the_horizon(points, width, horizon):
    steps = [(k, v) for k, v in enumerate(points, 1)]
    shown = curve(steps, width, horizon, Range.of([steps], maximize=True))
    length = max(horizon, len(points))
    slots = min(width, length)
    assert len(shown) == pytest.approx(len(points) / length * slots, abs=1)
    assert 1 <= len(shown) <= slots


def test_a_curve_on_a_common_axis():
    scale = Range(0.0, 1.0)
    assert curve([(1, 0.0), (2, 0.99)], 4, 4, scale) == "▁█"
    assert curve([(k, k / 8) for k in range(1, 9)], 4, 8, scale) == "▃▅▇█"
    assert curve([], 4, 8, scale) == ""


def test_the_range_leaves_out_the_worst_tenth():
    bad_start = [(k, 1000.0 if k == 1 else 0.1 * k) for k in range(1, 11)]
    assert Range.of([bad_start], maximize=False).high <= 1.0
    assert Range.of([[(1, -5.0), *((k, 0.9) for k in range(2, 12))]], maximize=True).low == 0.9
