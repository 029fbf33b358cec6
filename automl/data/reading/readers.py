"""Readers of files: tables (whole or in chunks), arrays and texts. They decide nothing about what columns mean."""

import gzip
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl.errors import DataError

TABLES = (".csv", ".tsv", ".parquet", ".pq")
ARRAYS = (".npz", ".npy")
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
MISSING_WORDS = ["?", "-", "NA", "N/A", "na", "n/a", "null", "NULL", "None", "nan", "NaN", ""]
"""Cells of a CSV or TSV file that are read as missing values."""


def kind_of(path: Path) -> str:
    """The suffix that says what is in a file: ".csv" for both `t.csv` and `t.csv.gz`."""
    return path.suffixes[-2] if path.suffix in COMPRESSED and path.suffixes[1:] else path.suffix


def read_file(path: Path) -> Any:
    """What a file holds: a DataFrame, an array, a dict of arrays, or a text.

    Raises:
        DataError: the file cannot be read, or its kind is not known.
    """
    kind = kind_of(path)
    if kind in TABLES:
        return read_table(path)
    if kind == ".txt":
        return read_text(path)
    if kind in ARRAYS:
        return _read_arrays(path)
    known = ", ".join((*TABLES, *ARRAYS, ".txt"))
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
    """A text file, also gzipped, in UTF-8 or else Latin-1.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise DataError(f"data: {path.name} cannot be read: {error}") from error
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


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


def read_table(path: Path) -> pd.DataFrame:
    """A CSV, TSV (also compressed) or Parquet file.

    Raises:
        DataError: with the reader's reason, and the line where there is one.
    """
    with _as_data_error(path):
        if path.suffix in (".parquet", ".pq"):
            return pd.read_parquet(path)
        frame = _read_separated(path, "\t" if ".tsv" in path.suffixes else ",")
        if frame.shape[1] == 1 and ";" in str(frame.columns[0]):
            frame = _read_separated(path, ";")
    return frame


@dataclass(frozen=True)
class Table:
    """A CSV, TSV or Parquet file, read chunk by chunk by the rules of `read_table`."""

    path: Path

    def chunks(self, rows: int, only: list[str] | None = None) -> Iterator[pd.DataFrame]:
        """All rows in order, at most `rows` at once; only the columns `only` where given.

        Raises:
            DataError: the file cannot be read.
        """
        with _as_data_error(self.path):
            yield from self._chunks(rows, only)

    def _chunks(self, rows: int, only: list[str] | None) -> Iterator[pd.DataFrame]:
        if self.path.suffix in (".parquet", ".pq"):
            from pyarrow import parquet

            with parquet.ParquetFile(self.path) as file:
                for batch in file.iter_batches(rows, columns=only):
                    yield batch.to_pandas()
            return
        separator = "\t" if ".tsv" in self.path.suffixes else ","
        header = pd.read_csv(self.path, sep=separator, nrows=0, index_col=False)
        if header.shape[1] == 1 and ";" in str(header.columns[0]):
            separator = ";"
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            with pd.read_csv(
                self.path, sep=separator, na_values=MISSING_WORDS, skipinitialspace=True, index_col=False,
                low_memory=False, chunksize=rows, usecols=only,
            ) as reader:  # fmt: skip
                yield from reader

    def head(self) -> pd.DataFrame:
        """The first 1,000 rows."""
        return next(self.chunks(1000))

    def row_bytes(self) -> float:
        """The memory that a row takes, estimated from the first rows."""
        head = self.head()
        return float(head.memory_usage(deep=True).sum()) / max(len(head), 1)


@contextmanager
def _as_data_error(path: Path) -> Iterator[None]:
    """Raise what the readers of tables complain about as a DataError that names the file."""
    try:
        yield
    except pd.errors.ParserWarning as error:
        raise DataError(f"data: {path.name}: rows have more fields than the header names") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, EOFError, ValueError, OSError) as error:
        raise DataError(f"data: {path.name} cannot be read: {' '.join(str(error).split())}") from error


def _read_separated(path: Path, separator: str) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(path, sep=separator, na_values=MISSING_WORDS, skipinitialspace=True, index_col=False)
