"""Rows of the validation and test sets that are equal to a training row: they say nothing about new rows."""

import numpy as np
from numpy.typing import NDArray

from automl.data.prepared import Part, Prepared
from automl.data.streaming.shards import Streamed

LARGEST = 2**26
"""Tables of more values than this are not looked at."""
FEWEST, SHARE = 3, 0.01
"""The least number and share of rows equal to training rows that lead to a warning."""
DIFFERENT = 0.5
"""Where fewer of the training rows differ than this share, equal rows are no surprise: they have few columns."""


def notes(prepared: Prepared) -> list[str]:
    """A sentence where rows are in several parts, else nothing; for tables that are prepared in memory."""
    parts = prepared.apart
    small = sum(part.x.numel() for part in parts if not isinstance(part, Streamed)) <= LARGEST
    if prepared.preparation["form"] != "table" or not small or any(isinstance(part, Streamed) for part in parts):
        return []
    train = _hashes(parts[0])
    if not len(train) or len(np.unique(train)) < DIFFERENT * len(train):
        return []
    rows = {"validation": len(parts[1]), "test": len(parts[2])}
    found = {name: int(np.isin(_hashes(part), train).sum()) for name, part in zip(rows, parts[1:], strict=True)}
    if (folds := prepared.folds) is not None:
        rows["held-out"], found["held-out"] = len(train), _in_several(train, folds.home.numpy())
    enough = {name: n for name, n in found.items() if n >= max(FEWEST, SHARE * rows[name])}
    if not enough:
        return []
    said = " and ".join(f"{n:,} {name} rows" for name, n in enough.items())
    return [
        f"{said} are equal to a training row, with the same target: their scores say less about new rows "
        "(leave out rows that are twice in the table, or keep them together with `split: {group: column}`)"
    ]


def _in_several(hashes: NDArray[np.uint64], home: NDArray[np.int64]) -> int:
    """How many rows are equal to one of another fold. `home`: [rows] the fold of each."""
    same = np.unique(hashes, return_inverse=True)[1]
    first, last = np.full(same.max() + 1, np.iinfo(np.int64).max), np.full(same.max() + 1, -2)
    np.minimum.at(first, same, home)
    np.maximum.at(last, same, home)
    return int((first != last)[same].sum())


def _hashes(part: Part) -> NDArray[np.uint64]:
    """[rows] a number for each row with its target, the same for equal rows."""
    result = np.zeros(len(part), dtype=np.uint64)
    if not len(part):
        return result
    for values in (np.asarray(side, dtype=np.float32).reshape(len(part), -1) for side in (part.x, part.y)):
        for column in range(values.shape[1]):
            cells = np.ascontiguousarray(values[:, column]).view(np.uint32).astype(np.uint64)
            result = (result ^ cells) * np.uint64(0x9E3779B97F4A7C15)
            result ^= result >> np.uint64(29)
    return result
