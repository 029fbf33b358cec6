"""A machine's GPUs as NVML tells them: a stand-in for the module pynvml."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any


class NVMLError(Exception):
    """What NVML raises."""


@dataclass
class Card:
    """`parts`: ids of its MIG devices; None where it cannot be divided. `broken`: every question about it fails."""

    uuid: str
    parts: Sequence[str] | None = None
    broken: bool = False


@dataclass
class FakeNvml:
    """`driver`: whether there is one."""

    cards: list[Card] = field(default_factory=list)
    driver: bool = True
    NVMLError: type[Exception] = NVMLError
    NVML_TEMPERATURE_GPU: int = 0

    def nvmlInit(self) -> None:
        if not self.driver:
            raise NVMLError("Driver Not Loaded")

    def nvmlDeviceGetCount(self) -> int:
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, k: int) -> Any:
        return self.cards[k]

    def nvmlDeviceGetUUID(self, card: Any) -> str | bytes:
        return card.uuid.encode() if isinstance(card, Card) else card.uuid

    def nvmlDeviceGetMigMode(self, card: Card) -> list[int]:
        if card.parts is None:
            raise NVMLError("Not Supported")
        return [int(bool(card.parts)), 0]

    def nvmlDeviceGetMaxMigDeviceCount(self, card: Card) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, card: Card, k: int) -> Any:
        assert card.parts is not None
        if k >= len(card.parts):
            raise NVMLError("Not Found")
        return SimpleNamespace(uuid=card.parts[k], broken=False, part=True)

    def nvmlDeviceGetUtilizationRates(self, card: Any) -> Any:
        if card.broken or getattr(card, "part", False):
            raise NVMLError("GPU is lost" if card.broken else "Not Supported")
        return SimpleNamespace(gpu=93)

    def nvmlDeviceGetMemoryInfo(self, card: Any) -> Any:
        if card.broken:
            raise NVMLError("GPU is lost")
        return SimpleNamespace(used=2**33, total=80 * 2**30)

    def nvmlDeviceGetTemperature(self, card: Any, kind: int) -> int:
        return 61

    def nvmlDeviceGetPowerUsage(self, card: Any) -> int:
        return 512_000


def machine(count: int) -> FakeNvml:
    """A machine with so many GPUs."""
    return FakeNvml([Card(f"GPU-{k:08x}-0000") for k in range(count)])
