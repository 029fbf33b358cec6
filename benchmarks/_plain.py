"""The plain training loop of the peers in `time_to_quality.py`, written as well as plain torch allows.

Tensors in memory and no DataLoader; one permutation of the epoch's samples instead of a gather in each step (a tenth
faster here); torch's `fused` AdamW (a third faster than `foreach` and than the loop); one thread; no denormal numbers.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

_held: dict[str, Any] = {}


def tensors(path: str) -> dict[str, Any]:
    """`train`, `val`: (x `[N, features]`, y `[N]`); `classes`. Read once in a process."""
    if path not in _held:
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        _held[path] = torch.load(path)
    found: dict[str, Any] = _held[path]
    return found


class Plain:
    """One trial of a fully connected network with two hidden layers; `epoch()` trains and validates once."""

    def __init__(self, config: Mapping[str, float], data: Mapping[str, Any], width: int, batch: int) -> None:
        self.data, self.batch = data, batch
        layers: list[nn.Module] = []
        for size in (data["train"][0].shape[1], width):
            layers += [nn.Linear(size, width), nn.ReLU(), nn.Dropout(config["dropout"])]
        self.model = nn.Sequential(*layers, nn.Linear(width, data["classes"]))
        parameters, decay = self.model.parameters(), config["weight_decay"]
        self.optimizer = torch.optim.AdamW(parameters, config["lr"], weight_decay=decay, fused=True)

    def epoch(self) -> float:
        """Validation accuracy after one more epoch."""
        x, y = self.data["train"]
        order = torch.randperm(len(y))
        self.model.train()
        for inputs, labels in zip(x[order].split(self.batch), y[order].split(self.batch), strict=True):
            self.optimizer.zero_grad()
            cross_entropy(self.model(inputs), labels).backward()
            self.optimizer.step()
        self.model.eval()
        return self._accuracy()

    @torch.inference_mode()
    def _accuracy(self) -> float:
        x, y = self.data["val"]
        right: Tensor = self.model(x).argmax(1) == y
        return float(right.double().mean())
