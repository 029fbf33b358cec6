"""Tables for models of version 0.1, which had pandas guess the type of each column of each file."""

import warnings
from pathlib import Path

import pandas as pd

MISSING_WORDS = ["?", "-", "NA", "N/A", "na", "n/a", "null", "NULL", "None", "nan", "NaN", ""]
"""Cells that were read as missing values, besides those of pandas."""


def read_separated(path: Path) -> pd.DataFrame:
    """A CSV or TSV file as version 0.1 read it."""
    frame = _read(path, "\t" if ".tsv" in path.suffixes else ",")
    return _read(path, ";") if frame.shape[1] == 1 and ";" in str(frame.columns[0]) else frame


def _read(path: Path, separator: str) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(path, sep=separator, na_values=MISSING_WORDS, skipinitialspace=True, index_col=False)
