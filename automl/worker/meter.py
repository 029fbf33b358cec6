"""What training takes from the device of a worker: seconds, memory at its peak, energy."""

import importlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from automl.core.machine import gpus

GIB = 2**30


@dataclass
class Meter:
    """Measures from its making on, or from the last `restart`; the memory and energy of CPUs are not measured.

    Energy is that of the whole GPU, by NVML's counter, times the worker's share of it.

    Args:
        devices: of the worker, as torch names them.
        share: of each GPU that is the worker's.
        nvml: the module pynvml or a stand-in; None: pynvml, where there are GPUs.

    Example:
        meter = Meter(("cuda:0",))
        train()
        meter.read()  # {"seconds": 12.3, "peak_gib": 1.25, "joules": 3100.0}
    """

    devices: Sequence[str]
    share: float = 1.0
    nvml: Any = None
    _handles: list[Any] = field(default_factory=list, init=False)
    _begun_s: float = field(default=0.0, init=False)
    _begun_j: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._cuda = [device for device in self.devices if device.startswith("cuda")]
        if self._cuda:
            visible = gpus.visible(self.nvml)
            numbers = [int(device.partition(":")[2] or 0) for device in self._cuda]
            self._handles = [visible[k].handle for k in numbers if k < len(visible)]
        self.restart()

    def restart(self) -> None:
        """Begin to measure anew."""
        self._begun_s, self._begun_j = time.perf_counter(), self._energy()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            for device in self._cuda:
                torch.cuda.reset_peak_memory_stats(device)

    def read(self) -> dict[str, float]:
        """`seconds`, and where they are measured `peak_gib` and `joules`."""
        found = {"seconds": time.perf_counter() - self._begun_s}
        torch, joules = sys.modules.get("torch"), self._energy()
        if self._cuda and torch is not None and torch.cuda.is_initialized():
            peaks = [torch.cuda.max_memory_allocated(device) for device in self._cuda]
            found["peak_gib"] = max(peaks) / GIB
        if joules is not None and self._begun_j is not None:
            found["joules"] = self.share * (joules - self._begun_j)
        return found

    def _energy(self) -> float | None:
        """What the counters of all GPUs of the worker show, in joules; None where one has none."""
        if not self._handles:
            return None
        nvml = self.nvml or importlib.import_module("pynvml")
        try:
            return float(sum(nvml.nvmlDeviceGetTotalEnergyConsumption(handle) for handle in self._handles)) / 1000
        except nvml.NVMLError:  # GPUs before Volta, and parts that MIG has made
            return None
