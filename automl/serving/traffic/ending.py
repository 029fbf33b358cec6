"""How a worker process ends: new requests are answered a little longer, begun ones to their end."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def graceful(drain_s: float, begin: Callable[[], None]) -> Iterator[None]:
    """Call `begin` at SIGTERM or SIGINT, and what would have ended the process `drain_s` later.

    Meanwhile every answer closes its connection, so that clients go elsewhere in good order. Only the main thread
    gets signals; elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def ended(number: int, frame: Any) -> None:
        begin()
        handler = before[signal.Signals(number)]
        signal.signal(number, handler)  # a second signal ends it at once
        if callable(handler):
            loop.call_soon_threadsafe(loop.call_later, drain_s, handler, number, None)

    for number in before:
        signal.signal(number, ended)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
