"""Waiting for what must happen, also where many other programs run, and ports that no other test has."""

import itertools
import os
import socket
import time
from collections.abc import Callable

PATIENCE_S = 300.0
"""How long a test waits before it fails. A test that passes never waits this long, however slow the machine is."""
_ports = itertools.count(10_000 + os.getpid() * 97 % 20_000)


def wait_until(true: Callable[[], bool], what: str, every_s: float = 0.02) -> None:
    """Return as soon as `true()`; `what` says what is wrong where it does not come."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(every_s)


def free_port() -> int:
    """A port to serve on. It is none of those that the system gives to connections (from 32768 on Linux)."""
    for port in _ports:
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("there is always another port")
