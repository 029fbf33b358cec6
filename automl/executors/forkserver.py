"""Workers forked from one process that has done all imports, while the driver still reads the spec.

Importing torch takes a second of CPU time. The standard library's fork server does it in a process of its own, which
runs nothing else: no threads, no CUDA, no user code. Workers are forked from there in milliseconds and share its
memory. This is done on Linux only; elsewhere workers are spawned. With GPUs it is safe as long as CUDA is not touched
before the fork: the server sees no GPU, and a worker gets its own before its first call of CUDA. One that finds CUDA
touched nevertheless ends with the code CUDA_TOUCHED, and workers are spawned from then on.

The fork server lives until this program ends. By their environment its children cannot be told from it, so tasks of
the user's own code, whose forgotten children must be found again (see `leftovers`), are spawned, too.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import connection, get_context, parent_process, resource_tracker
from multiprocessing import forkserver as stdlib_forkserver
from multiprocessing.context import BaseContext
from typing import Any

import psutil

from automl.executors import leftovers

UNKNOWN = 255
"""The exit code of a worker whose fork server ended first, so that nobody knows its own."""
CUDA_TOUCHED = 77
"""The exit code of a forked worker that cannot use its GPU."""
GONE = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
PRELOAD = ["automl.executors.forkserver_imports"]
"""What the fork server imports before it forks."""


def possible() -> bool:
    """Whether workers may be forked here."""
    return sys.platform == "linux"


def begin() -> None:
    """Start the fork server if workers may be forked here, and do not wait for it. Cheap when it runs already."""
    if possible():
        _context()


def context() -> BaseContext | None:
    """What makes processes that are forked from the fork server; None where that is not possible."""
    return _context() if possible() else None


def has_ended(patience_s: float = 0.5) -> bool:
    """Whether the fork server of this process has ended; one that is about to end is waited for."""
    server: Any = vars(stdlib_forkserver)["_forkserver"]
    deadline = time.monotonic() + patience_s
    with suppress(psutil.Error):
        while server._forkserver_pid is not None:
            if psutil.Process(server._forkserver_pid).status() in GONE:
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
    return True


def forget() -> None:
    """Have this process start a fork server of its own: one that was forked would share that of its parent.

    The standard library has no public way to say so.
    """
    server: Any = vars(stdlib_forkserver)["_forkserver"]
    if server._forkserver_alive_fd is not None:
        os.close(server._forkserver_alive_fd)  # or the parent's would not end with its parent
    server._forkserver_address = server._forkserver_alive_fd = server._forkserver_pid = None


def _context() -> BaseContext:
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    hashes = os.environ.get("PYTHONHASHSEED", "0")
    with environment(
        OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="", PYTHONHASHSEED=hashes, PYTHONSAFEPATH="1", **{leftovers.MARK: ""}
    ):  # it is no worker, and imports no files of the user's folder that have the name of a library
        resource_tracker.ensure_running()  # or the fork server would start it, and let Ctrl-C through again
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # Ctrl-C is for the driver alone
        try:
            stdlib_forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


def end_if_cuda_was_touched(devices: Sequence[str]) -> None:
    """End this forked process if it is to train on a GPU and CUDA has been in use before the fork."""
    torch = sys.modules.get("torch")
    if torch is not None and devices[0].startswith("cuda") and torch.cuda._is_in_bad_fork():
        os._exit(CUDA_TOUCHED)


def die_with_driver() -> None:
    """Have this forked process and its process group killed when the driver dies, or the fork server.

    The fork server does not end with the driver, but when the last of its children has ended, too.
    """
    die_with_parent()
    threading.Thread(target=_watch, daemon=True).start()


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies (Linux)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _watch() -> None:
    """Wait for the driver's end."""
    if (driver := parent_process()) is not None:
        connection.wait([driver.sentinel])
        os.killpg(0, signal.SIGKILL)


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Environment variables that a process started in the block begins with, before it loads any library."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
