"""Samples of the machine: a short text per GPU, for the CPU and for the memory; empty where nothing can be read."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from automl.core.machine.gpus import Gpu, visible

EVERY_S = 2.0


class Hardware:
    """Reads texts such as `gpu0 93% 5.3/141G 61C 512W` and `cpu 71%`, at most every two seconds.

    Args:
        clock: seconds, from any zero.
        nvml: the module pynvml or a stand-in; None: imported when it is needed.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, nvml: Any = None) -> None:
        self._clock = clock
        self._at = -EVERY_S
        self._lines: tuple[str, ...] = ()
        self._nvml = nvml
        self._gpus: list[Gpu] | None = None

    def read(self) -> tuple[str, ...]:
        """The last sample, or a new one when that is older than two seconds."""
        if self._clock() - self._at >= EVERY_S:
            self._at = self._clock()
            self._lines = (*self._gpu_lines(), *_cpu())
        return self._lines

    def _gpu_lines(self) -> list[str]:
        if self._gpus is None:
            self._gpus = self._open()
        lines = []
        for gpu in self._gpus:
            try:
                lines.append(f"gpu{gpu.label} {self._gpu(gpu.handle)}")
            except self._nvml.NVMLError as error:
                lines.append(f"gpu{gpu.label} {error}")
        return lines

    def _open(self) -> list[Gpu]:
        try:
            if self._nvml is None:
                import pynvml

                self._nvml = pynvml
            return visible(self._nvml)
        except ImportError:
            return []

    def _gpu(self, gpu: Any) -> str:
        nvml = self._nvml
        memory = nvml.nvmlDeviceGetMemoryInfo(gpu)
        parts = [f"{memory.used / 2**30:.1f}/{memory.total / 2**30:.0f}G"]
        with suppress(nvml.NVMLError):  # not told of a part of a GPU (MIG)
            parts.insert(0, f"{nvml.nvmlDeviceGetUtilizationRates(gpu).gpu}%")
        readings: list[tuple[Callable[[], float], str]] = [
            (lambda: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU), "C"),
            (lambda: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000, "W"),
        ]
        for read, unit in readings:
            try:
                parts.append(f"{read():.0f}{unit}")
            except nvml.NVMLError:  # not every GPU measures it
                continue
        return " ".join(parts)


def _cpu() -> list[str]:
    try:
        import psutil
    except ImportError:
        return []
    memory = psutil.virtual_memory()
    used = (memory.total - memory.available) / 2**30
    return [f"cpu {psutil.cpu_percent(None):.0f}%", f"memory {used:.1f}/{memory.total / 2**30:.0f}G"]
