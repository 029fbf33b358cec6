"""Signals that ask a search to stop: the first lets running epochs finish, the second stops at once."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import FrameType

from automl.errors import AutoMLError

SAVING_S = {"SIGINT": 30.0, "SIGTERM": 15.0, "SIGUSR1": 15.0}  # for running epochs, after a signal
HANDLED = [number for number in signal.Signals if number.name in (*SAVING_S, "SIGHUP")]  # those this system has


asked: ContextVar[threading.Event | None] = ContextVar("asked", default=None)
"""For searches outside the main thread, where no signal arrives: an event that asks to stop, as Ctrl-C does."""


class Interrupted(AutoMLError):
    """A signal stopped the search; its state is saved. Exit code 130 for Ctrl-C, 143 for SIGTERM and SIGUSR1."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass
class Stopping:
    """Whether, and how urgently, the user asked to stop. A closed terminal (SIGHUP) changes nothing.

    Python runs a handler between any two instructions, so the handler only keeps the signal; the driver acts on it in
    its loop.
    """

    clock: Callable[[], float] = time.monotonic
    number: int = 0  # the first signal that asked to stop
    deadline_s: float = 0.0  # time of `clock` until which running epochs may finish
    now: bool = False  # a second signal came
    event: threading.Event | None = field(default_factory=lambda: asked.get())
    _handling: bool = False  # inside `untorn`

    def __bool__(self) -> bool:
        if self.number == 0 and self.event is not None and self.event.is_set():
            self.take(signal.SIGINT)
        return self.number != 0

    @property
    def over(self) -> bool:
        """Whether not even running epochs are waited for."""
        return self.now or (self.number != 0 and self.clock() > self.deadline_s)

    def take(self, number: int) -> None:
        """A signal has come."""
        if signal.Signals(number).name == "SIGHUP":
            return
        if self.number:
            self.now = True
            if not self._handling:
                raise KeyboardInterrupt
            return
        self.number = number
        self.deadline_s = self.clock() + SAVING_S[signal.Signals(number).name]

    @contextmanager
    def untorn(self) -> Iterator[None]:
        """A signal to stop at once waits until this block ends, so that no change of state is only half made."""
        self._handling = True
        try:
            yield
        finally:
            self._handling = False
        if self.now:
            raise KeyboardInterrupt

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle signals inside the block; only possible in the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handler(number: int, frame: FrameType | None) -> None:
            self.take(number)

        before = {number: signal.signal(number, handler) for number in HANDLED}
        try:
            yield
        finally:
            for number, old in before.items():
                signal.signal(number, old)

    def interrupted(self) -> Interrupted:
        """The error a search that was stopped by a signal ends with."""
        name = signal.Signals(self.number).name
        code = 128 + (signal.SIGTERM if name == "SIGUSR1" else self.number)
        return Interrupted(f"stopped by {name}; everything is saved", code)
