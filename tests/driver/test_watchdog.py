"""The watchdog: when a worker hangs, when an attempt has taken too long, and time in which nobody ran."""

from automl.driver.watchdog import FLOOR_S, STEPS_NEEDED, Watchdog


def seasoned(step_s: float, **options: float) -> Watchdog:
    """A watchdog that has seen enough steps of `step_s` seconds."""
    watchdog = Watchdog(**options)  # type: ignore[arg-type]
    for _ in range(STEPS_NEEDED):
        watchdog.step(step_s)
    return watchdog


def test_nothing_is_said_before_enough_steps_are_known() -> None:
    watchdog = Watchdog()
    for _ in range(STEPS_NEEDED - 1):
        watchdog.step(0.1)
    assert watchdog.median_s() is None
    assert not watchdog.hangs(1e9)
    assert not watchdog.is_slow(1e9)
    watchdog.step(0.1)
    assert watchdog.median_s() == 0.1
    assert watchdog.hangs(1e9)
    assert watchdog.is_slow(1e9)


def test_a_worker_hangs_beyond_the_floor_and_ten_times_the_median() -> None:
    quick = seasoned(0.01)
    assert not quick.hangs(FLOOR_S)
    assert quick.hangs(FLOOR_S + 1)
    slow = seasoned(20.0)
    assert not slow.hangs(200.0)
    assert slow.hangs(200.1)
    assert seasoned(0.01, floor_s=0.5).hangs(0.6)


def test_a_step_is_slow_beyond_four_times_the_median_and_a_second() -> None:
    assert not seasoned(0.1).is_slow(0.9)
    assert seasoned(0.1).is_slow(1.0)
    assert not seasoned(2.0).is_slow(8.0)
    assert seasoned(2.0).is_slow(8.1)


def test_what_passes_until_the_first_report_is_compared_with_other_starts() -> None:
    watchdog = seasoned(0.01)
    assert not watchdog.hangs(1e9, starting=True), "nothing is known of how long it takes to start"
    watchdog.step(75.0, starting=True)
    assert watchdog.median_s() == 0.01, "a start is no step"
    assert not watchdog.hangs(750.0, starting=True)
    assert watchdog.hangs(750.1, starting=True)
    assert not watchdog.is_slow(1e9, starting=True)
    assert seasoned(20.0).hangs(201.0), "steps that follow are compared with steps"
    slow = seasoned(20.0)
    slow.step(1.0, starting=True)
    assert not slow.hangs(200.0, starting=True), "a first step is a step, too"


def test_the_median_follows_new_steps() -> None:
    watchdog = seasoned(1.0)
    for _ in range(2 * STEPS_NEEDED):
        watchdog.step(3.0)
    assert watchdog.median_s() == 3.0


def test_an_attempt_takes_too_long_only_where_there_is_a_limit() -> None:
    assert not Watchdog().too_long(1e9)
    assert not Watchdog(10.0).too_long(10.0)
    assert Watchdog(10.0).too_long(10.1)


def test_time_in_which_this_process_did_not_run_is_found() -> None:
    watchdog = Watchdog()
    assert [watchdog.suspended_s(now) for now in (5.0, 5.25, 3605.25, 3605.5)] == [0, 0, 3600, 0]
