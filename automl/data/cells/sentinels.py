"""Values that probably stand for a missing one: -999 among ages, 9999-12-31 among dates."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

FEWEST = 20
"""With fewer values nothing is said."""
FAR = 2.0
"""So many times the range of all other values lies between them and a value that stands for a missing one."""
_DAYS = ("0001-01-01", "1753-01-01", "1899-12-30", "1899-12-31", "1900-01-01", "1970-01-01", "2099-12-31", "2999-12-31",
         "9999-12-31")  # fmt: skip
DAYS = frozenset(int(np.datetime64(day, "D").astype(np.int64)) for day in _DAYS)
"""Days since 1970 that programs write for a date that is not known or has no end."""


def find(values: NDArray[np.float64], *, dates: bool = False) -> float | None:
    """The value that probably stands for a missing one; None: there is none.

    It is the least or the largest, is in several rows, lies far from all others, and is written as such values are:
    whole, of nines (or a day in `DAYS`).

    Args:
        values: of a column, NaN where one is missing; with `dates` days since 1970.
    """
    known = values[np.isfinite(values)]
    if len(known) < FEWEST:
        return None
    for end in (float(known.min()), float(known.max())):
        others = known[known != end]
        if not len(others) or len(known) - len(others) < 2 or not _usual(end, dates):
            continue
        if np.abs(others - end).min() > FAR * max(float(np.ptp(others)), 1.0):
            return end
    return None


def _usual(value: float, dates: bool) -> bool:
    if dates:
        return value in DAYS
    digits = str(abs(int(value))) if value == round(value) and abs(value) < 1e15 else ""
    return len(digits) > 1 and set(digits) == {"9"}


def note(name: str, values: NDArray[np.float64], spelled: Callable[[int], str], *, dates: bool = False) -> str:
    """What is said of such a value, with the option that makes it missing; empty where there is none.

    Args:
        name: what the message calls the column: "column 'age'".
        values: see `find`.
        spelled: how the cell of a row is written.
        dates: see `find`.
    """
    value = find(values, dates=dates)
    if value is None:
        return ""
    rows = np.flatnonzero(values == value)
    cell = spelled(int(rows[0]))
    remedy = f"`prepare: {{missing: [{cell!r}]}}` if it does"
    return f"{name}: {cell!r} in {len(rows)} rows lies far from all others and may stand for a missing value; {remedy}"
