"""Numbers as people write them: decimal commas, separators of thousands, units, currencies, percent, minus signs.

How the numbers of a column are written is its *style*, decided on the training column. A cell is read by the style of
its column; a cell that does not fit is read with the other decimal mark where that leaves no doubt. Where cells have
several units of one kind (1.5K and 2M, g and kg), the style has the factor of each (`units`).
"""

import math
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.data.cells import arrow, durations, units

Style = dict[str, Any]
PLAIN: Style = {"decimal": ".", "thousands": "", "unit": ""}
"""The style of numbers as programs write them."""
MOSTLY = 0.95
"""The share of a column's cells that must be of a kind for the column to be of it."""
_DIGITS = {zero + digit: str(digit) for zero in (0x660, 0x6F0, 0x966, 0xFF10) for digit in range(10)}
"""Arabic, Persian, Devanagari and wide digits."""
_PLAIN_SIGNS = str.maketrans(
    {"\u2212": "-", "\u2013": "-", "\u2014": "-", "\ufe63": "-", "\uff0d": "-", "\u2019": "'", "\u066b": ".",
     "\u066c": "'", "\uff0e": ".", "\uff0c": ","} | {chr(code): digit for code, digit in _DIGITS.items()}
)  # fmt: skip
_NO_CENTS = re.compile(r"(?<=\d)[.,]-{1,2}(?=\D*$)")
_CURRENCY = (
    r"[$€£¥₹₽₩₺₫฿]|(?:US|CA|AU|NZ|HK)\$|R\$|CHF|EUR|USD|GBP|JPY|SEK|NOK|DKK|PLN|CZK|INR|CNY|RMB|kr\.?|Fr\.?|Rs\.?"
)
_SHAPE = re.compile(
    rf"([+-]?)\s*({_CURRENCY})?\s*([+-]?)([.,]?\d(?:[\d.,' ]*\d)?[.,]?)([eE][+-]?\d+)?\s*"
    r"(-(?!.)|(?:[^\W\d_]|[%‰°€$£¥₹₽₩₺₫฿′″])[\w%‰°€$£/²³^.·]{0,11}(?: [^\W\d_][\w/²³^.]{0,7})?)?",
)
_HALF_OF_DAY = re.compile(r"[ap]\.?m\.?", re.IGNORECASE)
_PLAIN = re.compile(r"\d+\.?\d*|\.\d+", re.ASCII)
_GROUPS = {
    mark: re.compile(rf"[1-9]\d{{0,2}}(?:{re.escape(mark)}\d{{2,3}})*{re.escape(mark)}\d{{3}}") for mark in ".,' "
}
_PADDED = re.compile(r"[+-]?0\d+")
_CODED = re.compile(r"\d+E\d+")
_INFINITE = {"inf": math.inf, "+inf": math.inf, "-inf": -math.inf, "infinity": math.inf, "-infinity": -math.inf}


def split(cell: str) -> tuple[str, str, str] | None:
    """(sign, digits with marks and exponent, unit) of a cell that is a number; None: it is none.

    A minus sign may follow the digits; a currency before them may have a multiple behind them ($1.5M). Dashes may
    stand for no cents (5.- and 5,--).
    """
    text = cell.translate(_PLAIN_SIGNS) if not cell.isascii() else cell
    if ".-" in text or ",-" in text:
        text = _NO_CENTS.sub("", text)
    inside = text.startswith("(") and text.endswith(")")
    found = _SHAPE.fullmatch(text[1:-1].strip() if inside else text)
    if found is None or (found[2] and found[6] and not units.is_multiple(found[6]) and found[6] != "-"):
        return None
    if found[6] and _HALF_OF_DAY.fullmatch(found[6]):  # a time of day: 5pm
        return None
    behind = "" if found[6] == "-" else (found[6] or "").rstrip(".")
    if found[6] == "-" and ("-" in (found[1], found[3]) or inside):
        return None
    negative = inside != ("-" in (found[1], found[3], found[6]))
    return "-" if negative else "", found[4] + (found[5] or ""), (found[2] or "").rstrip(".") + behind


def read(cell: str, style: Style, comma: bool = False) -> float:
    """The number in a cell; NaN: it is none.

    Args:
        cell: without spaces around it.
        style: of the column.
        comma: whether the file separates cells by something else than commas, so that a comma in a number is rather a
            decimal mark.
    """
    if style.get("clock"):
        return durations.seconds(cell) / (86_400 if style["unit"] == "days" else 1)
    if cell.lower() in _INFINITE:
        return _INFINITE[cell.lower()]
    parts = split(cell)
    if parts is None:
        return math.nan
    sign, digits, unit = parts
    factor = style["units"].get(unit.casefold()) if "units" in style else 1.0
    if factor is None or ("units" not in style and unit.casefold() not in ("", style["unit"].casefold())):
        return math.nan
    number = _value(digits, style["decimal"], style["thousands"])
    if number is None:
        other = "," if style["decimal"] == "." else "."
        sure = not _grouped(digits, other) or (style["thousands"] != other and (other == "." or comma))
        number = _value(digits, other, "") if sure else None
    return math.nan if number is None else float(sign + number) * factor


def _value(digits: str, decimal: str, thousands: str) -> str | None:
    """The digits as Python writes a number; None: they do not fit the style."""
    mantissa, exponent = digits, ""
    for mark in "eE":
        if mark in digits:
            mantissa, _, exponent = digits.partition(mark)
    whole, mark, fraction = mantissa.partition(decimal)
    for group in (thousands, "'", " "):
        if group and group in whole:
            if not _GROUPS[group].fullmatch(whole):
                return None
            whole = whole.replace(group, "")
    plain = f"{whole}.{fraction}" if mark else whole
    return None if not _PLAIN.fullmatch(plain) else f"{plain}e{exponent}" if exponent else plain


def _grouped(digits: str, mark: str) -> bool:
    """Whether `mark` may separate thousands: 1,234 and 12,345,678, but not 0,125 or 1,5."""
    return mark in digits and _GROUPS[mark].fullmatch(digits) is not None


def read_all(cells: list[str], style: Style, comma: bool = False) -> NDArray[np.float64]:
    """[cells] float64, NaN where a cell is no number."""
    if style == PLAIN:
        fast = _fast(cells)
        if fast is not None:
            return fast
    if style["decimal"] == "." and not style.get("clock"):
        plain = arrow.are_plain(cells)
        if plain.sum() > 0.5 * len(cells):
            result = np.empty(len(cells))
            factor = style["units"].get("", math.nan) if "units" in style else 1.0
            result[plain] = [float(cell) * factor for cell, such in zip(cells, plain, strict=True) if such]
            odd = (read(cell, style, comma) for cell, such in zip(cells, plain, strict=True) if not such)
            result[~plain] = np.fromiter(odd, dtype=np.float64)
            return result
    return np.array([read(cell, style, comma) for cell in cells], dtype=np.float64)


def are_plain(cells: list[str]) -> bool:
    """Whether all cells are numbers as programs write them."""
    return _fast(cells) is not None


def shows_point(cells: list[str]) -> bool:
    """Whether plain numbers have a fraction that cannot be a group of three digits, so that a point is no separator."""
    return any("." in cell and not _grouped(cell.lstrip("+-"), ".") for cell in cells)


def _fast(cells: list[str]) -> NDArray[np.float64] | None:
    """The numbers of cells that are all written as programs write them; None: some are not."""
    joined = "".join(cells)
    if not joined.isascii() or "_" in joined or "n" in joined or "N" in joined:
        return None
    try:
        return np.array(cells, dtype=object).astype(np.float64)
    except (ValueError, OverflowError):
        return None


def padded(cells: list[str], counts: NDArray[np.int64]) -> float:
    """The share of cells that are whole numbers with leading zeros, as codes have them; 0 where they are no codes.

    Codes are whole numbers, and either many of them begin with a zero or all have the same length.
    """
    total = int(counts.sum())
    share = sum(int(n) for cell, n in zip(cells, counts, strict=True) if cell[:1] in "0+-" and _PADDED.fullmatch(cell))
    if not share or not total:
        return 0.0
    whole = sum(int(n) for cell, n in zip(cells, counts, strict=True) if cell.lstrip("+-").isdigit())
    lengths = {len(cell) for cell in cells}
    return share / total if whole >= MOSTLY * total and (share >= 0.01 * total or len(lengths) == 1) else 0.0


def coded(cells: list[str], counts: NDArray[np.int64]) -> bool:
    """Whether half of the cells are digits with an E between them, such as 1E2, as few programs write numbers."""
    such = sum(int(n) for cell, n in zip(cells, counts, strict=True) if "E" in cell and _CODED.fullmatch(cell))
    return 2 * such >= int(counts.sum()) > 0


def mostly(cells: list[str], counts: NDArray[np.int64], read: Callable[[str], Any]) -> list[tuple[str, Any, int]]:
    """(cell, what `read` makes of it, how often it occurs); empty where more than a few cells are None or NaN.

    It gives up at once where there are too many, so that long texts cost little.
    """
    allowed = (1 - MOSTLY) * int(counts.sum())
    result = []
    for cell, count in zip(cells, counts.tolist(), strict=True):
        value = read(cell)
        if value is None or value != value:
            allowed -= count
            if allowed < 0:
                return []
        result.append((cell, value, count))
    return result


def evidence(cells: list[str], counts: NDArray[np.int64]) -> Counter[str]:
    """How often the numbers of a column show what a mark means.

    Keys: ",decimal" and ".decimal" (no doubt), ",groups" and ".groups" (two or more groups, no doubt), ",either" and
    ".either" (1,234).
    """
    seen: Counter[str] = Counter()
    for cell, parts, count in mostly(cells, counts, split):
        if parts is None or ("," not in cell and "." not in cell):
            continue
        digits = parts[1].replace(" ", "").replace("'", "")
        if "," in digits and "." in digits:
            last = max(digits, key=lambda mark: digits.rfind(mark) if mark in ",." else -1)
            seen[f"{last}decimal"] += int(count)
            continue
        mark = "," if "," in digits else "."
        if mark in digits:
            several = digits.count(mark) > 1
            how = "groups" if several else "either" if _grouped(digits, mark) else "decimal"
            seen[f"{mark}{how}"] += int(count)
    return seen


def style_of(
    cells: list[str], counts: NDArray[np.int64], decimal: str | None, table: str | None, comma: bool
) -> tuple[Style, bool]:
    """(the style in which the numbers of a column are written, whether 1,234 might have been read either way).

    Args:
        cells: the distinct cells that are not missing.
        counts: how often each occurs.
        decimal: the decimal mark, where the user named it.
        table: the decimal mark of the other columns, where they show one.
        comma: see `read`.
    """
    used = units_of(cells, counts)
    factors = units.factors(used, has_fractions(cells))
    written = {unit: n for unit, n in used.items() if unit}
    unit, often = max(written.items(), key=lambda one: one[1]) if written else ("", 0)
    unit = unit if often >= 0.5 * counts.sum() else ""  # "0x1f" among plain numbers is no unit
    seen = evidence(cells, counts)
    mark, doubt = _decimal_mark(seen, table, comma)
    mark = decimal or mark
    other = "," if mark == "." else "."
    grouped = bool(seen[f"{other}groups"] or seen[f"{other}either"] or (seen[f"{mark}decimal"] and _both(cells, other)))
    style: Style = {"decimal": mark, "thousands": other if grouped else "", "unit": unit}
    if unit == "%" and set(used) == {"", "%"}:
        plain, percents = ([cell for cell in cells if ("%" in cell) is signed] for signed in (False, True))
        factors = units.of_shares(read_all(plain, style, comma), read_all(percents, style, comma))
    if factors:
        style |= {"unit": units.base(factors), "units": factors}
    return style, doubt and decimal is None


def has_fractions(cells: list[str]) -> bool:
    """Whether some of the numbers have a decimal mark."""
    return any("." in parts[1] or "," in parts[1] for cell in cells if (parts := split(cell)) is not None)


def units_of(cells: list[str], counts: NDArray[np.int64]) -> dict[str, int]:
    """How many of a column's numbers have each unit ("": none), the commonest first; empty where few are such."""
    found: Counter[str] = Counter()
    for _, parts, count in mostly(cells, counts, split):
        if parts is not None:
            found[parts[2]] += int(count)
    return dict(found.most_common())


def _both(cells: list[str], other: str) -> bool:
    return any(other in cell for cell in cells)


def _decimal_mark(seen: Counter[str], table: str | None, comma: bool) -> tuple[str, bool]:
    """(the decimal mark, whether that is in doubt)."""
    points, commas = seen[".decimal"] + seen[",groups"], seen[",decimal"] + seen[".groups"]
    if points != commas:
        return ("." if points > commas else ","), False
    if seen[",either"] and not seen[".either"]:
        return ("," if table == "," or (table is None and comma) else "."), True
    if seen[".either"] and not seen[",either"]:
        return (table or "."), table == ","
    return table or ".", False


def clock_style(cells: list[str]) -> Style:
    """The style of lengths of time: in days where some are written as such (2 days 03:15:00), else in seconds."""
    days = any(durations.has_days(cell) for cell in cells)
    return {**PLAIN, "unit": "days" if days else "seconds", "clock": True}


def described(style: Style) -> str:
    """What is particular about a style, for people; empty for `PLAIN`."""
    if style.get("clock"):
        return f"lengths of time in {style['unit']}"
    said = []
    if style["decimal"] == ",":
        said.append("decimal comma")
    if style["thousands"]:
        said.append(f"{style['thousands']!r} between thousands")
    if "units" in style and units.signs(style["units"]):
        said.append(units.signs(style["units"]))
    elif "%" in style.get("units", ()):
        said.append("percent signs beside shares of 1, which are read as such: 3% is 0.03")
    elif "units" in style:
        said.append(f"several units, read in {style['unit']!r}" if style["unit"] else "multiples such as K and M")
    elif style["unit"]:
        said.append(f"unit {style['unit']!r}")
    return ", ".join(said)
