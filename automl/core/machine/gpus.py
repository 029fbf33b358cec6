"""The NVIDIA GPUs that this process may use, found out by NVML, without loading torch.

NVML counts GPUs in the order of their PCI addresses, as nvidia-smi does. CUDA does so only where `CUDA_DEVICE_ORDER` is
`PCI_BUS_ID`, which workers are started with: then an index is the same card for both.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
"""The variable by which CUDA counts as NVML does."""


@dataclass(frozen=True)
class Gpu:
    """A GPU, or a part of one that MIG has made.

    Attributes:
        name: as `CUDA_VISIBLE_DEVICES` takes it: an index, `GPU-...` or `MIG-...`.
        handle: NVML's.
    """

    name: str
    handle: Any

    @property
    def label(self) -> str:
        """What people see: the index, or the first characters of the id."""
        return label(self.name)


def visible(nvml: Any = None, environment: Mapping[str, str] = os.environ) -> list[Gpu]:
    """The GPUs that CUDA would show to a process with this environment; none without a driver.

    `CUDA_VISIBLE_DEVICES` is read as CUDA reads it: indices, or beginnings of ids; the first one that does not exist,
    and all after it, are ignored; where one is named twice, none is left. Without the variable, a GPU that is divided
    by MIG counts as its parts.

    Args:
        nvml: the module pynvml or a stand-in.
        environment: variables.

    Example:
        [gpu.name for gpu in visible()]  # ["0", "1"]
    """
    if nvml is None:
        import pynvml

        nvml = pynvml
    try:
        nvml.nvmlInit()
        cards = [nvml.nvmlDeviceGetHandleByIndex(k) for k in range(nvml.nvmlDeviceGetCount())]
    except nvml.NVMLError:  # no driver, or no permission
        return []
    wanted = environment.get("CUDA_VISIBLE_DEVICES")
    if wanted is None:
        return [gpu for k, card in enumerate(cards) for gpu in _parts(nvml, card) or [Gpu(str(k), card)]]
    if not any(word.strip().startswith(("GPU-", "MIG-")) for word in wanted.split(",")[:1]):
        return [Gpu(str(k), cards[k]) for k in _indices(wanted, len(cards))]
    if wanted.strip().startswith("MIG-"):
        known = [gpu for card in cards for gpu in _parts(nvml, card)]
    else:
        known = [Gpu(_text(nvml.nvmlDeviceGetUUID(card)), card) for card in cards]
    return _by_id(wanted, known)


def label(name: str) -> str:
    """What people see of a GPU's name: the index, or the first characters of the id."""
    return name if name.isdecimal() else name.partition("-")[2][:8] or name


def _parts(nvml: Any, card: Any) -> list[Gpu]:
    """The devices that MIG has made of a GPU; none where it is not divided."""
    found = []
    try:
        if not nvml.nvmlDeviceGetMigMode(card)[0]:
            return []
        for k in range(nvml.nvmlDeviceGetMaxMigDeviceCount(card)):
            try:
                part = nvml.nvmlDeviceGetMigDeviceHandleByIndex(card, k)
                found.append(Gpu(_text(nvml.nvmlDeviceGetUUID(part)), part))
            except nvml.NVMLError:  # places that hold no device
                continue
    except nvml.NVMLError:  # a GPU that cannot be divided
        return []
    return found


def _indices(wanted: str, count: int) -> list[int]:
    found: list[int] = []
    for word in wanted.split(","):
        number = re.match(r"\s*\+?(\d+)", word)
        if number is None or int(number[1]) >= count:
            break
        if int(number[1]) in found:
            return []
        found.append(int(number[1]))
    return found


def _by_id(wanted: str, known: Sequence[Gpu]) -> list[Gpu]:
    found: list[Gpu] = []
    for word in wanted.split(","):
        match = [gpu for gpu in known if gpu.name.startswith(word.strip())] if word.strip() else []
        if len(match) != 1:
            break
        if match[0] in found:
            return []
        found += match
    return found


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
