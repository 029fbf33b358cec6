"""Signals that ask a search to stop."""

import signal

import pytest

from automl.driver.signals import SAVING_S, Stopping


class Clock:
    """Seconds that pass when they are told to."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_the_first_signal_gives_running_epochs_time() -> None:
    clock = Clock()
    stopping = Stopping(clock)
    assert not stopping
    stopping.take(signal.SIGTERM)
    assert stopping
    assert not stopping.over
    clock.now_s += SAVING_S["SIGTERM"] + 1
    assert stopping.over


def test_the_second_signal_stops_at_once() -> None:
    stopping = Stopping(Clock())
    stopping.take(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        stopping.take(signal.SIGINT)
    assert stopping.over


def test_a_change_of_state_is_completed_first() -> None:
    stopping, changed = Stopping(Clock()), []
    stopping.take(signal.SIGINT)

    def change() -> None:
        with stopping.untorn():
            stopping.take(signal.SIGINT)
            changed.append("all of it")

    with pytest.raises(KeyboardInterrupt):
        change()
    assert changed == ["all of it"]


def test_a_closed_terminal_changes_nothing() -> None:
    stopping = Stopping(Clock())
    stopping.take(signal.SIGHUP)
    assert not stopping


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 143)])
def test_exit_codes(number: signal.Signals, code: int) -> None:
    stopping = Stopping(Clock())
    stopping.take(number)
    assert stopping.interrupted().exit_code == code


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    stopping = Stopping(Clock())
    with stopping.listening():
        signal.raise_signal(signal.SIGTERM)
    assert stopping.number == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
