"""How many lanes run on a GPU whose rounds last as long with many lanes as with few, until it is full."""

import pytest

from automl.fused.report import EpochCost
from automl.fused.sizing.lane_count import START, LaneCountController, growth


def rounds(full_at: int, steps: int, epochs: int, step_s: float = 120e-6, most: int = 128) -> list[int]:
    """The number of lanes in each of 200 rounds."""

    def round_s(lanes: int) -> float:
        return step_s * max(1.0, lanes / full_at)

    controller = LaneCountController.measured(
        lambda lanes: (400e-6 if lanes == 1 else round_s(lanes)) / lanes, steps, most, epochs, START["cuda"], flat=True
    )
    found = []
    for _ in range(200):
        lanes = controller.target
        found.append(lanes)
        seconds = steps * round_s(lanes)
        controller.record(EpochCost(lanes, lanes, seconds, lanes * steps))
    return found


@pytest.mark.parametrize(("steps", "epochs"), [(45, 50), (1563, 20), (313, 30)])
def test_lanes_fill_an_idle_gpu_within_three_rounds(steps: int, epochs: int) -> None:
    found = rounds(10_000, steps, epochs)
    assert found[3] == 128
    assert min(found) >= 32


def test_lanes_that_a_full_gpu_trains_one_after_the_other_do_not_pile_up() -> None:
    found = rounds(32, 1563, 20)
    assert found.count(128) <= 3  # twice as many take twice as long: found out by trying
    assert found[-1] == 64


def test_the_growth_that_is_assumed_before_lanes_have_run_is_what_was_timed() -> None:
    assert growth(400e-6, 400e-6, 32) == 1.0
    assert growth(400e-6, 32 * 400e-6, 32) == 2.0
    assert growth(100e-6, 200e-6, 16) == pytest.approx(2**0.25)
