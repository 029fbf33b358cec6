"""Columns of text in Arrow's memory, where whole columns are compared, counted and converted at once.

All of it gives what the functions for single cells give; where that is not sure, the answer is None, and the caller
goes cell by cell.
"""

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

DAY = 86_400_000_000
"""Microseconds of a day."""
NO_TIME = np.iinfo(np.int64).min
"""What `microseconds` gives where there is no date."""
_CODED = r"^[0-9]+E[0-9]+$"
_PADDED = "^[+-]?0[0-9]+$"
_PLAIN = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_ISO = "^[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-5][0-9]:[0-5][0-9])?$"


def text(values: "pd.Series[Any]") -> Any:
    """[rows] the Arrow array of a column of text (null: missing); None: the column is something else."""
    dtype = values.dtype
    if isinstance(dtype, pd.ArrowDtype):
        array = pa.array(values.array)
    elif isinstance(dtype, pd.StringDtype):
        array = pa.array(values.array, from_pandas=True)
    elif dtype == np.dtype(object) and pd.api.types.infer_dtype(values, skipna=True) == "string":
        try:
            array = pa.array(values.to_numpy(), type=pa.string(), from_pandas=True)
        except (pa.ArrowException, UnicodeError):  # half of a pair of surrogates is no text to Arrow
            return None
    else:
        return None
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    return array if pa.types.is_string(array.type) or pa.types.is_large_string(array.type) else None


def distinct(array: Any) -> tuple[NDArray[np.int64], list[str]]:
    """([rows] codes, the distinct cells in the order in which they come; "" for missing ones, at the end)."""
    encoded = array.dictionary_encode()
    cells: list[str] = encoded.dictionary.to_pylist()
    if not array.null_count:
        return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), cells
    codes = encoded.indices.fill_null(len(cells)).to_numpy(zero_copy_only=False)
    return codes.astype(np.int64), [*cells, ""]


def present(array: Any, missing: Collection[str]) -> Any:
    """The same array with null for the words `missing`."""
    gone = pc.is_in(array, value_set=pa.array(list(missing), type=array.type), skip_nulls=True)
    return pc.if_else(gone, pa.scalar(None, type=array.type), array)


def plain_numbers(array: Any) -> NDArray[np.float64] | None:
    """[rows] the numbers of cells that are all finite numbers as programs write them (NaN: null); else None."""
    if array.null_count == len(array):
        return None
    try:
        values = pc.cast(array, pa.float64())
    except pa.ArrowException:
        return None
    numbers: NDArray[np.float64] = values.to_numpy(zero_copy_only=False)
    return numbers if int(np.isfinite(numbers).sum()) == len(array) - array.null_count else None


def any_padded(array: Any) -> bool:
    """Whether a cell is a whole number with a leading zero, such as 007."""
    return bool(pc.any(pc.match_substring_regex(array, _PADDED)).as_py())


def any_coded(array: Any) -> bool:
    """Whether a cell is digits with an E between them, such as 1E2."""
    return any_with(array, "E") and bool(pc.any(pc.match_substring_regex(array, _CODED)).as_py())


def any_with(array: Any, part: str) -> bool:
    """Whether `part` is in a cell."""
    return bool(pc.any(pc.match_substring(array, part)).as_py())


def are_plain(cells: list[str]) -> NDArray[np.bool_]:
    """[cells] whether each is a number as programs write them: 1, -0.5, .5, 2e-3."""
    return _matches(cells, _PLAIN)


def days(cells: list[str]) -> NDArray[np.float64]:
    """[cells] days since 1970 of dates such as 2021-06-25 and 2021-06-25 08:15:00; NaN: the cell is no such date."""
    result = np.full(len(cells), np.nan)
    iso = _matches(cells, _ISO)
    if iso.any():
        chosen = pa.array([cell for cell, such in zip(cells, iso, strict=True) if such])
        try:
            seconds = pc.cast(chosen, pa.timestamp("s")).cast(pa.int64()).to_numpy(zero_copy_only=False)
        except pa.ArrowException:  # a day such as 30 February among them
            return result
        result[iso] = seconds / 86_400
    return result


def microseconds(values: "pd.Series[Any]") -> NDArray[np.int64]:
    """[rows] microseconds since 1970 (in UTC) of a column of dates of any type; `NO_TIME` where there is none."""
    if isinstance(values.dtype, pd.ArrowDtype):
        array = pa.chunked_array([pa.array(values.array)]) if len(values) == 0 else pa.array(values.array)
        zone = getattr(array.type, "tz", None)
        whole = array.cast(pa.timestamp("us", tz=zone), safe=False).cast(pa.int64())
        return np.asarray(pc.fill_null(whole, NO_TIME).to_numpy(), dtype=np.int64)
    zoned = isinstance(values.dtype, pd.DatetimeTZDtype)
    plain = values.dt.tz_convert("UTC").dt.tz_localize(None) if zoned else values
    return plain.to_numpy().astype("datetime64[us]").astype(np.int64)


def microseconds_as_days(micro: NDArray[np.int64]) -> NDArray[np.float64]:
    """[rows] days since 1970, NaN for `NO_TIME`; the same floats as for the text of the same date."""
    days_ = np.where(micro % 1_000_000 == 0, micro // 1_000_000 / 86_400, micro / DAY)
    return np.where(micro == NO_TIME, np.nan, days_)


def _matches(cells: list[str], pattern: str) -> NDArray[np.bool_]:
    try:
        found = pc.match_substring_regex(pa.array(cells, type=pa.string()), pattern)
    except (pa.ArrowException, UnicodeError):
        return np.zeros(len(cells), dtype=bool)
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=bool)
