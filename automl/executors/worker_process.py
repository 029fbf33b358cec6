"""What runs in a worker process on this machine, from its first line to its last."""

import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

import cloudpickle

from automl.core.messages import Event, Order
from automl.executors import forkserver, leftovers
from automl.executors.capture import DescriptorCapture
from automl.study import paths
from automl.worker.link import Place
from automl.worker.worker import Capture, Worker, no_capture

DUMP = next((number for number in signal.Signals if number.name == "SIGUSR2"), signal.SIGTERM)
"""Has the process write its stacks to the log. (Windows, where no worker is started, does not have it.)"""


def main(pickled: bytes, place: Place, pipe: Connection, driver: int) -> None:
    """A spawned worker process; `driver`: the process that it must not outlive."""
    _die_with(driver)
    _work(pickled, place, pipe)


def main_forked(pickled: bytes, place: Place, pipe: Connection, variables: Mapping[str, str]) -> None:
    """A forked worker process; `variables`: the environment that a spawned one would have begun with."""
    os.environ.clear()
    os.environ.update(variables)
    forkserver.die_with_driver()
    forkserver.end_if_cuda_was_touched(place.devices)
    _work(pickled, place, pipe)


def _work(pickled: bytes, place: Place, pipe: Connection) -> None:
    """Serve trials of the pickled task until there are no more, or the driver is gone."""
    leftovers.adopt()
    os.setpgid(0, 0)  # its own group, to be killed with all its children; and Ctrl-C is the driver's alone
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    faulthandler.register(DUMP, all_threads=True)
    capture: Capture = DescriptorCapture(place.folder / paths.LOGS, place.worker) if place.folder else no_capture
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the driver is gone
        worker = Worker(place, _PipeLink(pipe), capture)
        worker.open(cloudpickle.loads(pickled)).serve(worker)
    leftovers.end_all()


def _die_with(driver: int) -> None:
    """Have the kernel kill this process when the driver dies (Linux); elsewhere a thread waits for that."""
    if sys.platform == "linux":
        forkserver.die_with_parent()
    else:
        threading.Thread(target=_watch, args=(driver,), daemon=True).start()
    if os.getppid() != driver:
        os._exit(1)


def _watch(driver: int) -> None:
    """Kill this process and its children when the driver has died."""
    while os.getppid() == driver:
        threading.Event().wait(1.0)
    os.killpg(0, signal.SIGKILL)


@dataclass(frozen=True)
class _PipeLink:
    """A worker's end of the pipe."""

    pipe: Connection

    def send(self, event: Event) -> None:
        self.pipe.send(event)

    def receive(self) -> Order:
        order: Order = self.pipe.recv()
        return order
