"""The regular step of a series: months, weekdays, days or plain numbers; which steps are missing between two rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NONE: dict[str, Any] = {"unit": "number", "step": 0.0, "day": 1}
"""No step: the rows are taken as they follow one another."""
GAP = 1.5
"""Two rows that are further apart than so many steps have a gap between them."""
UNEVEN = 0.1
"""Two rows whose distance differs from a step by more than this share of it are not regular."""


def decide(times: Floats, series: NDArray[np.int64], kind: str) -> dict[str, Any]:
    """`unit`, `step` and `day`: the most frequent difference of neighbouring times.

    Args:
        times: [rows] sorted in each series; days since 1970, or numbers.
        series: [rows] the number of each row's series.
        kind: "date", "number" or "time" (of day; these have no step).
    """
    if kind == "time" or len(times) < 3:
        return dict(NONE)
    apart = _differences(times, series)
    if kind == "number":
        return {"unit": "number", "step": _commonest(apart), "day": 1}
    whole = bool((times % 1 == 0).all())
    if len(apart) and np.median(apart) > 27.5 and (day := _day_of_month(times)) is not None:
        return {"unit": "months", "step": _commonest(_differences(_months(times), series)), "day": day}
    step = _commonest(np.round(apart * 86_400)) / 86_400
    if whole and step == 1 and len(times) >= 10 and bool(((times + 3) % 7 < 5).all()):
        return {"unit": "weekdays", "step": 1.0, "day": 1}  # day 0 was a Thursday
    return {"unit": "days", "step": step, "day": 1}


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
        return np.asarray(np.busday_count(np.datetime64("1970-01-01"), _dates(times)), dtype=np.float64)
    return times


def earlier(times: Floats, count: NDArray[np.int64], how: Mapping[str, Any]) -> Floats:
    """[rows] the times `count` steps before `times`."""
    if how["unit"] == "weekdays":
        dates = np.busday_offset(_dates(times), -count, roll="backward")
        return np.asarray(dates.astype("datetime64[D]").astype(np.int64), dtype=np.float64)
    if how["unit"] != "months":
        return np.asarray(times - count * how["step"])
    months = (_months(times) - count * how["step"]).astype(np.int64).astype("datetime64[M]")
    days = (months + 1).astype("datetime64[D]") - 1 if how["day"] == 0 else months.astype("datetime64[D]")
    days = days + (max(how["day"], 1) - 1)
    return np.asarray(days.astype(np.int64), dtype=np.float64)


def absent_before(
    times: Floats, series: NDArray[np.int64], how: Mapping[str, Any], notes: list[str]
) -> NDArray[np.int64]:
    """[rows] how many rows are missing between each row and the one before it in its series.

    `notes` gets a line where the rows that are there do not follow one another regularly.
    """
    apart = np.diff(positions(times, how)) / how["step"]
    inside = np.diff(series) == 0
    absent = np.zeros(len(times), dtype=np.int64)
    gaps = inside & (apart > GAP)
    absent[1:][gaps] = np.maximum(np.round(apart[gaps]) - 1, 1).astype(np.int64)
    uneven = int((inside & ~gaps & (np.abs(apart - 1) > UNEVEN)).sum())
    if uneven:
        notes.append(f"{uneven} rows of {how['time']!r} do not follow the one before at the regular step of "
                     f"{described(how)}; each row is taken as a step")  # fmt: skip
    return absent


def described(how: Mapping[str, Any]) -> str:
    """The step for people: 15 minutes, 1 day, 2 months."""
    unit, step = how["unit"], how["step"]
    if unit == "days":
        for name, length in (("day", 1.0), ("hour", 1 / 24), ("minute", 1 / 1440)):
            if step / length >= 0.9999 and abs(step / length - round(step / length)) < 1e-6:
                unit, step = name, step / length
                break
        else:
            unit, step = "second", step * 86_400
    unit = {"months": "month", "weekdays": "weekday", "number": ""}.get(unit, unit)
    return f"{step:g} {unit}{'s' if unit and round(step, 6) != 1 else ''}".strip()
