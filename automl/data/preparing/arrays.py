"""Arrays and images: one center and scale per feature or channel, fitted on the training rows."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from automl.data import seen
from automl.data.shapes import Inputs
from automl.errors import DataError


def fit(train: NDArray[Any], options: dict[str, Any], form: str, notes: list[str]) -> dict[str, Any]:
    """Fit the preparation of an array: one scale per feature ([N, D] and [N, T, D]) or channel ([N, C, H, W]).

    Args:
        train: the training rows, [N, ...].
        options: those of `prepare:`; `scale` is used.
        form: "image" where the axes are to be read as an image.
        notes: gets a line for each decision.

    Returns:
        The preparation, JSON-able.

    Raises:
        DataError: the samples have more than three axes, or `scale` is not for arrays.
    """
    layout, train = _layout(train, form)
    numbers = train.astype(np.float32)
    axes = {2: (0,), 3: (0, 1), 4: (0, 2, 3)}.get(numbers.ndim)
    if axes is None:
        raise DataError(f"data: samples of shape {train.shape[1:]} are not supported (1, 2 or 3 axes are)")
    invalid = ~np.isfinite(numbers)
    keep = options.get("impute") == "none"
    if invalid.any():
        how = "kept as missing" if keep else "replaced by the mean"
        notes.append(f"{int(invalid.sum())} values that are not finite {how}")
        numbers = np.where(invalid, np.nan, numbers)
    center, scale = _scaling(numbers, axes, options.get("scale", "standard"))
    return {
        "version": 1,
        "form": "array",
        "layout": layout,
        "shape": [int(n) for n in train.shape[1:]],
        "center": [float(v) for v in center],
        "scale": [float(v) for v in scale],
        "seen": seen.of_array(numbers),
        **({"missing": "keep"} if keep else {}),
    }


def _layout(x: NDArray[Any], form: str) -> tuple[str, NDArray[Any]]:
    """How images become [N, C, H, W]: "hw" adds a channel axis, "hwc" moves it from the end, "as_is" neither."""
    if form == "image" and x.ndim == 3:
        return "hw", x[:, None]
    if form == "image" and x.ndim == 4 and x.shape[-1] in (1, 3, 4) and x.shape[1] not in (1, 3, 4):
        return "hwc", np.moveaxis(x, -1, 1)
    return "as_is", x


def _scaling(numbers: NDArray[Any], axes: tuple[int, ...], how: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """(center, scale) over `axes`. A scale is at least 20 % of the mean scale.

    So a feature that hardly varies in training, such as a corner pixel, is not blown up.
    """
    if how == "none":
        size = numbers.shape[1] if numbers.ndim != 3 else numbers.shape[2]
        center, scale = np.zeros(size), np.ones(size)
    elif how == "standard":
        center = np.nan_to_num(np.nanmean(numbers, axis=axes, dtype=np.float64))
        scale = np.nan_to_num(np.nanstd(numbers, axis=axes, dtype=np.float64))
    else:
        raise DataError(f"prepare.scale: for arrays, expected standard or none, got {how!r}")
    floor = 0.2 * float(scale.mean())
    return center, np.where(scale > floor, scale, floor if floor > 0 else 1.0)


def transform(preparation: dict[str, Any], rows: Any) -> Tensor:
    """Scale an array [N, *sample shape] as fitted -> [N, *shape] float32; values that are not finite become 0.

    Raises:
        DataError: the samples have another shape than in training.
    """
    array = rows.to_numpy() if isinstance(rows, pd.DataFrame) else np.asarray(rows)
    if preparation["layout"] == "hw" and array.ndim == 3:
        array = array[:, None]
    elif preparation["layout"] == "hwc" and array.ndim == 4:
        array = np.moveaxis(array, -1, 1)
    shape = tuple(preparation["shape"])
    if array.shape[1:] != shape:
        raise DataError(f"expected samples of shape {shape}, got {array.shape[1:]}")
    broadcast = {1: (1, -1), 2: (1, 1, -1), 3: (1, -1, 1, 1)}[len(shape)]
    scaled = np.array(array, dtype=np.float32, order="C")
    scaled -= np.asarray(preparation["center"], dtype=np.float32).reshape(broadcast)
    scaled /= np.asarray(preparation["scale"], dtype=np.float32).reshape(broadcast)
    scaled[~np.isfinite(scaled)] = np.nan if preparation.get("missing") == "keep" else 0.0
    return torch.from_numpy(scaled)


def inputs_of(preparation: dict[str, Any]) -> tuple[Inputs, list[str]]:
    """The layout of what `transform` returns, and names x0, x1, ... for the features of [N, D]."""
    shape = tuple(preparation["shape"])
    return Inputs(shape), [f"x{k}" for k in range(shape[0])] if len(shape) == 1 else []
