"""Units of one kind in one column: 1.5K beside 2M, 300 g beside 2 kg, 20 min beside 2 h. Each has a factor.

The factors that a column was read with are kept in its style, so that they never change for a model.
"""

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_MULTIPLES = {
    "": 1.0, "k": 1e3, "tsd": 1e3, "thousand": 1e3, "m": 1e6, "mm": 1e6, "mn": 1e6, "mio": 1e6, "mln": 1e6, "mill": 1e6,
    "million": 1e6, "b": 1e9, "bn": 1e9, "mrd": 1e9, "mia": 1e9, "billion": 1e9, "t": 1e12, "tn": 1e12,
}  # fmt: skip
_SURE = ("k", "bn", "mio", "mln", "mn", "mrd", "million", "billion", "tsd", "thousand", "mill", "mia")
"""What cannot be anything but a multiple beside numbers without a unit."""
_KINDS: tuple[dict[str, float], ...] = (
    {"bytes": 1.0, "byte": 1.0, "b": 1.0, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 2.0**10, "mib": 2.0**20,
     "gib": 2.0**30, "tib": 2.0**40},
    {"mg": 1e-6, "g": 1e-3, "kg": 1.0, "t": 1e3},
    {"mm": 1e-3, "cm": 1e-2, "m": 1.0, "km": 1e3},
    {"ml": 1e-3, "cl": 1e-2, "dl": 0.1, "l": 1.0},
    {"in": 1.0, "inch": 1.0, "ft": 12.0, "feet": 12.0, "yd": 36.0},
    {"oz": 1.0, "lb": 16.0, "lbs": 16.0},
    {"us": 1e-6, "\u00b5s": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0,
     "min": 60.0, "mins": 60.0, "minute": 60.0, "minutes": 60.0,
     "h": 3600.0, "hr": 3600.0, "hrs": 3600.0, "hour": 3600.0, "hours": 3600.0},
    {"day": 1.0, "days": 1.0, "week": 7.0, "weeks": 7.0, "month": 30.4375, "months": 30.4375, "year": 365.25,
     "years": 365.25},
    {"w": 1.0, "kw": 1e3, "mw": 1e6, "gw": 1e9},
    {"wh": 1.0, "kwh": 1e3, "mwh": 1e6, "gwh": 1e9},
    {"hz": 1.0, "khz": 1e3, "mhz": 1e6, "ghz": 1e9},
)  # fmt: skip
_CURRENCY = re.compile(r"([$\u20ac\u00a3\u00a5\u20b9]|[a-z]{2,3}\$|chf|eur|usd|gbp)?(.*)")


_SIDES: tuple[tuple[str, str], ...] = (("CR", "DR"), ("Cr", "Dr"), ("H", "S"))
"""What stands behind the amounts of an account: credit and debit, Haben and Soll."""


def is_multiple(text: str) -> bool:
    """Whether this is a multiple such as K, M and bn."""
    return bool(text) and text.rstrip(".").casefold() in _MULTIPLES


def factors(used: Iterable[str], fractions: bool) -> dict[str, float]:
    """{unit in lower case: factor}, where a column has several units of one kind; else empty.

    Args:
        used: the units of its numbers ("": none), the commonest first.
        fractions: whether some of them have a fraction; 2T beside 12M may be codes, 1.2T beside 3.5M are not.
    """
    if sides := _sides([unit for unit in used if unit]):
        return sides
    small = list(dict.fromkeys(["", *(unit.casefold() for unit in used)]))
    named = [unit for unit in small if unit]
    for kind in _KINDS:
        if len(named) > 1 and all(unit in kind for unit in named) and not _are_multiples(named):
            return {**kind, "": kind[named[0]]}
    matches = [_CURRENCY.fullmatch(unit) for unit in small]
    parts = [(found[1] or "", found[2]) for found in matches if found is not None]
    money = {currency for currency, _ in parts if currency}
    multiples = {multiple for _, multiple in parts}
    sure = bool(multiples & set(_SURE)) or bool(money) or (fractions and len(multiples - {""}) > 1)
    if len(money) > 1 or len(multiples) < 2 or not sure or not multiples <= set(_MULTIPLES):
        return {}
    return {currency + multiple: factor for currency in {"", *money} for multiple, factor in _MULTIPLES.items()}


def _sides(named: list[str]) -> dict[str, float]:
    """{unit: sign} of the amounts of an account; empty: they are none.

    Where one of the two is written alone (CR for what is paid back), the amounts without it have the other sign.
    """
    for credit, debit in _SIDES:
        if set(named) == {credit, debit} or (len(credit) > 1 and len(named) == 1 and named[0] in (credit, debit)):
            other = -1.0 if named == [credit] else 1.0
            return {credit.casefold(): other, debit.casefold(): -1.0, "": 1.0}
    return {}


def of_shares(plain: NDArray[np.float64], percents: NDArray[np.float64]) -> dict[str, float]:
    """The factors of 3% beside 0.02, as where some cells of a spreadsheet are formatted; empty: 0.02 is 0.02%.

    Args:
        plain, percents: the numbers without and with a sign behind them. Shares are at most 1, percents go beyond it.
    """
    shares = np.nanmax(np.abs(plain), initial=0.0) <= 1 < np.nanmax(np.abs(percents), initial=0.0)
    return {"%": 0.01, "": 1.0} if shares else {}


def signs(factors: dict[str, float]) -> str:
    """What the units of the amounts of an account mean, for people; empty for other units."""
    negative = [unit.upper() for unit, factor in factors.items() if factor < 0]
    return f"amounts with {' or '.join(reversed(negative))} behind them read as negative" if negative else ""


def _are_multiples(named: list[str]) -> bool:
    """Whether units are rather multiples: k or bn is among them, or m and b alone."""
    return all(unit in _MULTIPLES for unit in named) and "k" in named


def base(factors: dict[str, float]) -> str:
    """The unit in which numbers are read; "" for multiples of plain numbers."""
    return next((unit for unit, factor in factors.items() if unit and factor == 1.0), "")
