"""Preparation: fitted on the training rows, kept as JSON, applied to anything of the same columns or shape."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from automl.data.preparing import columns as cols
from automl.data.preparing import text
from automl.data.preparing.options import ENCODINGS
from automl.data.shapes import Inputs
from automl.errors import DataError, did_you_mean

Floats = NDArray[np.float32]
OPTIONS = {
    "task": "classification or regression (default: from the target's values)",
    "impute": "what stands for a missing number: median, mean, zero, most_frequent",
    "indicators": "whether a column with missing numbers gets a second one that says where",
    "scale": "standard, robust, minmax, none; arrays and images: standard or none",
    "categorical": "onehot, or embed: codes for the model's own embeddings",
    "categories": "number columns to be read as categories",
    "max_categories": "values of a column that are told apart; the rarer ones count as unseen",
    "pca": "number of principal components, or below 1 the share of the variance to keep",
    "crosses": "products of two columns to add: so many, those that tell most about the target",
    "weight": "column of sample weights",
    "class_weight": "balanced, none",
    "rows": "use so many rows, drawn at random",
    "form": "how the source is to be read where that is open, e.g. sentences",
    "text": "column that holds sentences",
    "tokens": "texts: char, byte, word; ids: the file holds token numbers",
    "max_tokens": "size of the vocabulary",
    "window": "length of a sample: steps of a series, tokens of a text",
    "horizon": "how many steps ahead of the window the target lies",
    "stride": "steps between the beginnings of two windows",
    "memory": "a table that would take more, e.g. 2GB, is streamed from disk (default: half of what is free)",
}
"""Options of `prepare:` and what they say."""


def check(options: dict[str, Any]) -> None:
    """Raises DataError for an option of `prepare:` that does not exist."""
    for name in options:
        if name not in OPTIONS:
            hint = did_you_mean(name, OPTIONS) or f"; options: {', '.join(OPTIONS)}"
            raise DataError(f"prepare: unknown option {name!r}{hint}")
    encoding = options.get("categorical", "onehot")
    if encoding not in ENCODINGS:
        raise DataError(
            f"prepare.categorical: expected onehot or embed, got {encoding!r}{did_you_mean(encoding, ENCODINGS)}"
        )


def fit_table(train: pd.DataFrame, y: NDArray[Any], options: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """The preparation of a table. `train`: the training rows; `y`: their targets, used for crosses alone."""
    preparation: dict[str, Any] = {
        "version": 1,
        "form": "table",
        "expects": [str(name) for name in train.columns],
        "columns": cols.decide(train, options, notes),
        "encoding": options.get("categorical", "onehot"),
        "crosses": [],
        "pca": None,
    }
    if options.get("crosses"):
        preparation["crosses"] = _crosses(_dense(preparation, train)[0], y, int(options["crosses"]))
    if options.get("pca"):
        preparation["pca"] = _pca(_dense(preparation, train)[0], options["pca"], notes)
    return preparation


def fit_array(train: NDArray[Any], options: dict[str, Any], form: str, notes: list[str]) -> dict[str, Any]:
    """The preparation of arrays: one scale per feature ([N, D]), per channel (images), per series ([N, T, D])."""
    layout, train = _layout(train, form)
    numbers = train.astype(np.float32)
    endless = ~np.isfinite(numbers)
    if endless.any():
        notes.append(f"{int(endless.sum())} values that are not finite replaced by the mean")
    axes = {2: (0,), 3: (0, 1), 4: (0, 2, 3)}.get(numbers.ndim)
    if axes is None:
        raise DataError(f"data: samples of shape {train.shape[1:]} are of no known kind (1, 2 or 3 axes)")
    how = options.get("scale", "standard")
    clean = np.where(endless, np.nan, numbers) if endless.any() else numbers
    if how == "none":
        size = numbers.shape[1] if numbers.ndim != 3 else numbers.shape[2]
        center, scale = np.zeros(size), np.ones(size)
    elif how == "standard":
        center = np.nan_to_num(np.nanmean(clean, axis=axes, dtype=np.float64))
        scale = np.nan_to_num(np.nanstd(clean, axis=axes, dtype=np.float64))
    else:
        raise DataError(f"prepare.scale: arrays know standard and none, got {how!r}")
    # A feature that hardly varies in training (a corner pixel) is not blown up: its scale is at least 20 % of the mean.
    floor = 0.2 * float(scale.mean())
    scale = np.where(scale > floor, scale, floor if floor > 0 else 1.0)
    return {
        "version": 1,
        "form": "array",
        "layout": layout,
        "shape": [int(n) for n in train.shape[1:]],
        "center": [float(v) for v in center],
        "scale": [float(v) for v in scale],
    }


def _layout(x: NDArray[Any], form: str) -> tuple[str, NDArray[Any]]:
    """How images become [N, C, H, W]: a channel axis added, or moved from the end."""
    if form == "image" and x.ndim == 3:
        return "hw", x[:, None]
    if form == "image" and x.ndim == 4 and x.shape[-1] in (1, 3, 4) and x.shape[1] not in (1, 3, 4):
        return "hwc", np.moveaxis(x, -1, 1)
    return "as_is", x


def transform(preparation: dict[str, Any], rows: Any) -> Tensor:
    """`rows`: a DataFrame (or list of dicts) with the same columns, or an array of the same sample shape.

    Returns [N, *shape] float32 (int64 for tokens). A table's missing column is an error; unseen categories are all
    zeros. Raises DataError with what does not fit.
    """
    if preparation["form"] == "table":
        dense, codes = _table(preparation, rows)
        return torch.from_numpy(np.concatenate([dense, codes], axis=1) if codes is not None else dense)
    if preparation["form"] == "array":
        return torch.from_numpy(_array(preparation, rows))
    if preparation["form"] == "text":
        return text.transform(preparation, rows)
    if preparation["form"] == "series":
        from automl.data.preparing import series

        return series.transform(preparation, rows)
    raise DataError(f"a preparation of form {preparation['form']!r} is not known to this version")


def inputs_of(preparation: dict[str, Any]) -> tuple[Inputs, list[str]]:
    """The shape of what `transform` gives, and the names of its values."""
    if preparation["form"] == "text":
        return text.inputs_of(preparation), []
    if preparation["form"] == "array":
        shape = tuple(preparation["shape"])
        return Inputs(shape), [f"x{k}" for k in range(shape[0])] if len(shape) == 1 else []
    names, cardinalities = _names(preparation)
    return Inputs(len(names), "table", cardinalities=cardinalities), names


def _names(preparation: dict[str, Any]) -> tuple[list[str], tuple[int, ...]]:
    dense = _dense_names(preparation)
    embedded = [c for c in preparation["columns"] if c["role"] == "category" and preparation["encoding"] == "embed"]
    return dense + [c["name"] for c in embedded], tuple(len(c["values"]) + 1 for c in embedded)


def _dense_names(preparation: dict[str, Any]) -> list[str]:
    names: list[str] = []
    for column in preparation["columns"]:
        name = column["name"]
        if column["role"] == "number":
            names += [name, f"{name} is missing"] if column["indicator"] else [name]
        elif column["role"] == "date":
            names += [name, *(f"{name} {part}" for part in _cycles(column))]
        elif preparation["encoding"] == "onehot":
            names += [f"{name}={value.strip(chr(0))}" for value in column["values"]]
    names += [f"{names[a]} * {names[b]}" for a, b in preparation["crosses"]]
    if preparation["pca"]:
        return [f"component {k + 1}" for k in range(len(preparation["pca"]["components"]))]
    return names


def _cycles(column: dict[str, Any]) -> list[str]:
    parts = ["year sin", "year cos", "week sin", "week cos"]
    return [*parts, "day sin", "day cos"] if column["clock"] else parts


def _table(preparation: dict[str, Any], rows: Any) -> tuple[Floats, Floats | None]:
    frame = _frame(preparation, rows)
    dense, codes = _dense(preparation, frame)
    if preparation["pca"]:
        pca = preparation["pca"]
        dense = (dense - np.asarray(pca["center"])) @ np.asarray(pca["components"]).T / np.asarray(pca["scale"])
    return np.ascontiguousarray(dense, dtype=np.float32), codes


def _frame(preparation: dict[str, Any], rows: Any) -> pd.DataFrame:
    expects = preparation["expects"]
    if isinstance(rows, np.ndarray | Tensor):
        array = np.asarray(rows)
        if array.ndim != 2 or array.shape[1] != len(expects):
            raise DataError(
                f"expected rows of {len(expects)} columns ({', '.join(expects[:8])}, ...), got shape {array.shape}"
            )
        return pd.DataFrame(array, columns=expects)
    frame = cols.plain(rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows))
    for column in preparation["columns"]:
        if column["name"] not in frame.columns:
            raise DataError(f"column {column['name']!r} is missing{did_you_mean(column['name'], frame.columns)}")
    return frame


FARTHEST = 1e12  # of scaled numbers: what lies beyond would overflow in float32, or when two are multiplied


def _dense(preparation: dict[str, Any], frame: pd.DataFrame) -> tuple[Floats, Floats | None]:
    """([N, D] scaled numbers, one-hot categories and crosses, [N, C] codes of embedded categories or None)."""
    blocks: list[NDArray[Any]] = []
    codes: list[NDArray[Any]] = []
    for column in preparation["columns"]:
        values = frame[column["name"]]
        if column["role"] == "number":
            blocks += _number(column, values)
        elif column["role"] == "date":
            blocks += _date(column, values)
        else:
            code = pd.Index(column["values"]).get_indexer(pd.Index(cols.as_texts(values))) + 1  # 0: unseen
            if preparation["encoding"] == "embed":
                codes.append(code)
            else:
                blocks.append(np.eye(len(column["values"]) + 1, dtype=np.float32)[code][:, 1:])
    cut = [np.clip(block, -FARTHEST, FARTHEST) for block in blocks]
    dense = np.column_stack(cut).astype(np.float32) if cut else np.zeros((len(frame), 0), dtype=np.float32)
    crosses = [dense[:, a] * dense[:, b] for a, b in preparation["crosses"]]
    if crosses:
        dense = np.column_stack([dense, *crosses]).astype(np.float32)
    return dense, np.column_stack(codes).astype(np.float32) if codes else None


def _number(column: dict[str, Any], values: "pd.Series[Any]") -> list[NDArray[Any]]:
    if values.dtype.kind not in "iufb":
        values = pd.to_numeric(values, errors="coerce")
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    missing = ~np.isfinite(numbers)
    numbers = np.clip(np.where(missing, column["fill"], numbers), -cols.LARGEST, cols.LARGEST)
    scaled = (numbers - column["center"]) / column["scale"]
    return [scaled, missing.astype(np.float64)] if column["indicator"] else [scaled]


def _date(column: dict[str, Any], values: "pd.Series[Any]") -> list[NDArray[Any]]:
    days = cols.as_days(values)
    days = np.where(np.isfinite(days), days, column["fill"])
    periods = [365.2425, 7.0] + ([1.0] if column["clock"] else [])
    waves = [wave(2 * np.pi * days / period) for period in periods for wave in (np.sin, np.cos)]
    return [(days - column["center"]) / column["scale"], *waves]


def _array(preparation: dict[str, Any], rows: Any) -> Floats:
    array = rows.to_numpy() if isinstance(rows, pd.DataFrame) else np.asarray(rows)
    if preparation["layout"] == "hw" and array.ndim == 3:
        array = array[:, None]
    elif preparation["layout"] == "hwc" and array.ndim == 4:
        array = np.moveaxis(array, -1, 1)
    shape = tuple(preparation["shape"])
    if array.shape[1:] != shape:
        raise DataError(f"expected samples of shape {shape}, got {array.shape[1:]}")
    around = {1: (1, -1), 2: (1, 1, -1), 3: (1, -1, 1, 1)}[len(shape)]
    center = np.asarray(preparation["center"], dtype=np.float32).reshape(around)
    scale = np.asarray(preparation["scale"], dtype=np.float32).reshape(around)
    scaled = np.array(array, dtype=np.float32, order="C")
    scaled -= center
    scaled /= scale
    scaled[~np.isfinite(scaled)] = 0.0
    return scaled


def _crosses(dense: Floats, y: NDArray[Any], most: int) -> list[list[int]]:
    """The `most` products of two values that go best with the target beyond what the two do alone (|correlation|)."""
    few = min(dense.shape[1], 64)
    spread = np.argsort(-dense.std(axis=0), kind="stable")[:few]
    target = np.asarray(y, dtype=np.float64).reshape(len(dense), -1)[:, :1]
    design = np.column_stack([np.ones(len(dense)), dense[:, spread].astype(np.float64)])
    rest = (target - design @ np.linalg.lstsq(design, target, rcond=None)[0])[:, 0]
    scored = []
    for k, a in enumerate(spread):
        for b in spread[k:]:
            product = dense[:, a].astype(np.float64) * dense[:, b]
            if product.std() > 1e-6 and rest.std() > 1e-12:
                scored.append((-abs(np.corrcoef(product, rest)[0, 1]), int(a), int(b)))
    return [[a, b] for _, a, b in sorted(scored)[:most]]


def _pca(dense: Floats, wanted: float | int, notes: list[str]) -> dict[str, Any]:
    """`wanted`: a number of components, or the share of variance to keep when below 1. Components are whitened."""
    center = dense.mean(axis=0, dtype=np.float64)
    _, singular, directions = np.linalg.svd(dense - center, full_matrices=False)
    variance = singular**2 / max(len(dense) - 1, 1)
    share = np.cumsum(variance) / variance.sum()
    count = int(np.searchsorted(share, wanted) + 1) if 0 < wanted < 1 else int(wanted)
    count = max(1, min(count, int((variance > 1e-10 * variance[0]).sum())))
    signs = np.sign(directions[np.arange(count), np.abs(directions[:count]).argmax(axis=1)])
    notes.append(f"PCA: {count} components keep {share[count - 1]:.1%} of the variance of {dense.shape[1]} values")
    return {
        "center": center.tolist(),
        "components": (directions[:count] * signs[:, None]).tolist(),
        "scale": np.sqrt(variance[:count]).tolist(),
    }
