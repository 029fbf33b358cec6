"""Two checks of a muP parametrization: sizes of activations, and the best learning rate, over widths.

Both are of Yang et al. 2022, "Tensor Programs V": the coordinate check of its appendix D.1, and figure 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.data.prepared import Part, Prepared
from automl.training.loop.trainer import Build, Trainer


@dataclass(frozen=True)
class Coordinates:
    """What `coordinate_check` measured.

    Attributes:
        widths: of the models.
        sizes: layer -> [steps + 1, widths] mean |activation|, averaged over seeds.
    """

    widths: tuple[int, ...]
    sizes: dict[str, NDArray[np.float64]]

    def slopes(self, step: int = -1) -> dict[str, float]:
        """Layer -> d log2(size) / d log2(width) at `step`: 0 does not depend on width, 0.5 grows with its root."""
        x = np.log2(self.widths)
        return {name: float(np.polyfit(x, np.log2(size[step] + 1e-30), 1)[0]) for name, size in self.sizes.items()}

    def hidden_slopes(self) -> dict[str, float]:
        """The slopes after the last step, without those of the output, which muP makes small at first."""
        out = self.sizes["output"]
        return {name: slope for name, slope in self.slopes().items() if not np.allclose(self.sizes[name], out)}

    def worst(self) -> float:
        """The largest |slope| of `hidden_slopes`; near 0 if muP is right."""
        return max(abs(slope) for slope in self.hidden_slopes().values())


def coordinate_check(
    build: Build,
    prepared: Prepared,
    config: Mapping[str, Any],
    widths: Sequence[int],
    steps: int = 4,
    seeds: Sequence[int] = (0, 1, 2),
) -> Coordinates:
    """Train models of several widths on one batch, and measure the outputs of their layers on it after each step.

    In muP every slope is near 0 after the first step (that of the model's output is -0.5 before it).

    Args:
        build: makes the model: `build(config, inputs, outputs)`.
        prepared: data; the first `batch_size` training samples are used.
        config: hyperparameters; `width` is replaced.
        widths: to compare, at least two.
        steps: of training.
        seeds: of the initial weights, one model each.
    """
    total: dict[str, NDArray[np.float64]] = {}
    size = min(int(config.get("batch_size", 32)), len(prepared.train))
    weight = prepared.train.weight
    part = Part(prepared.train.x[:size], prepared.train.y[:size], None if weight is None else weight[:size])
    batch = replace(prepared, train=part, val=part)
    for column, width in enumerate(widths):
        for seed in seeds:
            trainer = Trainer(build, batch, {**config, "width": width, "batch_size": size}, max(steps, 1), seed)
            for step in range(steps + 1):
                if step:
                    trainer.epoch()
                for name, value in _sizes(trainer.model, part.x).items():
                    table = total.setdefault(name, np.zeros((steps + 1, len(widths))))
                    table[step, column] += value / len(seeds)
    return Coordinates(tuple(widths), total)


def _sizes(model: nn.Module, x: Tensor) -> dict[str, float]:
    """Mean |output| of every module with parameters of its own, by name; and of the model, as "output"."""
    sizes: dict[str, float] = {}

    def hook(name: str) -> Any:
        def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
            value = output[0] if isinstance(output, tuple) else output
            if isinstance(value, Tensor) and value.is_floating_point():
                sizes[name] = float(value.detach().abs().mean())

        return keep

    own = [(name, m) for name, m in model.named_modules() if any(True for _ in m.parameters(recurse=False))]
    handles = [module.register_forward_hook(hook(name)) for name, module in own]
    model.eval()
    with torch.no_grad():
        sizes["output"] = float(model(x).abs().mean())
    for handle in handles:
        handle.remove()
    return sizes


@dataclass(frozen=True)
class Alignment:
    """What `alignment_check` measured.

    Attributes:
        widths: of the models.
        lrs: learning rates, in rising order.
        losses: [widths, lrs] final losses, averaged over seeds; inf where training diverged.
    """

    widths: tuple[int, ...]
    lrs: tuple[float, ...]
    losses: NDArray[np.float64]

    def best(self) -> list[float]:
        """log2 of the best learning rate of each width.

        It is the vertex of the parabola through the lowest loss and its two neighbours.
        """
        return [_vertex(np.log2(self.lrs), row) for row in self.losses]

    def spread(self) -> float:
        """Octaves between the smallest and the largest best learning rate; at most 1 (a factor of 2) is good."""
        best = self.best()
        return max(best) - min(best)


def _vertex(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Where the parabola through the lowest point and its neighbours is lowest; at an edge, the lowest point."""
    k = int(np.nanargmin(np.where(np.isfinite(y), y, np.inf)))
    if k in (0, len(x) - 1) or not np.isfinite(y[k - 1 : k + 2]).all():
        return float(x[k])
    left, middle, right = y[k - 1 : k + 2]
    bend = left - 2 * middle + right
    return float(x[k] + (x[k + 1] - x[k]) * 0.5 * (left - right) / bend) if bend > 0 else float(x[k])


def alignment_check(
    build: Build,
    prepared: Prepared,
    config: Mapping[str, Any],
    widths: Sequence[int],
    lrs: Sequence[float],
    epochs: int = 2,
    seeds: Sequence[int] = (0, 1),
    measure: str = "train_loss",
) -> Alignment:
    """Train models of several widths with several learning rates: is the best rate the same for all widths?

    Args:
        build: makes the model: `build(config, inputs, outputs)`.
        prepared: data.
        config: hyperparameters; `width` and `lr` are replaced.
        widths: to compare.
        lrs: learning rates, in rising order.
        epochs: of each training.
        seeds: one training each.
        measure: which number of the last epoch's report is compared; lower is better.
    """
    losses = np.zeros((len(widths), len(lrs)))
    for row, width in enumerate(widths):
        for column, lr in enumerate(lrs):
            for seed in seeds:
                trainer = Trainer(build, prepared, {**config, "width": width, "lr": lr}, epochs, seed)
                value = [trainer.epoch() for _ in range(epochs)][-1][measure]
                losses[row, column] += value / len(seeds) if np.isfinite(value) else np.inf
    return Alignment(tuple(widths), tuple(lrs), losses)
