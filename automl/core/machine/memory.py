"""How full the memories are that the workers of this machine share: its own and those of its GPUs. Loads no torch."""

from collections.abc import Sequence
from typing import Any

from automl.core.machine.gpus import Gpu


class SharedMemory:
    """Memory of some GPUs and of this machine. What is in use when this object is made does not count.

    Args:
        gpus: those whose memory is read.
        nvml: the module pynvml or a stand-in.

    Example:
        memory = SharedMemory(visible(), pynvml)
        memory.load()  # 0.25: a quarter of the memory of some GPU was taken since then
    """

    def __init__(self, gpus: Sequence[Gpu], nvml: Any) -> None:
        self._gpus, self._nvml = gpus, nvml
        self._before = self._read()

    def load(self) -> float | None:
        """The largest share of a memory, of what was free at the beginning, that is taken; None: it cannot be read."""
        now = self._read()
        if self._before is None or now is None:
            return None
        shares = [
            (used - before) / max(total - before, 1)
            for (used, total), (before, _) in zip(now, self._before, strict=True)
        ]
        return max(0.0, *shares)

    def _read(self) -> list[tuple[int, int]] | None:
        """(bytes in use, bytes) of each memory."""
        import psutil

        machine = psutil.virtual_memory()
        found = [(machine.total - machine.available, machine.total)]
        try:
            for gpu in self._gpus:
                memory = self._nvml.nvmlDeviceGetMemoryInfo(gpu.handle)
                found.append((memory.used, memory.total))
        except self._nvml.NVMLError:
            return None
        return found
