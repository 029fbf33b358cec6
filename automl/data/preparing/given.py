"""Rows to predict in whatever form people have them, brought to the form that preparations take."""

import dataclasses
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from automl.data.cells import words
from automl.data.reading import dialects, encodings, former, readers
from automl.errors import DataError

FORMS = "a DataFrame (pandas, polars or Arrow), an array, one row or a list of rows as dicts or lists, or a file's path"
"""What can be given for a table, for messages."""


@runtime_checkable
class _ArrowTable(Protocol):
    """A table that can be handed on without knowing its library: polars, Arrow, DuckDB and others."""

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any: ...


@runtime_checkable
class _Lazy(Protocol):
    """A table that is still to be computed: a LazyFrame of polars, for one."""

    def collect(self) -> Any: ...


@runtime_checkable
class _NamedTuple(Protocol):
    """A row that knows the names of its values."""

    _fields: tuple[str, ...]


def usable(preparation: Mapping[str, Any], rows: Any) -> Any:
    """`rows` as a DataFrame or an array, where they are for a table, a series or an array; texts as a list.

    Args:
        preparation: of the training data.
        rows: as the user has them, see `FORMS`; a text is one text to a model of texts, else the path of a file.

    Raises:
        DataError: they are none of these forms; the message says what to give.
    """
    match preparation["form"]:
        case "table":
            return _table(rows, preparation)
        case "series":
            windows = isinstance(rows, np.ndarray | Tensor) and rows.ndim == 3
            return rows if windows else _table(rows, preparation["table"])
        case "array":
            return _array(rows, tuple(preparation["shape"]))
        case _:
            return _texts(rows, preparation)


def read_file(preparation: Mapping[str, Any], path: Path) -> pd.DataFrame:
    """The table in a file of rows for a model, read with what was found out about the training file.

    Cells that came as text stay text to the letter.

    Raises:
        DataError: the file cannot be read.
    """
    if _sentences(preparation) and readers.kind_of(path) not in readers.TABLES:
        lines = readers.read_text(path).splitlines()
        return pd.DataFrame({"text": [line for line in lines if line.strip()]}, dtype=object)
    table = preparation["table"] if preparation["form"] == "series" else preparation
    how = table.get("reading", {})
    if table["form"] == "table" and not how and not readers.is_parquet(path):
        return former.read_separated(path)
    options = {}
    if named := encodings.to_name(how.get("encoding", "utf-8")):
        options["encoding"] = named
    if how.get("separator", ",") not in dialects.SEPARATORS:
        options["separator"] = how["separator"]
    return readers.read_table(path, options, table.get("expects", ()))


def _table(rows: Any, preparation: Mapping[str, Any]) -> Any:
    """A DataFrame or an array [N, columns] of rows in any form."""
    expects = preparation["expects"]
    if not isinstance(rows, pd.DataFrame | pd.Series) and isinstance(rows, _Lazy):
        rows = rows.collect()
    if isinstance(rows, Tensor):
        rows = rows.detach().cpu().numpy()
    if isinstance(rows, np.void) and rows.dtype.names is not None:  # one row of a structured array
        rows = np.array([rows], dtype=rows.dtype)
    if isinstance(rows, np.ndarray) and rows.dtype.names is None and not _holds_rows(rows):
        return _rectangle(rows, len(expects))
    if isinstance(rows, str | os.PathLike):
        return read_file(preparation, _existing(rows))
    return _with_names(_frame(rows, expects), expects)


def _frame(rows: Any, expects: Sequence[str]) -> pd.DataFrame:
    """A DataFrame of rows in any form that is neither an array of values nor a path."""
    if isinstance(rows, pd.DataFrame):
        return rows
    if isinstance(rows, pd.Series) and not _holds_rows(rows):
        return _of_series(rows, expects)
    if isinstance(rows, np.ndarray) and rows.dtype.names is not None:
        return pd.DataFrame(rows)
    if isinstance(rows, Mapping):
        return _of_dict(rows, expects)
    if isinstance(rows, _ArrowTable):
        return _of_arrow(rows)
    if dataclasses.is_dataclass(rows) and not isinstance(rows, type):
        return pd.DataFrame([_as_dict(rows)])
    if isinstance(rows, _NamedTuple):
        return _of_list([rows], expects)
    if isinstance(rows, io.IOBase):
        raise DataError("an open file cannot be predicted; give its path")
    if isinstance(rows, Iterable) and not isinstance(rows, bytes | set | frozenset):
        return _of_list(list(rows), expects)
    raise _not_rows(rows)


def _holds_rows(values: "NDArray[Any] | pd.Series[Any]") -> bool:
    """Whether each value is itself a row, as a dict is."""
    return (
        values.ndim == 1
        and values.dtype == np.dtype(object)
        and len(values) > 0
        and isinstance(values[:1].tolist()[0], Mapping)
    )


def _as_dict(row: Any) -> dict[str, Any]:
    """The fields of a dataclass, as they are."""
    return {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}


def _with_names(frame: pd.DataFrame, expects: Sequence[str]) -> pd.DataFrame:
    """The same rows; columns that are in the index, or have spaces around their names, get their place and name."""
    names = [str(name) for name in frame.columns]
    absent = set(expects).difference(names)
    if not absent:
        return frame
    levels = [name for name in frame.index.names if name is not None and str(name) in absent]
    if levels:
        frame = frame.reset_index(level=levels)
        names = [str(name) for name in frame.columns]
        absent.difference_update(names)
    bare = [words.clean(name) for name in names]
    renamed = [new if new in absent and bare.count(new) == 1 else old for old, new in zip(names, bare, strict=True)]
    attributes = frame.attrs
    frame = frame.set_axis(renamed, axis=1) if renamed != names else frame
    frame.attrs = attributes
    return frame


def _rectangle(array: NDArray[Any], columns: int) -> NDArray[Any]:
    """[N, columns] of an array that may also be one row, or one column where there is one alone."""
    if isinstance(array, np.ma.MaskedArray):
        array = np.ma.filled(array.astype(np.float64), np.nan) if array.dtype.kind in "biuf" else array.filled(None)
    if array.ndim == 1 and columns == 1:
        return array[:, None]
    return array[None] if array.ndim == 1 and len(array) == columns else array


def _of_series(rows: "pd.Series[Any]", expects: Sequence[str]) -> pd.DataFrame:
    """A Series is one row, with the columns as its index; or the only column."""
    labels = {str(label) for label in rows.index}
    if labels & set(expects) or (len(expects) != 1 and rows.name not in expects):
        return pd.DataFrame([rows.tolist()], columns=[str(label) for label in rows.index])
    return pd.DataFrame({expects[0] if len(expects) == 1 else str(rows.name): rows.array})


def _of_dict(rows: Mapping[Any, Any], expects: Sequence[str]) -> pd.DataFrame:
    """A dict is one row where its values are single ones, else columns; or rows by their names."""
    several = {name: values for name, values in rows.items() if _is_column(values) or isinstance(values, Mapping)}
    if not several:
        return pd.DataFrame([dict(rows)])
    inner = list(several.values())
    if not set(map(str, rows)) & set(expects) and all(
        isinstance(row, Mapping) and set(row) & set(expects) for row in inner
    ):
        return pd.DataFrame([dict(row) for row in inner])
    columns = {name: values if isinstance(values, Mapping) else _column(values) for name, values in several.items()}
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        raise DataError(f"the columns of the rows differ in length: {', '.join(map(str, sorted(lengths)))}")
    return pd.DataFrame({name: columns.get(name, value) for name, value in rows.items()})


def _column(values: Any) -> Any:
    """Values that belong to one column, without an index, in a form that pandas takes as they are."""
    if isinstance(values, pd.Series):
        return values.array
    if isinstance(values, Tensor):
        return values.detach().cpu().numpy()
    if isinstance(values, tuple):
        return np.fromiter(values, dtype=object, count=len(values))
    return (
        values if isinstance(values, list | np.ndarray | pd.Index | pd.api.extensions.ExtensionArray) else list(values)
    )


def _is_column(values: Any) -> bool:
    if isinstance(values, np.ndarray | Tensor):
        return values.ndim > 0
    return isinstance(values, Iterable) and not isinstance(values, str | bytes | Mapping | set | frozenset)


def _of_list(rows: list[Any], expects: Sequence[str]) -> pd.DataFrame:
    """A list of dicts, of lists or of Series; or one row as a list of values."""
    if not rows:
        return pd.DataFrame({name: [] for name in expects}, dtype=object)
    first = rows[0]
    if all(isinstance(row, Mapping) for row in rows):
        return pd.DataFrame(rows)
    if all(dataclasses.is_dataclass(row) and not isinstance(row, type) for row in rows):
        return pd.DataFrame([_as_dict(row) for row in rows])
    if all(isinstance(row, _NamedTuple) for row in rows):
        names = list(first._fields)
        if names[0] == "Index" and len(names) == len(expects) + 1:  # rows of DataFrame.itertuples()
            rows, names = [row[1:] for row in rows], names[1:]
        if set(expects) <= set(names):
            return pd.DataFrame([list(row) for row in rows], columns=names)
    if all(isinstance(row, pd.Series) for row in rows):
        return pd.DataFrame([row.to_dict() for row in rows])
    if all(_is_column(row) for row in rows):
        lengths = sorted({len(row) for row in rows})
        if lengths != [len(expects)]:
            some = f"{', '.join(expects[:8])}{', ...' if len(expects) > 8 else ''}"
            got = " and ".join(map(str, lengths[:3]))
            raise DataError(f"each row needs its {len(expects)} values in this order: {some}; got rows of {got}")
        return pd.DataFrame([list(row) for row in rows], columns=list(expects))
    if any(isinstance(row, Mapping | pd.Series) or _is_column(row) for row in rows):
        raise DataError(f"the rows are of several types, such as {type(first).__name__}; expected {FORMS}")
    if len(expects) == 1:
        return pd.DataFrame({expects[0]: rows})
    if len(rows) == len(expects):
        return pd.DataFrame([rows], columns=list(expects))
    raise DataError(f"expected {FORMS}; got a list of {len(rows)} values, where a row has {len(expects)}")


def _of_arrow(rows: _ArrowTable) -> pd.DataFrame:
    try:
        import pyarrow
    except ImportError as error:
        raise DataError("rows of this type need pyarrow: pip install pyarrow; or convert them to pandas") from error
    frame: pd.DataFrame = pyarrow.table(rows).to_pandas()
    return frame


def _existing(path: "str | os.PathLike[str]") -> Path:
    try:
        file = Path(path).expanduser()
        if file.is_file():
            return file
    except (OSError, ValueError, RuntimeError):  # too long, a zero byte, an unknown user: no path of a file
        pass
    name = str(path)
    shown = f"{name[:60]}..." if len(name) > 60 else name
    raise DataError(f"no file {shown!r} of rows to predict; expected {FORMS}")


def _array(rows: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """[N, ...] of samples in any form; one sample becomes N = 1."""
    if isinstance(rows, str | os.PathLike):
        content = readers.read_file(_existing(rows))
        rows = next(iter(content.values())) if isinstance(content, dict) and len(content) == 1 else content
        if isinstance(rows, dict | str):
            raise DataError(f"the file holds no single array; expected samples of shape {shape}")
    if not isinstance(rows, np.ndarray | pd.DataFrame | Tensor | Sequence) and isinstance(rows, _ArrowTable):
        rows = _of_arrow(rows)
    if isinstance(rows, Tensor):
        rows = rows.detach().cpu()
    if isinstance(rows, pd.DataFrame):
        rows = rows.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    try:
        array = np.asarray(rows)
        array = array if array.dtype.kind in "iufb" else array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"expected an array of samples of shape {shape}: {error}") from error
    single = (shape, shape[1:]) if len(shape) == 3 and shape[0] == 1 else (shape,)
    return array[None] if array.shape in single else array


def _texts(rows: Any, preparation: Mapping[str, Any]) -> Any:
    """Texts as a list, or a table with a column of them; a path is that of a table, or of a text file.

    A text file is one text for a model of running text, and one text a line for a model of sentences.
    """
    if isinstance(rows, Path):
        path = _existing(rows)
        if readers.kind_of(path) in readers.TABLES:
            return read_file(preparation, path)
        return read_file(preparation, path)["text"].tolist() if _sentences(preparation) else [readers.read_text(path)]
    if isinstance(rows, str | pd.DataFrame):
        return [rows] if isinstance(rows, str) else rows.set_axis([str(name) for name in rows.columns], axis=1)
    if isinstance(rows, Mapping):
        return _of_dict(rows, [preparation["column"]] if "column" in preparation else [])
    if not isinstance(rows, np.ndarray | Sequence | pd.Series) and isinstance(rows, _ArrowTable):
        return _of_arrow(rows)
    if not isinstance(rows, Iterable) or isinstance(rows, bytes | Tensor):
        raise _not_rows(rows)
    rows = list(rows)
    return pd.DataFrame(rows) if rows and all(isinstance(row, Mapping) for row in rows) else rows


def _sentences(preparation: Mapping[str, Any]) -> bool:
    return bool(preparation["form"] == "text" and preparation["task"] == "sentences")


def _not_rows(rows: Any) -> DataError:
    return DataError(f"rows of type {type(rows).__name__} cannot be predicted; expected {FORMS}")
