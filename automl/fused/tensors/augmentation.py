"""Augmentation of the batches of many lanes at once, each with strengths and random numbers of its own.

The operations are those of `training.augment`. What a lane's samples become is a function of its strengths, its seed
and its step; at strength 0 they stay exactly as they are. Its companions have no part in it.

Shape letters: K lanes, S steps, B batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from automl.data.shapes import Inputs
from automl.fused.tensors import rng
from automl.training import augment
from automl.training.strengths import MOVES

PAD = 64


@dataclass
class LaneAugmentation:
    """The augmentation of an epoch's batches.

    Attributes:
        strengths: operation -> strength, of each lane (empty for one that augments nothing).
        inputs: layout of one sample.
        keys: int32 `[S, 2, 2, K]`, see `rng.step_keys`: of uniform numbers, and of noise.
    """

    strengths: Sequence[Mapping[str, float]]
    inputs: Inputs
    keys: Tensor
    levels: dict[str, Tensor] = field(init=False)
    moving: Tensor = field(init=False)

    def __post_init__(self) -> None:
        device = self.keys.device
        names = dict.fromkeys(name for own in self.strengths for name in own)
        table = {name: np.asarray([own.get(name, 0.0) for own in self.strengths]) for name in names}
        self.levels = {name: torch.from_numpy(values).to(device) for name, values in table.items()}
        moving = [k for k, own in enumerate(self.strengths) if any(name in own for name in MOVES)]
        self.moving = torch.tensor(moving, dtype=torch.int64, device=device)

    @property
    def mixes(self) -> bool:
        """Whether samples are mixed with others, and so are their targets."""
        return "mixup" in self.levels or "cutmix" in self.levels

    def __call__(self, x: Tensor, step: int) -> tuple[Tensor, Tensor | None]:
        """The batches `x` `[K, B, ...]` of step `step`, augmented, and each sample's own share in it `[K, B]`.

        The share is None where samples are not mixed. `x` itself stays as it is.
        """
        k, batch = x.shape[:2]
        u = self._uniforms(step, batch)
        if len(self.moving):
            x = self._moved(x, u)
        rest = {name: level.repeat_interleave(batch) for name, level in self.levels.items() if name not in MOVES}
        if not rest:
            return x, None
        noise = self._noise(step, x) if "noise" in rest else None
        flat, own = augment.apply(x.flatten(0, 1), rest, self.inputs, u.flatten(0, 1), noise, lanes=k)
        return flat.view(x.shape), own.view(k, batch) if self.mixes else None

    def _moved(self, x: Tensor, u: Tensor) -> Tensor:
        """Flips, turns, zooms and shifts, for the lanes that have any: a resampling by nothing changes bits."""
        every = len(self.moving) == len(x)
        chosen = x if every else x[self.moving]
        lanes, batch = chosen.shape[:2]
        own = {n: v[self.moving].repeat_interleave(batch) for n, v in self.levels.items() if n in MOVES}
        flat, _ = augment.apply(chosen.flatten(0, 1), own, self.inputs, u[self.moving].flatten(0, 1), lanes=lanes)
        return flat.view(x.shape) if every else x.index_copy(0, self.moving, flat.view(chosen.shape))

    def _uniforms(self, step: int, batch: int) -> Tensor:
        """float64 `[K, B, UNIFORMS]`: so exact that the rounding of an angle's sine shows nowhere."""
        shape = torch.Size((batch, augment.UNIFORMS))
        flip, times = self.keys[step, 0].unsqueeze(-1).unbind(0)
        words = rng.table(shape, self.keys.device).unsqueeze(0)
        return rng.uniforms(words, flip, times).view(-1, *shape)

    def _noise(self, step: int, x: Tensor) -> Tensor:
        """Standard normal numbers like `x`, `[K * B, ...]`."""
        elements = x[0].numel()
        flip, times = self.keys[step, 1].unsqueeze(-1).unbind(0)
        words = rng.table(torch.Size((1, -(-elements // PAD) * PAD)), x.device).unsqueeze(0)
        noise = rng.normals(words, flip, times, x.dtype)[:, :elements]
        return noise.reshape(-1, *x.shape[2:])


def lane_augmentation(
    strengths: Sequence[Mapping[str, float]],
    inputs: Inputs,
    seeds: Sequence[int],
    first_steps: Sequence[int],
    steps: int,
    device: torch.device,
) -> LaneAugmentation | None:
    """The augmentation of the next `steps` steps; None where no lane augments anything.

    Args:
        strengths: operation -> strength above 0, of each lane.
        inputs: layout of one sample.
        seeds, first_steps: of each lane: its seed, and the updates that it has done.
        steps: S.
        device: of the batches.
    """
    if not any(strengths):
        return None
    keys = rng.step_keys(seeds, first_steps, steps, ["augment", "augment noise"], device)
    return LaneAugmentation(strengths, inputs, keys)
