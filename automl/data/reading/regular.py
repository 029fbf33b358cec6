"""The quick reader of separated cells: for files where every line has as many cells as the header, as nearly all have.

What it cannot read without a doubt (ragged lines, stray quotation marks) is left to pandas. Both give the same cells.
"""

from collections.abc import Sequence

import pandas as pd
import pyarrow as pa
from pyarrow import csv

BLOCK = 2**24
"""Bytes that are parsed at once; no line may be longer."""


def read(text: str, separator: str, header: Sequence[str]) -> pd.DataFrame | None:
    """All cells as text in Arrow's memory, the columns without their names; None: this is no regular table.

    Args:
        text: without comment lines; its first line that is not empty is the header.
        separator: one character.
        header: the names in it.
    """
    if len(header) < 2 or not separator.isascii() or not is_regular(text, separator):
        return None
    names = [f"Unnamed: {k}" for k in range(len(header))]
    parsing = csv.ParseOptions(delimiter=separator, newlines_in_values='"' in text)
    reading = csv.ReadOptions(use_threads=False, column_names=names, block_size=BLOCK)
    types = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
    try:
        table = csv.read_csv(pa.py_buffer(text.encode()), reading, parsing, types).slice(1)
    except (pa.ArrowException, UnicodeError):
        return None
    return pd.DataFrame({name: pd.array(table[name], dtype=pd.ArrowDtype(pa.string())) for name in names})


def is_regular(text: str, separator: str) -> bool:
    """Whether line ends are of one kind, and quotation marks are only around whole cells."""
    if "\x00" in text or text.count("\r") != text.count("\r\n") or (separator == "\t" and "\n " in text):
        return False
    if '"' not in text:
        return True
    bare = text.replace('""', "")
    around = sum(bare.count(f'{mark}"') + bare.count(f'"{mark}') for mark in (separator, "\n")) + bare.count('"\r\n')
    ends = bare.startswith('"') + bare.endswith('"')
    marks = bare.count('"')
    return f'{separator} "' not in text and around + ends == marks and marks % 2 == 0
