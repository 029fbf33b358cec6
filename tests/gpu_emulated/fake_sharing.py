"""GPUs whose memory and time processes share, made up by files: what training functions take, NVML shows.

Memory belongs to a process until it ends, as that of torch does. A GPU trains `slots` trials at full speed; more than
that slow down all of them. Processes find the folder by a variable.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil

from tests.gpu_emulated.fake_nvml import Card, FakeNvml

FOLDER = "AUTOML_TEST_GPUS"
TOTAL = 1000


class OutOfMemoryError(RuntimeError):
    """Has the name of torch's."""


@dataclass
class SharedNvml(FakeNvml):
    """Tells the memory that processes have taken."""

    def nvmlDeviceGetMemoryInfo(self, card: Any) -> Any:
        return SimpleNamespace(used=used(str(self.cards.index(card))), total=TOTAL)


def machine(count: int) -> SharedNvml:
    """A machine with so many GPUs."""
    return SharedNvml([Card(f"GPU-{k}") for k in range(count)])


def _files(kind: str, gpu: str) -> Iterator[Path]:
    """The files of processes that live."""
    for file in Path(os.environ[FOLDER]).glob(f"{kind}-{gpu}-*"):
        pid = int(file.name.rpartition("-")[2])
        if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            yield file


def used(gpu: str) -> int:
    """Memory of a GPU that is taken."""
    return sum(int(file.read_text() or 0) for file in _files("memory", gpu))


def take(memory: int) -> None:
    """Take so much of this process's GPU, or as much as it has already.

    Raises:
        OutOfMemoryError: others have too much of it.
    """
    gpu = os.environ["CUDA_VISIBLE_DEVICES"]
    own = Path(os.environ[FOLDER], f"memory-{gpu}-{os.getpid()}")
    has = int(own.read_text()) if own.exists() else 0
    free = TOTAL - used(gpu)
    part = own.with_name(f"part-{own.name}")
    part.write_text(str(has + max(0, min(memory - has, free))))  # as torch keeps what it had got before it failed
    part.rename(own)
    if memory - has > free:
        raise OutOfMemoryError("CUDA out of memory")


@contextmanager
def training() -> Iterator[None]:
    """This process trains in the block."""
    own = Path(os.environ[FOLDER], f"trains-{os.environ['CUDA_VISIBLE_DEVICES']}-{os.getpid()}")
    own.touch()
    try:
        yield
    finally:
        own.unlink()


def work(seconds: float, slots: int) -> int:
    """Work that takes so long where at most `slots` processes train; returns how many do."""
    beside = sum(1 for _ in _files("trains", os.environ["CUDA_VISIBLE_DEVICES"]))
    time.sleep(seconds * max(1.0, beside / slots) ** 4)
    return beside
