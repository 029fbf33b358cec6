"""The regular step of a series: months, weekdays, days or plain numbers; which steps are missing between two rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NONE: dict[str, Any] = {"unit": "number", "step": 0.0, "day": 1}
"""No step: the rows are taken as they follow one another."""
GAP = 1.5
"""Two rows that are further apart than this number of steps have a gap between them."""
HOLIDAYS = 5.5
"""Where some days of the week never have a row, up to five further days in a row may be missing without a gap."""
UNEVEN = 0.1
"""Two rows whose distance differs from a step by more than this share of it are not regular."""
REGULAR = 0.6
"""Where fewer of the rows than this follow the one before after about a step, or a multiple of it, there is none."""
HOUR = 1 / 24


def counted(n: int, noun: str) -> str:
    """A count with its noun: 1 row, 1,234 rows."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def decide(times: Floats, series: NDArray[np.int64], kind: str) -> dict[str, Any]:
    """`unit`, `step` and `day`: the most frequent difference of neighbouring times.

    Args:
        times: [rows] sorted in each series; days since 1970, or numbers.
        series: [rows] the number of each row's series.
        kind: "date", "number" or "time" (of day; these have no step).
    """
    if kind == "time" or len(times) < 3:
        return dict(NONE)
    how = _calendar(times, series) if kind == "date" else {"unit": "number", "day": 1}
    apart = _differences(positions(times, how), series)
    step = _commonest(apart if how["unit"] != "days" else np.round(apart * 86_400) / 86_400)
    if not step or not len(apart):
        return how | {"step": 0.0}
    count = apart[apart > 0] / step
    regular = (np.abs(count - 1) < GAP - 1) | (np.abs(count - np.round(count)) <= UNEVEN)
    return how | {"step": step if regular.mean() >= REGULAR else 0.0}


def _calendar(times: Floats, series: NDArray[np.int64]) -> dict[str, Any]:
    """The unit that dates are counted in, and what belongs to it."""
    apart = _differences(times, series)
    if len(apart) and np.median(apart) > 27.5 and (day := _day_of_month(times)) is not None:
        return {"unit": "months", "day": day}
    if bool((times % 1 == 0).all()) and _commonest(apart) == 1 and np.ptp(times) >= 20:
        seen = np.bincount((times.astype(np.int64) + 3) % 7, minlength=7) > 0  # day 0 was a Thursday
        if not seen.all():
            return {"unit": "weekdays", "mask": "".join("01"[int(day)] for day in seen), "day": 1}
    return {"unit": "days", "day": 1}


def _differences(positions: Floats, series: NDArray[np.int64]) -> Floats:
    return np.asarray(np.diff(positions)[np.diff(series) == 0])


def _commonest(apart: Floats) -> float:
    """The most frequent difference; the median where none is frequent; 0 where there is none."""
    apart = apart[apart > 0]
    if not len(apart):
        return 0.0
    values, counts = np.unique(apart, return_counts=True)
    often = float(values[counts.argmax()])
    return often if counts.max() >= 0.1 * len(apart) else float(np.median(apart))


def _dates(times: Floats) -> "NDArray[np.datetime64]":
    return np.floor(times).astype(np.int64).astype("datetime64[D]")


def _day_of_month(times: Floats) -> int | None:
    """The day of the month that all dates have; 0: the last one; None: several."""
    dates = _dates(times)
    days = (dates - dates.astype("datetime64[M]")).astype(np.int64) + 1
    if (days == days[0]).all():
        return int(days[0])
    ends = ((dates + 1).astype("datetime64[M]") - (dates + 1)).astype(np.int64) == 0
    return 0 if ends.all() else None


def _months(times: Floats) -> Floats:
    return np.asarray(_dates(times).astype("datetime64[M]").astype(np.int64), dtype=np.float64)


def positions(times: Floats, how: Mapping[str, Any]) -> Floats:
    """[rows] times counted in the unit of the step."""
    if how["unit"] == "months":
        return _months(times)
    if how["unit"] == "weekdays":
        return np.asarray(np.busday_count("1970-01-01", _dates(times), how["mask"]), dtype=np.float64)
    return times


def earlier(times: Floats, count: NDArray[np.int64], how: Mapping[str, Any]) -> Floats:
    """[rows] the times `count` steps before `times`."""
    if how["unit"] == "weekdays":
        dates = np.busday_offset(_dates(times), -count, "backward", how["mask"])
        return np.asarray(dates.astype("datetime64[D]").astype(np.int64), dtype=np.float64)
    if how["unit"] != "months":
        return np.asarray(times - count * how["step"])
    months = (_months(times) - count * how["step"]).astype(np.int64).astype("datetime64[M]")
    days = (months + 1).astype("datetime64[D]") - 1 if how["day"] == 0 else months.astype("datetime64[D]")
    days = days + (max(how["day"], 1) - 1)
    return np.asarray(days.astype(np.int64), dtype=np.float64)


def clocks_change(times: Floats) -> NDArray[np.bool_]:
    """[rows] whether a local time lies in the early hours of a Sunday in spring or autumn, when clocks are changed."""
    dates = np.nan_to_num(np.floor(times + 1e-9)).astype(np.int64)
    month = dates.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12 + 1
    sunday = (dates + 4) % 7 == 0  # day 0 was a Thursday
    return np.asarray(np.isin(month, (3, 4, 9, 10, 11)) & sunday & ((times - dates) / HOUR < 4 - 1e-6))


def absent_before(
    times: Floats, series: NDArray[np.int64], how: Mapping[str, Any], notes: list[str]
) -> NDArray[np.int64]:
    """[rows] how many rows are missing between each row and the one before it in its series.

    Times that have no regular step have no gaps. `notes` gets a line where rows do not follow one another regularly,
    and where clocks were put forward, which is no gap.
    """
    apart = np.diff(positions(times, how)) / how["step"]
    inside = np.diff(series) == 0
    absent = np.zeros(len(times), dtype=np.int64)
    skipped = inside & _clocks_go_forward(times, apart, how)
    holidays = inside & (how["unit"] == "weekdays") & (apart > GAP) & (apart <= HOLIDAYS + 1)
    gaps = inside & (apart > GAP) & ~skipped & ~holidays
    absent[1:][gaps] = np.maximum(np.round(apart[gaps]) - 1, 1).astype(np.int64)
    if skipped.any():
        notes.append(f"the hour that clocks skip in spring is missing in {how['time']!r} "
                     f"({counted(int(skipped.sum()), 'time')}): no gap")  # fmt: skip
    if holidays.any():
        days = counted(int(np.round(apart[holidays] - 1).sum()), "day")
        notes.append(f"{days} missing in {how['time']!r}, at most {int(HOLIDAYS)} in a row: holidays, no gap")
    uneven = int((inside & ~gaps & ~skipped & ~holidays & (np.abs(apart - 1) > UNEVEN)).sum())
    if uneven:
        rows = "1 row of {} does" if uneven == 1 else f"{uneven:,} rows of {{}} do"
        notes.append(f"{rows.format(repr(how['time']))} not follow the one before at the regular step of "
                     f"{described(how)}; each row is taken as a step")  # fmt: skip
    return absent


def _clocks_go_forward(times: Floats, apart: Floats, how: Mapping[str, Any]) -> NDArray[np.bool_]:
    """[rows - 1] whether exactly an hour is missing before a row, where clocks are put forward."""
    if how["unit"] != "days" or how.get("zone") or not 0 < how["step"] <= HOUR * 1.001:
        return np.zeros(len(apart), dtype=bool)
    missing_hours = (apart - 1) * how["step"] / HOUR
    return np.asarray((np.abs(missing_hours - 1) < 1e-3) & clocks_change(times[1:]))


def described(how: Mapping[str, Any]) -> str:
    """The step for people: 15 minutes, 1 day, 2 months."""
    unit, step = how["unit"], how["step"]
    if unit == "weekdays" and how["mask"] != "1111100":
        unit = f"day of {how['mask'].count('1')} a week"
    if unit == "days":
        for name, length in (("day", 1.0), ("hour", 1 / 24), ("minute", 1 / 1440)):
            if step / length >= 0.9999 and abs(step / length - round(step / length)) < 1e-6:
                unit, step = name, step / length
                break
        else:
            unit, step = "second", step * 86_400
    unit = {"months": "month", "weekdays": "weekday", "number": ""}.get(unit, unit)
    return f"{step:g} {unit}{'s' if unit and round(step, 6) != 1 else ''}".strip()
