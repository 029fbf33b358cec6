"""Signals that ask a search to stop: the first lets running epochs finish, the second stops at once."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from automl.errors import AutoMLError

SAVING_S = {signal.SIGINT: 30.0, signal.SIGTERM: 15.0, signal.SIGUSR1: 15.0}  # for running epochs, after a signal


class Interrupted(AutoMLError):
    """The search was stopped by a signal; its state is saved. 130 for Ctrl-C, 143 for SIGTERM (and SIGUSR1)."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass
class Stopping:
    """Whether, and how urgently, the user asked to stop. A closed terminal (SIGHUP) changes nothing.

    Python runs a handler between any two instructions, so it only takes note here; the driver acts on it in its loop.
    """

    clock: Callable[[], float] = time.monotonic
    number: int = 0  # the first signal that asked to stop
    deadline: float = 0.0  # how long running epochs are waited for, on `clock`
    now: bool = False  # a second one came
    _handling: bool = False  # inside `untorn`

    def __bool__(self) -> bool:
        return self.number != 0

    @property
    def over(self) -> bool:
        """Whether not even running epochs are waited for."""
        return self.now or (self.number != 0 and self.clock() > self.deadline)

    def take(self, number: int) -> None:
        """A signal has come."""
        if number == signal.SIGHUP:
            return
        if self.number:
            self.now = True
            if not self._handling:
                raise KeyboardInterrupt
            return
        self.number = number
        self.deadline = self.clock() + SAVING_S[signal.Signals(number)]

    @contextmanager
    def untorn(self) -> Iterator[None]:
        """A signal to stop at once waits until this block is left, so that no change of state is half made."""
        self._handling = True
        try:
            yield
        finally:
            self._handling = False
        if self.now:
            raise KeyboardInterrupt

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Signals are taken while inside; only possible in the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handler(number: int, frame: FrameType | None) -> None:
            self.take(number)

        watched = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
        before = {number: signal.signal(number, handler) for number in watched}
        try:
            yield
        finally:
            for number, old in before.items():
                signal.signal(number, old)

    def interrupted(self) -> Interrupted:
        """The error a search that was stopped by a signal ends with."""
        name = signal.Signals(self.number).name
        code = 128 + (signal.SIGTERM if self.number == signal.SIGUSR1 else self.number)
        return Interrupted(f"stopped by {name}; everything is saved", code)
