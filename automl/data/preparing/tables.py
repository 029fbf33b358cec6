"""Tables: fitted on the training rows, kept as JSON, applied to any rows with the same columns."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from automl.data.cells import readings
from automl.data.cells.numbers import PLAIN
from automl.data.preparing import columns as cols
from automl.data.preparing import former, scaling
from automl.data.shapes import Inputs
from automl.errors import DataError, did_you_mean

Floats = NDArray[np.float32]
LARGEST_SCALED = 1e12
"""Scaled numbers are cut to this size: larger ones would overflow float32 when two of them are multiplied."""


def fit(train: pd.DataFrame, y: NDArray[Any], options: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """Fit the preparation of a table.

    Args:
        train: the training rows, without the target.
        y: [N] or [N, targets], their targets; used to choose the crosses only.
        options: those of `prepare:`.
        notes: gets a line for each decision.

    Returns:
        The preparation, JSON-able.

    Raises:
        DataError: no column is left to learn from, or an option has a wrong value.
    """
    preparation: dict[str, Any] = {
        "version": 1,
        "form": "table",
        "expects": [str(name) for name in train.columns],
        "columns": cols.decide(train, options, notes),
        "encoding": options.get("categorical", "onehot"),
        "crosses": [],
        "pca": None,
        "reading": _reading(train, options),
    }
    if options.get("crosses"):
        preparation["crosses"] = _choose_crosses(_encode(preparation, train)[0], y, int(options["crosses"]))
    if options.get("pca"):
        preparation["pca"] = _fit_pca(_encode(preparation, train)[0], options["pca"], notes)
    return preparation


def _reading(train: pd.DataFrame, options: dict[str, Any]) -> dict[str, Any]:
    """What holds for all columns: the words for missing values, and how the file was written.

    A preparation without this entry is of version 0.1, see `automl.data.preparing.former`.
    """
    file = train.attrs.get(readings.ATTRIBUTE, {}).get("file", {})
    rules = readings.rules_of(options, train)
    return {"missing": sorted(rules.missing_words), **{k: file[k] for k in ("separator", "encoding") if k in file}}


def transform(preparation: dict[str, Any], rows: Any, unread: list[str] | None = None) -> Tensor:
    """Rows with the columns of the training table -> [N, D + C] float32: D values, then C codes of categories.

    Args:
        preparation: from `fit`.
        rows: a DataFrame, a list of dicts, or an array with the training table's columns in their order.
        unread: gets a few words for each column with values that cannot be read, or that training did not see.

    Raises:
        DataError: a column is missing, or an array has another number of columns.
    """
    dense, codes = _encode(preparation, frame_of(preparation, rows), unread)
    pca = preparation["pca"]
    if pca:
        dense = (dense - np.asarray(pca["center"])) @ np.asarray(pca["components"]).T / np.asarray(pca["scale"])
    dense = np.ascontiguousarray(dense, dtype=np.float32)
    return torch.from_numpy(dense if codes is None else np.concatenate([dense, codes], axis=1))


def inputs_of(preparation: dict[str, Any]) -> tuple[Inputs, list[str]]:
    """The layout of what `transform` returns, and the name of each value."""
    embedded = [c for c in preparation["columns"] if c["role"] == "category" and preparation["encoding"] == "embed"]
    names = _dense_names(preparation) + [c["name"] for c in embedded]
    cardinalities = tuple(len(c["values"]) + 1 for c in embedded)
    return Inputs(len(names), "table", cardinalities=cardinalities), names


def _dense_names(preparation: dict[str, Any]) -> list[str]:
    names: list[str] = []
    for column in preparation["columns"]:
        name = column["name"]
        if column["role"] == "number":
            names += [name, f"{name} is missing"] if column["indicator"] else [name]
        elif column["role"] == "time":
            names += [name, f"{name} day sin", f"{name} day cos"]
        elif column["role"] == "date":
            names += [name, *(f"{name} {wave}" for wave in _wave_names(column))]
        elif preparation["encoding"] == "onehot":
            names += [f"{name}={value.strip(chr(0))}" for value in column["values"]]
    names += [f"{names[a]} * {names[b]}" for a, b in preparation["crosses"]]
    if preparation["pca"]:
        return [f"component {k + 1}" for k in range(len(preparation["pca"]["components"]))]
    return names


def _wave_names(column: dict[str, Any]) -> list[str]:
    names = ["year sin", "year cos", "week sin", "week cos"]
    return [*names, "day sin", "day cos"] if column["clock"] else names


def frame_of(preparation: dict[str, Any], rows: Any) -> pd.DataFrame:
    """Rows as a table that has every column the preparation uses.

    Raises:
        DataError: a column is missing, or an array has another number of columns.
    """
    expects = preparation["expects"]
    if isinstance(rows, np.ndarray | Tensor):
        array = np.asarray(rows)
        if array.ndim != 2 or array.shape[1] != len(expects):
            raise DataError(
                f"expected rows of {len(expects)} columns ({', '.join(expects[:8])}, ...), got shape {array.shape}"
            )
        return pd.DataFrame(array, columns=expects)
    clocks = {c["name"] for c in preparation["columns"] if c["role"] == "time" or c.get("style", {}).get("clock")}
    frame = cols.plain(rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows), clocks)
    twice = set(frame.columns[frame.columns.duplicated()])
    for column in preparation["columns"]:
        if column["name"] in twice:
            raise DataError(f"the rows have two columns named {column['name']!r}; give each column once")
        if column["name"] not in frame.columns:
            raise DataError(f"column {column['name']!r} is missing{_instead(column['name'], frame)}")
    return frame


def _instead(name: str, frame: pd.DataFrame) -> str:
    """What may help where a column is missing."""
    if name in map(str, frame.index):
        return "; it is a row of this table, whose rows and columns are exchanged: give its transpose, rows.T"
    names = [str(column) for column in frame.columns]
    plain = [name if name.isprintable() else repr(name)[1:-1] for name in names]
    shown = [name if len(name) <= 40 else f"{name[:40]}..." for name in plain]
    some = f"{', '.join(shown[:8])}{', ...' if len(names) > 8 else ''}"
    return did_you_mean(name, names) or (f"; the rows have {some}" if names else "; the rows have no columns")


def comma_of(preparation: Mapping[str, Any]) -> bool:
    """Whether the cells of the training file were separated by something else than commas; new rows are read alike."""
    return bool(preparation.get("reading", {}).get("separator", ",") != ",")


def _encode(
    preparation: dict[str, Any], frame: pd.DataFrame, unread: list[str] | None = None
) -> tuple[Floats, Floats | None]:
    """([N, D] scaled numbers, one-hot categories and crosses, [N, C] codes of embedded categories or None)."""
    blocks: list[NDArray[Any]] = []
    codes: list[NDArray[Any]] = []
    cells = Cells(preparation, frame, [] if unread is None else unread)
    for column in preparation["columns"]:
        if column["role"] == "number":
            blocks += _encode_number(column, cells.numbers(column))
        elif column["role"] == "date":
            blocks += encode_date(column, cells.days(column))
        elif column["role"] == "time":
            blocks += encode_time(column, cells.seconds(column))
        else:
            code = cells.codes(column)  # 0: unseen
            if preparation["encoding"] == "embed":
                codes.append(code)
            else:
                blocks.append(np.eye(len(column["values"]) + 1, dtype=np.float32)[code][:, 1:])
    cut = [np.clip(block, -LARGEST_SCALED, LARGEST_SCALED).astype(np.float32, copy=False) for block in blocks]
    dense = np.column_stack(cut) if cut else np.zeros((len(frame), 0), dtype=np.float32)
    crosses = [dense[:, a] * dense[:, b] for a, b in preparation["crosses"]]
    if crosses:
        dense = np.column_stack([dense, *crosses]).astype(np.float32)
    return dense, np.column_stack(codes).astype(np.float32) if codes else None


class Cells:
    """The cells of a table, read as a preparation says; counts in `unread` what it cannot read."""

    def __init__(self, preparation: dict[str, Any], frame: pd.DataFrame, unread: list[str]) -> None:
        self.frame, self.unread = frame, unread
        self.former = "reading" not in preparation
        self.missing = frozenset(preparation.get("reading", {}).get("missing", ()))
        self.comma = comma_of(preparation)

    def numbers(self, column: dict[str, Any]) -> NDArray[np.float64]:
        """[N] numbers, NaN where there is none."""
        values = self.frame[column["name"]]
        if self.former:
            return former.as_numbers(values)
        reading = {"style": column.get("style", PLAIN)}
        return self._told(column, readings.as_numbers(values, reading, self.missing, self.comma), "not a number")

    def days(self, column: dict[str, Any]) -> NDArray[np.float64]:
        """[N] days since 1970, NaN where there is no date."""
        values = self.frame[column["name"]]
        if self.former:
            return former.as_days(values)
        return self._told(column, readings.as_days(values, column, self.missing), "not a date")

    def seconds(self, column: dict[str, Any]) -> NDArray[np.float64]:
        """[N] seconds since midnight, NaN where there is no time of day."""
        read = readings.as_seconds(self.frame[column["name"]], self.missing)
        return self._told(column, read, "not a time of day")

    def codes(self, column: dict[str, Any]) -> NDArray[np.int64]:
        """[N] codes of categories, 0 where training did not see the value."""
        values = self.frame[column["name"]]
        if self.former:
            found = pd.Index(column["values"]).get_indexer(pd.Index(former.as_texts(values)))
            return np.asarray(found, dtype=np.int64) + 1
        texts = cols.as_texts(values, self.missing)
        codes = cols.category_codes(column, texts)
        unseen = (codes == 0) & (texts != cols.MISSING)
        if unseen.any():
            self.unread.append(unseen_values(column["name"], texts[unseen].tolist()))
        return codes

    def _told(self, column: dict[str, Any], read: readings.Read, what: str) -> NDArray[np.float64]:
        if read.unreadable:
            self.unread.append(unreadable_values(column["name"], what, read))
        return read.values


def unseen_values(name: str, texts: list[str]) -> str:
    """A few words for categories of a column that training did not see."""
    some = ", ".join(repr(text) for text in list(dict.fromkeys(texts))[:2])
    return f"column {name!r}: {len(texts)} not seen in training ({some})"


def unreadable_values(name: str, what: str, read: readings.Read) -> str:
    """A few words for cells of a column that are neither missing nor `what` they should be."""
    some = ", ".join(repr(cell) for cell in read.examples)
    return f"column {name!r}: {read.unreadable} {what} ({some})"


def _encode_number(column: dict[str, Any], numbers: NDArray[np.float64]) -> list[NDArray[Any]]:
    """[N] scaled, missing values filled; and [N] of 0 and 1, whether it was missing, where training had gaps."""
    missing = ~np.isfinite(numbers)
    fill = np.nan if column["fill"] is None else column["fill"]
    numbers = np.clip(np.where(missing, fill, numbers), -cols.LARGEST, cols.LARGEST)
    scaled = scaling.bent((numbers - column["center"]) / column["scale"], column)
    return [scaled, missing.astype(np.float64)] if column["indicator"] else [scaled]


def encode_date(column: dict[str, Any], days: NDArray[np.float64]) -> list[NDArray[Any]]:
    """[N] scaled days, then sine and cosine of the position in the year, the week and (with a clock) the day."""
    days = np.where(np.isfinite(days), days, column["fill"])
    periods = [365.2425, 7.0] + ([1.0] if column["clock"] else [])
    waves = [wave(2 * np.pi * days / period) for period in periods for wave in (np.sin, np.cos)]
    return [(days - column["center"]) / column["scale"], *waves]


def encode_time(column: dict[str, Any], seconds: NDArray[np.float64]) -> list[NDArray[Any]]:
    """[N] scaled seconds since midnight, then sine and cosine of the position in the day."""
    seconds = np.where(np.isfinite(seconds), seconds, column["fill"])
    waves = [wave(2 * np.pi * seconds / 86_400) for wave in (np.sin, np.cos)]
    return [(seconds - column["center"]) / column["scale"], *waves]


def _choose_crosses(dense: Floats, y: NDArray[Any], most: int) -> list[list[int]]:
    """The `most` pairs of columns whose product correlates best with what a linear model leaves of the target."""
    few = min(dense.shape[1], 64)
    spread = np.argsort(-dense.std(axis=0), kind="stable")[:few]
    target = np.asarray(y, dtype=np.float64).reshape(len(dense), -1)[:, :1]
    design = np.column_stack([np.ones(len(dense)), dense[:, spread].astype(np.float64)])
    residual = (target - design @ np.linalg.lstsq(design, target, rcond=None)[0])[:, 0]
    scored = []
    for k, a in enumerate(spread):
        for b in spread[k:]:
            product = dense[:, a].astype(np.float64) * dense[:, b]
            if product.std() > 1e-6 and residual.std() > 1e-12:
                scored.append((-abs(np.corrcoef(product, residual)[0, 1]), int(a), int(b)))
    return [[a, b] for _, a, b in sorted(scored)[:most]]


def _fit_pca(dense: Floats, wanted: float | int, notes: list[str]) -> dict[str, Any]:
    """Whitened principal components: `wanted` of them, or below 1 as many as keep that share of the variance."""
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
