"""What a model has seen of each input, after it has learned from further rows: ranges, shares, missing values."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl.data import seen
from automl.data.preparing import columns as cols
from automl.data.preparing import tables


def seen_again(preparation: dict[str, Any], rows: Sequence[Any]) -> dict[str, Any]:
    """The preparation with the entries `seen` of these rows, so that a server warns of what is new to this version.

    Args:
        preparation: of the champion; it is left as it is.
        rows: tables or arrays, all that the challenger has learned from; of other forms nothing changes.
    """
    if preparation["form"] == "array":
        whole = np.concatenate([np.asarray(one, dtype=np.float32) for one in rows])
        return {**preparation, "seen": seen.of_array(whole)} if "seen" in preparation else preparation
    if preparation["form"] != "table" or "reading" not in preparation:
        return preparation
    columns = [_of(preparation, column, rows) if "seen" in column else column for column in preparation["columns"]]
    return {**preparation, "columns": columns}


def _of(preparation: dict[str, Any], column: dict[str, Any], frames: Sequence[pd.DataFrame]) -> dict[str, Any]:
    parts = [_cells(preparation, column, frame) for frame in frames]
    if column["role"] in ("number", "date", "time"):
        return {**column, "seen": seen.of_numbers(np.clip(np.concatenate(parts), -cols.LARGEST, cols.LARGEST))}
    return {**column, "seen": seen.of_categories(np.concatenate(parts), column["values"])}


def _cells(preparation: dict[str, Any], column: dict[str, Any], frame: pd.DataFrame) -> NDArray[Any]:
    cells = tables.Cells(preparation, frame, [])
    match column["role"]:
        case "number":
            return cells.numbers(column)
        case "date":
            return cells.days(column)
        case "time":
            return cells.seconds(column)
        case _:
            return cols.as_texts(frame[column["name"]], cells.missing)
