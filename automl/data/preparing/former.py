"""How preparations of version 0.1 read cells: by the type that pandas had guessed for the column of each table."""

import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl.data.preparing.columns import MISSING


def as_numbers(values: "pd.Series[Any]") -> NDArray[np.float64]:
    """[rows] numbers, NaN where there is none."""
    if values.dtype.kind not in "iufb":
        values = pd.to_numeric(values, errors="coerce")
    return values.to_numpy(dtype=np.float64, na_value=np.nan)


def as_texts(values: "pd.Series[Any]") -> NDArray[Any]:
    """[rows] of text, the same for equal values (3, 3.0 and "3"; True and "True"), `MISSING` for missing values."""

    def spell(value: Any) -> str:
        if isinstance(value, float | np.floating) and float(value).is_integer():
            return str(int(value))
        return str(value).strip()

    missing = values.isna().to_numpy()
    codes, distinct = pd.factorize(values)  # so that each distinct value is spelled once
    spelled = np.array([spell(value) for value in distinct] + [MISSING], dtype=object)
    return spelled[np.where(missing, len(spelled) - 1, codes)]


def as_dates(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Dates in UTC, without a time zone; NaT where no date can be read. pandas guesses the format."""
    if values.dtype.kind == "M":
        dates = values
    else:
        texts = values.astype(str)
        if not texts.head(50).str.contains(r"\d{1,4}[-/.:]\d{1,2}").any():
            return pd.Series(pd.NaT, index=values.index)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # pandas warns that it guesses the format
            dates = pd.to_datetime(texts, errors="coerce", utc=True)
    zoned = isinstance(dates.dtype, pd.DatetimeTZDtype)
    return dates.dt.tz_convert("UTC").dt.tz_localize(None) if zoned else dates


def as_days(dates: "pd.Series[Any]") -> NDArray[np.float64]:
    """[rows] days since 1970, NaN where there is no date."""
    days = (as_dates(dates) - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)
    return np.asarray(days.to_numpy(dtype=np.float64, na_value=np.nan))
