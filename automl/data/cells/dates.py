"""Dates and times of day as people write them: a fixed list of formats, so that no cell is guessed at.

Dates have a day, a month and a year: 2021-06-25 (also with / or . between), 25/06/2021 or 06/25/2021, 25.06.21,
25 June 2021 (also 25JUN2021, 25/Jun/2021, and months in other languages, see `months`), June 25, 2021,
Fri Jun 25 08:15:00 2021, 2021年6月25日; 20210625 and 20210625081500 where all cells of a column are such.
A day of the week may stand before a date. A time of day may follow, and a time zone: Z, +01:00, GMT+1, CEST,
[Europe/Berlin] behind an offset. Periods with a year are their first day: 2021-06, 06/2021,
June 2021, 2021-Q2, Q2 2021, 2021-W25 (ISO 8601, Monday) and 2021-W25-5.
Times of day are 8:15, 08:15:30.5, 8:15 pm, 8 pm, 8h15, 08:15 Uhr and 24:00. `1/2`, `3:2`, `05-12` and
`Mar 5` are neither.
"""

import datetime
import math
import re

import numpy as np
from numpy.typing import NDArray

from automl.data.cells import arrow, months

_TIME = r"(\d{1,2}):([0-5]\d)(?::([0-5]\d(?:[.,]\d+)?|60))?\s*([AaPp]\.?[Mm]\.?|Uhr\b)?"
_ZONE = r"\s*(?:Z|UTC|GMT|([+-]\d{2}):?(\d{2})?(?::\d{2})?)?"
_AFTER = rf"(?:(?:[T,:]\s*|\s+){_TIME}{_ZONE})?"
_YEAR_FIRST = re.compile(rf"(\d{{4}})([-/.])(\d{{1,2}})\2(\d{{1,2}}){_AFTER}", re.ASCII)
_YEAR_LAST = re.compile(rf"(\d{{1,2}})([-/.])(\d{{1,2}})\2(\d{{4}}|\d{{2}}){_AFTER}", re.ASCII)
_WRITTEN = re.compile(
    rf"([0-9]{{4}})[\u5e74\ub144]\s?([0-9]{{1,2}})[\u6708\uc6d4]\s?([0-9]{{1,2}})[\u65e5\uc77c]{_AFTER}"
)
_NAME = r"([^\W\d_]{3,12})\.?"
_DAY_NAME = r"(?:[^\W\d_]{2,13}\.?,?\s+)?"
_DAY_MONTH = re.compile(
    rf"{_DAY_NAME}([0-9]{{1,2}})(?:\.|st|nd|rd|th|er|\u00ba)?[\s/-]+(?:de\s+)?{_NAME},?[\s/-]+(?:de[l]?\s+)?"
    rf"([0-9]{{4}}|[0-9]{{2}}){_AFTER}"
)
_JOINED = re.compile(rf"(\d{{2}})([A-Za-z]{{3}})(\d{{4}}|\d{{2}}){_AFTER}", re.ASCII)
_MONTH_DAY = re.compile(rf"{_DAY_NAME}{_NAME}\s+([0-9]{{1,2}})(?:st|nd|rd|th)?,?\s+([0-9]{{4}}){_AFTER}")
_YEAR_AT_END = re.compile(
    rf"[A-Za-z]{{3}}\s+([A-Za-z]{{3}})\s+(\d{{1,2}})\s+{_TIME}{_ZONE}(?:\s+[A-Z]{{3,4}})?\s+(\d{{4}})", re.ASCII
)
_YEAR = r"(1[6-9]\d{2}|20\d{2})"
_MONTH = re.compile(rf"{_YEAR}-(0[1-9]|1[0-2])", re.ASCII)
_MONTH_YEAR = re.compile(rf"(0?[1-9]|1[0-2])/{_YEAR}", re.ASCII)
_NAMED_MONTH = re.compile(rf"{_NAME},?[\s-]+(?:de\s+)?{_YEAR}")
_QUARTER = re.compile(rf"{_YEAR}[\s-]?[Qq]([1-4])", re.ASCII)
_QUARTER_YEAR = re.compile(rf"[Qq]([1-4])[\s/-]?{_YEAR}", re.ASCII)
_WEEK = re.compile(rf"{_YEAR}-?W([0-5]\d)(?:-?([1-7]))?", re.ASCII)
_COMPACT = re.compile(rf"{_YEAR}(\d{{2}})(\d{{2}})(?:[T ]?(\d{{2}})(\d{{2}})(\d{{2}})?Z?)?", re.ASCII)
_CLOCK = re.compile(_TIME + _ZONE, re.ASCII)
_FULL_HOUR = re.compile(r"(\d{1,2})\s?([AaPp]\.?[Mm]\.?)", re.ASCII)
_OTHER_CLOCK = re.compile(r"(^|.*[\s,T])(\d{1,2})\s?[hH.]\s?([0-5]\d)(?:[.](\d{2}))?", re.ASCII)
_PLACE = re.compile(r"(?<=[0-9Z])\[[A-Za-z_]+(?:/[A-Za-z_+-]+)*[0-9]*\]$")
_WEEKDAY = re.compile(r"([^\W\d_]{2,13})\.?,?\s+(?=\d)")
_SHORT_ZONE = re.compile(r"(?<=\d)\s+([A-Z]{3,4})$")
_NAMED_ZONE = re.compile(r"\s*(?:UTC|GMT)\s*([+-])(\d{1,2})(?=:|$)")
_ZONES = {
    "WET": 0, "WEST": 1, "BST": 1, "CET": 1, "CEST": 2, "MEZ": 1, "MESZ": 2, "EET": 2, "EEST": 3, "MSK": 3, "JST": 9,
    "KST": 9, "AEST": 10, "AEDT": 11, "NZST": 12, "NZDT": 13, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7,
    "MDT": -6, "PST": -8, "PDT": -7, "AKST": -9, "AKDT": -8, "HST": -10,
}  # fmt: skip
"""Hours of short names of zones, those with one usual meaning (IST is none)."""
_EPOCH = datetime.date(1970, 1, 1).toordinal()


def days(cell: str, dayfirst: bool) -> float:
    """Days since 1970 (in UTC where there is a time zone); NaN: the cell is no date.

    Args:
        cell: without spaces around it.
        dayfirst: whether 05/06/2021 is the fifth of June.
    """
    cell = _plainly(cell)
    if (found := _YEAR_FIRST.fullmatch(cell)) is not None:
        return _date(found[1], found[3], found[4], found.groups()[4:])
    if (found := _YEAR_LAST.fullmatch(cell)) is not None:
        if not _is_date(found):
            return math.nan
        day, month = (found[1], found[3]) if dayfirst else (found[3], found[1])
        return _date(found[4], month, day, found.groups()[4:])
    if (found := _COMPACT.fullmatch(cell)) is not None:
        return _date(found[1], found[2], found[3], (found[4], found[5], found[6], None, None, None))
    named = _with_month_name(cell)
    return _period(cell) if math.isnan(named) else named


def days_all(cells: list[str], dayfirst: bool) -> NDArray[np.float64]:
    """[cells] `days` of each."""
    result = arrow.days(cells)
    for k in np.flatnonzero(np.isnan(result)).tolist():
        result[k] = days(cells[k], dayfirst)
    return result


def is_compact(cell: str) -> bool:
    """Whether this is a date of digits alone (20210625), perhaps with a time, as only a column of dates has them."""
    found = _COMPACT.fullmatch(cell)
    return found is not None and "1900" <= found[1] <= "2099" and not math.isnan(days(cell, False))


def order(cell: str) -> str | None:
    """What a cell shows of the order: "day" or "month" first, "either", or "" where nothing; None: it is no date."""
    found = _YEAR_LAST.fullmatch(_plainly(cell))
    if found is None:
        return None if math.isnan(days(cell, True)) else ""
    if not _is_date(found):
        return None
    first, second = int(found[1]), int(found[3])
    if max(first, second) > 31 or min(first, second) > 12 or min(first, second) < 1:
        return None
    if first == second:
        return ""
    return "day" if first > 12 else "month" if second > 12 else "either"


def seconds(cell: str) -> float:
    """Seconds since midnight of a time of day; NaN: the cell is none."""
    if "h" in cell or "H" in cell:
        cell = _with_colons(cell)
    elif (whole := _FULL_HOUR.fullmatch(cell)) is not None:
        cell = f"{whole[1]}:00 {whole[2]}"
    found = _CLOCK.fullmatch(_with_plain_zone(cell))
    return math.nan if found is None else _seconds(found.groups()[:4])


def time_of_day(cell: str) -> float:
    """`seconds` of a cell of a column of times of day, which databases also give as the time since midnight."""
    return seconds(cell.removeprefix("0 days "))


def _plainly(cell: str) -> str:
    """The same with a plain zone, and with a time of day as 8:15 for 8.15 and 8h15 behind a date."""
    cell = _with_plain_zone(cell)
    if cell[:1].isalpha() and (found := _WEEKDAY.match(cell)) is not None and months.is_weekday(found[1]):
        cell = cell[found.end() :]
    return _with_colons(cell) if " " in cell and ":" not in cell else cell


def _with_colons(cell: str) -> str:
    found = _OTHER_CLOCK.fullmatch(cell)
    if found is None:
        return cell
    return f"{found[1]}{found[2]}:{found[3]}" + (f":{found[4]}" if found[4] else "")


def _with_plain_zone(cell: str) -> str:
    """The same with +01 for GMT+1, UTC+01 and CET."""
    if cell.endswith("]"):
        cell = _PLACE.sub("", cell)
    if ":" in cell and cell[-1:].isupper() and (short := _SHORT_ZONE.search(cell)) is not None and short[1] in _ZONES:
        hours = _ZONES[short[1]]
        return f"{cell[: short.start()]}{'-' if hours < 0 else '+'}{abs(hours):02d}:00"
    if "GMT" not in cell and "UTC" not in cell:
        return cell
    return _NAMED_ZONE.sub(lambda zone: f"{zone[1]}{int(zone[2]):02d}", cell)


def _is_date(found: "re.Match[str]") -> bool:
    """Whether this is a date and not a version (1.2.10) or a number of a thing (1-2-10)."""
    return found[2] == "/" or len(found[4]) == 4 or (len(found[1]) == 2 and len(found[3]) == 2)


def _with_month_name(cell: str) -> float:
    if (found := _DAY_MONTH.fullmatch(cell)) is not None:
        return _date(found[3], _month(found[2]), found[1], found.groups()[3:])
    if (found := _MONTH_DAY.fullmatch(cell)) is not None:
        return _date(found[3], _month(found[1]), found[2], found.groups()[3:])
    if (found := _JOINED.fullmatch(cell)) is not None:
        return _date(found[3], _month(found[2]), found[1], found.groups()[3:])
    if (found := _YEAR_AT_END.fullmatch(cell)) is not None:
        return _date(found[9], _month(found[1]), found[2], found.groups()[2:8])
    if (found := _WRITTEN.fullmatch(cell)) is not None:
        return _date(found[1], found[2], found[3], found.groups()[3:])
    return math.nan


def _period(cell: str) -> float:
    """The first day of a month, quarter or week with its year."""
    if (found := _MONTH.fullmatch(cell)) is not None:
        return _date(found[1], found[2], "1", ())
    if (found := _MONTH_YEAR.fullmatch(cell)) is not None:
        return _date(found[2], found[1], "1", ())
    if (found := _NAMED_MONTH.fullmatch(cell)) is not None:
        return _date(found[2], _month(found[1]), "1", ())
    if (found := _QUARTER.fullmatch(cell)) is not None:
        return _date(found[1], str(3 * int(found[2]) - 2), "1", ())
    if (found := _QUARTER_YEAR.fullmatch(cell)) is not None:
        return _date(found[2], str(3 * int(found[1]) - 2), "1", ())
    if (found := _WEEK.fullmatch(cell)) is not None:
        try:
            day = datetime.date.fromisocalendar(int(found[1]), int(found[2]), int(found[3] or 1))
        except ValueError:
            return math.nan
        return float(day.toordinal() - _EPOCH)
    return math.nan


def _month(name: str) -> str:
    return str(months.number(name))


def _date(year: str, month: str, day: str, clock: tuple[str | None, ...]) -> float:
    """Days since 1970. `clock`: hour, minute, second, am or pm, hours and minutes of the zone; None where absent."""
    full = int(year) if len(year) == 4 else int(year) + (1900 if int(year) > 68 else 2000)  # as POSIX has it
    try:
        whole = datetime.date(full, int(month), int(day)).toordinal() - _EPOCH
    except ValueError:
        return math.nan
    if not clock or clock[0] is None:
        return float(whole)
    into_day = _seconds(clock[:4])
    if math.isnan(into_day):
        return math.nan
    if clock[4] is not None:
        hours = int(clock[4])
        into_day -= 3600 * hours + math.copysign(
            60 * int(clock[5] or 0), hours if hours else (-1 if clock[4][0] == "-" else 1)
        )
    return (whole * arrow.DAY + round(into_day * 1e6)) / arrow.DAY


def _seconds(clock: tuple[str | None, ...]) -> float:
    hour, minute, second, half = (
        int(clock[0] or 0),
        int(clock[1] or 0),
        float((clock[2] or "0").replace(",", ".")),
        clock[3],
    )
    if half is not None and half != "Uhr":
        if not 1 <= hour <= 12:
            return math.nan
        hour = hour % 12 + (12 if half[0] in "pP" else 0)
    latest = 24 if half is None and not minute and not second else 23
    return math.nan if hour > latest else round((3600 * hour + 60 * minute + second) * 1e6) / 1e6
