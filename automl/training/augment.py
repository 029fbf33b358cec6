"""Augmentation of a batch on its device: pure functions of the batch, uniform random numbers and strengths.

A strength is a number, or a [B] tensor with one for each sample, so that lanes with strengths of their own can share
one call. At strength 0 every operation is the identity. Shape letters: B batch, C classes, D values.

    flip    chance of mirroring left and right                       images
    shift   largest move, share of the side                          images
    rotate  largest turn, degrees                                    images
    crop    largest share of the side that is cut away (zoom)        images
    noise   standard deviation, in standard units                    anything but tokens
    mixup   Zhang et al. 2018: share of a partner, up to strength/2  anything but tokens
    cutmix  Yun et al. 2019: area of a partner, up to strength/2     images

With strength 1 the shares of mixup and cutmix are those of Beta(1, 1), up to exchanging the two samples. A sample's
partner is another sample of the same batch.
"""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from automl.data.shapes import Inputs
from automl.errors import SpecError
from automl.training.strengths import IMAGES_ONLY, MOVES

UNIFORMS = 9
"""Uniform random numbers that a sample needs."""

Strength = Tensor | float


def image_shape(inputs: Inputs) -> tuple[int, int, int] | None:
    """(channels, height, width) of image inputs; None for other inputs.

    A square number of plain values counts as an image of one channel.
    """
    if len(inputs.shape) == 3:
        return inputs.shape[0], inputs.shape[1], inputs.shape[2]
    side = math.isqrt(int(inputs))
    return (1, side, side) if inputs.kind == "float" and len(inputs.shape) == 1 and side**2 == int(inputs) else None


def check(strengths: Mapping[str, Strength], inputs: Inputs) -> None:
    """Check that every operation in `strengths` suits the data.

    Raises:
        SpecError: one does not.
    """
    for name in strengths:
        if inputs.kind == "tokens":
            raise SpecError(f"{name}: tokens cannot be augmented")
        if name in IMAGES_ONLY and image_shape(inputs) is None:
            raise SpecError(f"{name} needs images, the samples have shape {inputs.shape}")
        if inputs.cardinalities:
            raise SpecError(f"{name}: codes of categories cannot be mixed; prepare: {{categorical: onehot}}")


def apply(
    x: Tensor,
    strengths: Mapping[str, Strength],
    inputs: Inputs,
    u: Tensor,
    noise: Tensor | None = None,
    lanes: int = 1,
) -> tuple[Tensor, Tensor]:
    """Augment a batch, or the batches of several lanes, one after another.

    Args:
        x: [B, *inputs.shape] the batch.
        strengths: operation -> strength.
        inputs: layout of one sample.
        u: [B, UNIFORMS] uniform random numbers in [0, 1).
        noise: like `x`, standard normal; needed for the operation `noise` only.
        lanes: how many batches of equal size `x` consists of; partners are of the same batch.

    Returns:
        The new batch [B, *inputs.shape], and each sample's own share in it [B]; the rest is its partner's.
    """
    shape = image_shape(inputs)
    own = torch.ones(len(x), device=x.device, dtype=x.dtype)
    if shape is not None and any(name in strengths for name in IMAGES_ONLY):
        image = x.view(len(x), *shape)
        if any(name in strengths for name in MOVES):
            image = _moved(image, strengths, u)
        if "cutmix" in strengths:
            image, own = _cutmix(image, strengths["cutmix"], u, lanes)
        x = image.reshape(x.shape)
    if "mixup" in strengths:
        kept = (1 - 0.5 * strengths["mixup"] * u[:, 8]).to(x.dtype)
        per_sample = kept.view(-1, *(1 for _ in x.shape[1:]))
        x = x * per_sample + partner(x, lanes) * (1 - per_sample)
        own = own * kept + (1 - partner(own, lanes)) * (1 - kept)  # the partner of the partner is the sample itself
    if "noise" in strengths and noise is not None:
        level = torch.as_tensor(strengths["noise"], device=x.device, dtype=x.dtype)
        x = x + noise * level.view(-1, *(1 for _ in x.shape[1:]))
    return x, own


def partner(values: Tensor, lanes: int = 1) -> Tensor:
    """Each sample's partner: each batch in reverse order (its order is random already)."""
    return values.flip(0) if lanes == 1 else values.view(lanes, -1, *values.shape[1:]).flip(1).view(values.shape)


def mixed_targets(kind: str, y: Tensor, own: Tensor, classes: int) -> Tensor:
    """Targets of a mixed batch: [B, C] probabilities, or [B, D] values.

    Args:
        kind: of the task; "classification", or another one for values.
        y: [B] int64 classes, or [B, D] values.
        own: [B] each sample's own share, from `apply`.
        classes: C.
    """
    target = F.one_hot(y, classes).to(own.dtype) if kind == "classification" else y
    share = own[:, None]
    return target * share + partner(target) * (1 - share)


def _moved(x: Tensor, strengths: Mapping[str, Strength], u: Tensor) -> Tensor:
    """Flip, rotate, zoom and shift images [B, C, H, W] in one resampling; outside is the nearest pixel of the edge."""
    angle = (2 * u[:, 1] - 1) * strengths.get("rotate", 0.0) * (math.pi / 180)
    mirror = torch.where(u[:, 0] < strengths.get("flip", 0.0), -1.0, 1.0)
    zoom = 1 - u[:, 2] * strengths.get("crop", 0.0)
    across, down = ((2 * u[:, k] - 1) * 2 * strengths.get("shift", 0.0) for k in (3, 4))
    ratio = x.shape[2] / x.shape[3]
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    rows = [torch.stack([cos * mirror, -sin * ratio, across], -1), torch.stack([sin * mirror / ratio, cos, down], -1)]
    grid = F.affine_grid(torch.stack(rows, 1).to(x.dtype), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def _cutmix(x: Tensor, strength: Strength, u: Tensor, lanes: int) -> tuple[Tensor, Tensor]:
    """Replace a rectangle of each image by its partner's; returns also the share of pixels kept, [B]."""
    side = (0.5 * strength * u[:, 5]).sqrt()
    down = torch.arange(x.shape[2], device=x.device) / x.shape[2]
    across = torch.arange(x.shape[3], device=x.device) / x.shape[3]
    top, left = (1 - side) * u[:, 6], (1 - side) * u[:, 7]
    inside_down = (down >= top[:, None]) & (down < (top + side)[:, None])
    inside_across = (across >= left[:, None]) & (across < (left + side)[:, None])
    box = (inside_down[:, :, None] & inside_across[:, None, :])[:, None]
    return torch.where(box, partner(x, lanes), x), 1 - box.to(x.dtype).mean((1, 2, 3))
