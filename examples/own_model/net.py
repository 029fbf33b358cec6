"""Your own module and data, named in space.yaml. Trials train side by side; the winner is saved with all it needs."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn


class Gated(nn.Module):
    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__()
        self.value, self.gate, self.out = nn.Linear(inputs, width), nn.Linear(inputs, width), nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.out(self.value(x) * self.gate(x).sigmoid())
        return made


def build(config: Mapping[str, Any], inputs: Any, outputs: Any) -> nn.Module:
    return Gated(inputs.shape[0], config["width"], outputs)


def load() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 6)).astype(np.float32)
    return x, (x[:, 0] * x[:, 1] > 0).astype(np.int64)
