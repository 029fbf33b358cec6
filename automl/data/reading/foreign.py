"""Files that hold something else than separated cells, whatever their names say, and what to do with them."""

import io
import zipfile
from pathlib import Path

from automl.errors import DataError

_SAVE = "save it as CSV or Parquet"
OTHERS = {
    ".xlsx": f"an Excel workbook: {_SAVE}", ".xls": f"an Excel workbook: {_SAVE}",
    ".xlsm": f"an Excel workbook: {_SAVE}", ".ods": f"a spreadsheet: {_SAVE}",
    ".json": "JSON: write a CSV or Parquet file from it",
    ".jsonl": "JSON: write a CSV or Parquet file from it", ".ndjson": "JSON: write a CSV or Parquet file from it",
    ".feather": "an Arrow file: write Parquet", ".arrow": "an Arrow file: write Parquet",
    ".pkl": f"a pickle, which may run code: {_SAVE}", ".pickle": f"a pickle, which may run code: {_SAVE}",
    ".sqlite": "a database: write the table as CSV or Parquet", ".db": "a database: write the table as CSV or Parquet",
    ".dta": f"a Stata file: {_SAVE}", ".sav": f"an SPSS file: {_SAVE}", ".sas7bdat": f"a SAS file: {_SAVE}",
    ".arff": f"ARFF: {_SAVE}", ".h5": f"HDF5: {_SAVE}", ".zip": "a zip archive: unpack it and name one file",
    ".data": "named like no table: rename it to .csv, with a first line that names the columns",
    ".dat": "named like no table: rename it to .csv, with a first line that names the columns",
}  # fmt: skip
"""Ends of file names -> what such a file is, and what to do."""
_BEGINNINGS = (
    (b"\xd0\xcf\x11\xe0", f"is an Excel workbook: {_SAVE}"), (b"PAR1", "is Parquet: let its name end with .parquet"),
    (b"ARROW1", "is an Arrow file: write Parquet"), (b"FEA1", "is a Feather file: write Parquet"),
    (b"SQLite format 3", "is a database: write the table as CSV or Parquet"),
    (b"\x93NUMPY", "is an array: let its name end with .npy"),
    (b"%PDF", f"is a PDF document: {_SAVE}"), (b"\x89HDF", f"is HDF5: {_SAVE}"),
)  # fmt: skip


def checked(raw: bytes, path: Path) -> bytes:
    """The content of a file of separated cells; that of the only file in a zip archive.

    Raises:
        DataError: it is something else, by its first bytes.
    """
    if raw[:4] == b"PK\x03\x04":
        return _unzipped(raw, path)
    why = next((why for mark, why in _BEGINNINGS if raw.startswith(mark)), "")
    head = raw[:500].lstrip(b"\xef\xbb\xbf \t\r\n")
    lower = head.lower()
    if not head and not raw.strip():
        why = "is empty"
    elif lower.startswith((b"<!doctype", b"<html", b"<?xml", b"<table")):
        why = "is a web page or XML, no table"
    elif head.startswith((b"{", b"[")) and b'":' in head:
        why = "is JSON: write a CSV or Parquet file from it"
    elif lower.startswith(b"@relation") or b"\n@attribute" in lower:
        why = f"is ARFF: {_SAVE}"
    if why:
        raise DataError(f"data: {path.name} {why}")
    return raw


def _unzipped(raw: bytes, path: Path) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/") and "__MACOSX" not in name]
            if "[Content_Types].xml" in names or "mimetype" in names:
                raise DataError(f"data: {path.name} is a workbook of a spreadsheet: {_SAVE}")
            if len(names) != 1:
                raise DataError(f"data: {path.name} is a zip archive of {len(names)} files: unpack it and name one")
            return archive.read(names[0])
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError, EOFError) as error:
        raise DataError(f"data: {path.name} is a zip archive, or a workbook, that cannot be read: {error}") from error
