"""Readers of files: tables (whole or in chunks), arrays and texts. They decide nothing about what columns mean."""

import gzip
import io
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from automl.data.cells.readings import ATTRIBUTE
from automl.data.reading import dialects, encodings, foreign, regular
from automl.errors import DataError

TABLES = (".csv", ".tsv", ".tab", ".parquet", ".pq")
ARRAYS = (".npz", ".npy")
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")


def kind_of(path: Path) -> str:
    """The suffix that says what is in a file, in lower case: ".csv" for both `t.CSV` and `t.csv.gz`."""
    suffixes = [suffix.lower() for suffix in path.suffixes] or [""]
    return suffixes[-2] if suffixes[-1] in COMPRESSED and suffixes[1:] else suffixes[-1]


def read_file(path: Path, options: Mapping[str, Any] | None = None) -> Any:
    """What a file holds: a DataFrame, an array, a dict of arrays, or a text. `options`: those of `prepare:`.

    Raises:
        DataError: the file cannot be read, or its kind is not known.
    """
    kind = kind_of(path)
    if kind in TABLES:
        return read_table(path, options)
    if kind == ".txt":
        return read_text(path)
    if kind in ARRAYS:
        return _read_arrays(path)
    known = ", ".join((*TABLES, *ARRAYS, ".txt"))
    if kind in foreign.OTHERS:
        raise DataError(f"data: {path.name} is {foreign.OTHERS[kind]}")
    raise DataError(f"data: {path.name}: kind {kind or 'none'!r} is not known; readable: {known}, IDX, folders")


def _read_arrays(path: Path) -> Any:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return {key: loaded[key] for key in loaded.files}
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"data: {path.name} cannot be read: {error} (arrays of objects are not loaded)") from error


def read_text(path: Path) -> str:
    """A text file, also gzipped, see `encodings`.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise DataError(f"data: {path.name} cannot be read: {error}") from error
    return encodings.decode(raw, path.name, {})[0]


def read_labelled_lines(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """A file with `label sentence` on each line -> ([N] sentences, [N] labels).

    Raises:
        DataError: a line has no label, or the file cannot be read.
    """
    lines = read_text(path).split("\n")
    wrong = next((k for k, line in enumerate(lines) if line.strip() and " " not in line), None)
    if wrong is not None:
        raise DataError(f"data: {path.name}: line {wrong + 1} is not `label sentence`: {lines[wrong][:40]!r}")
    pairs = [pair for pair in (line.partition(" ") for line in lines) if pair[2].strip()]
    return np.array([p[2] for p in pairs], dtype=object), np.array([p[0] for p in pairs], dtype=object)


def read_table(path: Path, options: Mapping[str, Any] | None = None, expects: Iterable[str] = ()) -> pd.DataFrame:
    """A table: CSV and TSV files (also compressed) as text cells to the letter, Parquet with its own types.

    Args:
        path: the file.
        options: those of `prepare:`; `separator` and `encoding` are used.
        expects: columns of the training table where these are rows for its model; they help to find the separator.

    Raises:
        DataError: with the reader's reason, and the line where there is one.
    """
    with as_data_error(path.name):
        if is_parquet(path):
            return _checked(pd.read_parquet(path))
        options = options or {}
        text, encoding = encodings.decode(dialects.read_bytes(path), path.name, options)
        expects = tuple(expects)
        text, named, comments = dialects.without_comments(text, dialects.separator_option(options), expects)
        asked = {**options, "separator": options.get("separator") or named}
        separator, header = dialects.find(text, path.name, asked, expects)
        text, header = dialects.with_row_names(text, separator, header)
        frame = regular.read(text, separator, header)
        if frame is None:
            if len(header) == 1:  # an empty line is a row whose only cell is empty
                frame = parse(io.StringIO(text.strip("\r\n")), separator, text, skip_blank_lines=False)
            else:
                frame = parse(io.StringIO(text), separator, text)
        names = column_names(frame.columns, header, expects)
        attributes = file_attributes(path.name, separator, encoding, comments, names, header)
        frame = frame.set_axis(names, axis=1)
        frame.attrs = attributes
        return frame


def _checked(frame: pd.DataFrame) -> pd.DataFrame:
    """The table, if the text in Arrow's memory is text.

    Raises:
        pyarrow.ArrowInvalid: it is not UTF-8, as in a damaged file.
    """
    for name in frame.columns[[isinstance(dtype, pd.StringDtype | pd.ArrowDtype) for dtype in frame.dtypes]].unique():
        pa.array(frame[name].array).validate(full=True)
    return frame


def parse(stream: Any, separator: str, head: str, **more: Any) -> Any:
    """Cells as text, nothing read as missing. Spaces around cells stay, except before quotation marks."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(
            stream, sep=separator, dtype=object, keep_default_na=False, na_values=[], index_col=False,
            skipinitialspace=f'{separator} "' in head, low_memory=False, **more,
        )  # fmt: skip


def column_names(columns: Iterable[Any], header: tuple[str, ...], expects: tuple[str, ...] = ()) -> list[str]:
    """The names of the columns: as in the file, `Unnamed: 0` for an empty one, `a.1` for the second `a`.

    The second `a` among rows for a model that was trained with a single one stays `a`, so that it is noticed.
    """
    names = [str(name) for name in columns]
    if len(header) == len(names):
        names = [name or old for name, old in zip(header, names, strict=True)]
    names = [name.strip() or f"Unnamed: {k}" for k, name in enumerate(names)]
    taken, result = set(names), []
    for k, name in enumerate(names):
        if name in names[:k]:
            free = next(n for n in (f"{name}.{i}" for i in range(names[:k].count(name), 10**6)) if n not in taken)
            name = free if not expects or free in expects else name
            taken.add(name)
        result.append(name)
    return result


def header_of(frame: pd.DataFrame) -> list[str]:
    """The names of the columns to the letter, as the file has them: "" for `Unnamed: 0`, the same for two columns."""
    own = frame.attrs.get(ATTRIBUTE, {}).get("file", {}).get("header")
    return list(own) if own and len(own) == frame.shape[1] else [str(name) for name in frame.columns]


def file_attributes(
    name: str, separator: str, encoding: str, comments: int, names: list[str], header: tuple[str, ...]
) -> dict[str, Any]:
    """What `attrs` says of the file: how it is written, notes for people, and its header where names differ from it."""
    encoding = encodings.described(encoding)
    notes = list(dialects.notes_of(encoding, separator, comments, name))
    twice = [read for read, own in zip(names, header, strict=False) if own and read != own.strip()]
    if twice:
        notes.append(f"{name}: a column whose name another one has is read as {', '.join(map(repr, twice))}")
    file: dict[str, Any] = {"separator": separator, "encoding": encoding, "notes": notes}
    if len(header) == len(names) and names != list(header):
        file["header"] = list(header)
    return {ATTRIBUTE: {"file": file}}


def is_parquet(path: Path) -> bool:
    """Whether a file's name says that it is Parquet."""
    return path.suffix.lower() in (".parquet", ".pq")


@contextmanager
def as_data_error(name: str) -> Iterator[None]:
    """Raise complaints of the readers of tables as a DataError that names the file `name` and the option that helps."""
    try:
        yield
    except DataError:
        raise
    except pd.errors.ParserWarning as error:
        raise DataError(
            f"data: {name}: rows have more fields than the header names; where cells are separated by something"
            " else, say so: prepare: {separator: ';'}"
        ) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, EOFError, zlib.error, ValueError, OSError) as error:
        reason = " ".join(str(error).split()).removeprefix("Error tokenizing data. C error: ")
        hint = "; prepare: {separator: ...} names another separator" if "fields in line" in reason else ""
        raise DataError(f"data: {name} cannot be read: {reason}{hint}") from error
