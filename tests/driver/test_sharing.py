"""The number of workers on a device, by the rule alone: what was measured goes in, a number comes out."""

import pytest

from automl.driver.sharing.rule import GAIN, SHARE, Rule


def measure(rule: Rule, seconds: float, *, peak: float = 0.1, kinds: int = 1, reports: int = 3) -> None:
    """Each worker reports a few times; each takes the share `peak` of the memory."""
    rule.uses(peak * rule.count, rule.count)
    for k in range(reports * rule.count * rule.devices):
        rule.takes((False, f"{k % kinds}"), seconds * (1 + k % kinds))
    rule.ended += rule.count


def settled(slots: float, peak: float = 0.05, devices: int = 1, begun: int = 1, trials_left: float = 1e9) -> Rule:
    """The rule on devices that train `slots` trials at once without slowing down, and share their time among more."""
    rule = Rule(devices, begun)
    for _ in range(20):
        measure(rule, 10.0 * max(1.0, rule.count / slots), peak=peak)
        rule.step(trials_left)
        if rule.settled:
            break
    return rule


@pytest.mark.parametrize("devices", [1, 8])
@pytest.mark.parametrize(
    ("slots", "peak", "count", "why"),
    [
        (1, 0.05, 1, "changed trials an hour by +0 %"),
        (3, 0.05, 3, "changed trials an hour by +0 %"),
        (4.3, 0.05, 4, "changed trials an hour by +7 %"),  # 5 workers do the work of 4.3
        (4.5, 0.05, 5, "changed trials an hour by +0 %"),
        (100, 0.29, 3, "take the memory to 116 %"),
        (100, 0.46, 1, "take the memory to 92 %"),
        (100, 0.45, 2, "take the memory to 135 %"),
        (1000, 0.01, 11, "changed trials an hour by +9 %"),  # the twelfth
    ],
)
def test_workers_are_added_while_memory_allows_it_and_they_pay_off(
    devices: int, slots: float, peak: float, count: int, why: str
) -> None:
    rule = settled(slots, peak, devices)
    assert rule.settled
    assert rule.count == count
    assert why in rule.why
    assert rule.peak == pytest.approx(peak)


def test_a_search_that_goes_on_begins_with_a_number_that_has_paid_off() -> None:
    assert settled(6, begun=3).count == 6
    assert settled(3, begun=3).count == 3
    rule = Rule(count=3, settled=True)
    measure(rule, 1.0, reports=100)
    assert not rule.step(1e9)
    assert rule.count == 3


def test_nothing_is_added_before_the_first_trial_has_ended_or_for_trials_that_are_not_there() -> None:
    rule = Rule()
    measure(rule, 10.0)
    rule.ended = 0
    assert not rule.step(100)
    rule.ended = 1
    assert not rule.step(1)
    assert not rule.settled, "more trials may be asked for later"
    assert rule.step(2)
    assert rule.count == 2


def test_a_number_is_tried_for_some_time_and_by_each_worker() -> None:
    rule = Rule(least_s=5.0)
    measure(rule, 0.1, reports=20)
    assert not rule.step(100), "two seconds are not enough"
    measure(rule, 0.1, reports=31)
    assert rule.step(100)
    assert rule.count == 2
    rule.takes((False, "0"), 100.0)
    assert not rule.step(100), "only one of two workers has reported"


def test_trials_are_compared_with_those_that_are_alike() -> None:
    """Two workers are nearly twice as fast, but get larger trials by chance."""
    rule = Rule()
    for _ in range(4):
        rule.takes((False, "small"), 2.0)
        rule.takes((False, "large"), 20.0)
    rule.ended = 8
    assert rule.step(100)
    for _ in range(8):
        rule.takes((False, "large"), 21.0)
    assert rule.gain() == pytest.approx(2 * 20 / 21)
    assert rule.step(100)
    assert rule.count == 3


def test_first_reports_are_compared_with_first_reports() -> None:
    """The first one of a trial takes longer: it builds the model and reads the data."""
    rule = Rule()
    for _ in range(10):
        rule.takes((True, ""), 60.0)
        rule.takes((False, ""), 2.0)
    rule.ended = 1
    rule.step(100)
    for _ in range(10):
        rule.takes((True, ""), 60.0)
    assert rule.gain() == pytest.approx(2.0)


def test_where_no_two_trials_are_alike_more_of_them_are_compared() -> None:
    rule = Rule()
    for k in range(4):
        rule.takes((True, f"before {k}"), 10.0)
    rule.ended = 4
    assert rule.step(100)
    for k in range(9):
        rule.takes((True, f"after {k}"), 11.0)
        assert rule.gain() is None
        assert not rule.step(100)
    rule.takes((True, "after 9"), 11.0)
    assert rule.gain() == pytest.approx(2 * 10 / 11)


def test_memory_that_runs_out_takes_a_worker_back_also_when_the_number_was_final() -> None:
    rule = settled(4)
    assert rule.count == 4
    assert not rule.uses(SHARE, beside=4)
    assert not rule.uses(0.99, beside=5), "a worker that leaves still has memory"
    assert rule.uses(0.95, beside=4)
    assert (rule.count, rule.why) == (3, "the memory was 95 % full")
    rule.lower("memory ran out with 3")
    assert rule.count == 2
    rule.restore(4)
    assert rule.count == 4
    assert rule.settled
    alone = Rule(settled=True)
    assert not alone.uses(1.0, beside=1), "nothing can be taken back"


def test_a_new_worker_may_take_what_the_peaks_of_the_others_leave() -> None:
    rule = Rule(count=3, peak=0.2)
    assert rule.room_of_one() == pytest.approx(SHARE - 2 * 0.2)
    assert Rule(count=2, peak=0.45).room_of_one() == pytest.approx(0.45)


def test_the_gain_at_the_threshold() -> None:
    for factor, count in ((0.99, 1), (1.01, 2)):
        rule = Rule()
        measure(rule, 10.0)
        rule.step(100)
        measure(rule, 20.0 / (GAIN * factor))
        rule.step(100)
        assert rule.paid_off == count
