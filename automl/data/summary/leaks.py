"""Columns that alone predict the target (leaks): how well one column predicts rows that it was not fitted on.

Half of a sample of the training rows is looked up in the other half, by the nearest value of one column. A column that
is nearly always right is probably known only after the target is: a result code, a total that contains the price, the
target itself under another name.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.data.prepared import Prepared

ROWS = 2000
"""Training rows that are looked at."""
COLUMNS = 300
"""Columns that are looked at."""
FEWEST, ENOUGH = 40, 100
"""With fewer training rows nothing is said, or only of columns that are the target itself."""
WRONG = 0.01
"""A column predicts a class if it is wrong in at most this share of the rows, and a tenth as often as the commonest
class would be."""
R2 = 0.999
"""A column predicts a regression target if it explains this share of the variance."""
COPY = 1e-9
"""What a column that is the target itself, in whatever unit, leaves unexplained."""


def find(prepared: Prepared, x: NDArray[Any]) -> dict[str, str]:
    """{column: how well it predicts the target}, for tables with several columns; empty where none does.

    Args:
        prepared: the data.
        x: [N, D] the training rows, or the first of them.
    """
    preparation = prepared.preparation
    if preparation.get("form") != "table" or preparation["pca"] or len(preparation["columns"]) < 2:
        return {}
    rows = np.unique(np.linspace(0, len(x) - 1, min(len(x), ROWS)).astype(np.int64)) if len(x) else np.zeros(0, int)
    y = prepared.train_y[: len(x)].numpy()[rows]
    x = np.nan_to_num(x)  # what is missing stands in the middle of a scaled column
    if len(rows) < FEWEST or (y.ndim == 2 and y.shape[1] > 1):
        return {}
    judge: Callable[[NDArray[Any], NDArray[Any]], str] = _tells_class if y.ndim == 1 else _tells_value
    found: dict[str, str] = {}
    for name, values in _columns(preparation, x[rows]):
        if name not in found and (how := judge(values, y)):
            found[name] = how
    return found


def _columns(preparation: Mapping[str, Any], x: NDArray[Any]) -> Iterator[tuple[str, NDArray[Any]]]:
    """(name, [N] values) of each column: numbers and dates as they are, categories as codes; and what is missing."""
    embedded = preparation["encoding"] == "embed"
    categories = sum(column["role"] == "category" for column in preparation["columns"])
    at, code = 0, x.shape[1] - categories
    for column in preparation["columns"][:COLUMNS]:
        name, role = column["name"], column["role"]
        if role == "category" and embedded:
            yield name, x[:, code]
            code += 1
        elif role == "category":
            width = len(column["values"])
            block = x[:, at : at + width]
            yield name, np.where(block.any(axis=1), block.argmax(axis=1) + 1, 0)
            at += width
        else:
            yield name, x[:, at]
            if column.get("indicator"):
                yield name, x[:, at + 1]
            at += _width(column)


def _width(column: Mapping[str, Any]) -> int:
    """How many values a number, a date or a time of day becomes."""
    if column["role"] == "number":
        return 1 + bool(column["indicator"])
    return 3 if column["role"] == "time" else 5 + 2 * bool(column["clock"])


def _tells_class(values: NDArray[Any], y: NDArray[np.int64]) -> str:
    """How well `values` tell the classes; empty where they do not."""
    fit, test = slice(0, None, 2), slice(1, None, 2)
    usual = int((y[test] != np.bincount(y[fit]).argmax()).sum())  # errors of the commonest class
    if usual < 5:
        return ""
    known, inverse = np.unique(values[fit], return_inverse=True)
    width = int(y.max()) + 1
    counts = np.bincount(inverse * width + y[fit], minlength=len(known) * width).reshape(len(known), width)
    guess = counts.argmax(axis=1)[_nearest(known, values[test])]
    wrong = int((guess != y[test]).sum())
    if wrong > 0.1 * usual or wrong > WRONG * len(guess):
        return ""
    if not wrong and len(np.unique(values)) == len(np.unique(y)):
        return "each class has a value of its own"
    if len(y) < ENOUGH:
        return ""
    return f"right in {1 - wrong / len(guess):.1%} of rows it was not fitted on"


def _tells_value(values: NDArray[Any], y: NDArray[Any]) -> str:
    """How well `values` tell the numbers; empty where they do not."""
    x, y = values.astype(np.float64), y.reshape(len(y), -1)[:, 0].astype(np.float64)
    fit, test = slice(0, None, 2), slice(1, None, 2)
    spread = float(((y[test] - y[fit].mean()) ** 2).sum())
    if not spread or x[fit].std() == 0:
        return ""
    slope, offset = np.polyfit(x[fit], y[fit], 1)
    known, inverse = np.unique(x[fit], return_inverse=True)
    means = np.bincount(inverse, y[fit]) / np.bincount(inverse)
    line, curve = slope * x[test] + offset, np.interp(x[test], known, means)
    left = [float(((y[test] - guess) ** 2).sum()) / spread for guess in (line, curve)]
    if left[0] < COPY:
        return "the same number, perhaps in another unit"
    return f"R2 {1 - min(left):.4f} on rows it was not fitted on" if 1 - min(left) > R2 else ""


def _nearest(known: NDArray[Any], values: NDArray[Any]) -> NDArray[np.int64]:
    """The index in `known` (sorted) of what is nearest to each value."""
    right = np.clip(np.searchsorted(known, values), 0, len(known) - 1)
    left = np.maximum(right - 1, 0)
    return np.where(np.abs(values - known[left]) <= np.abs(known[right] - values), left, right)
