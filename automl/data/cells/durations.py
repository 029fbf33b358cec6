"""Lengths of time: 36:15, 36:15:02, 1:07.25 (minutes), 2 days 03:15:00, 1 day, 3:15:00, 1h 20m, 1h20m5s and PT1H20M."""

import math
import re

_CLOCK = re.compile(r"(-?)(\d{1,4}):([0-5]\d)(?::([0-5]\d(?:\.\d+)?))?", re.ASCII)
_LAP = re.compile(r"(-?)(\d{1,3}):([0-5]\d[.,]\d+)", re.ASCII)
_DAYS = re.compile(r"(-?\d+) days?(?:,? ([+-]?)(\d{1,2}):([0-5]\d):([0-5]\d(?:\.\d+)?))?", re.ASCII)
_LETTERS = re.compile(
    r"(?:(\d+) ?d(?:ays?)?,? ?)?(?:(\d+) ?h(?:rs?|ours?)?,? ?)?(?:(\d+) ?m(?:ins?|inutes?)?,? ?)?"
    r"(?:(\d+(?:\.\d+)?) ?s(?:ecs?|econds?)?)?", re.ASCII,
)  # fmt: skip
_ISO = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?", re.ASCII)
_LENGTHS = (86_400.0, 3600.0, 60.0, 1.0)


def seconds(cell: str) -> float:
    """The seconds of a length of time; NaN: the cell is none."""
    if (found := _CLOCK.fullmatch(cell)) is not None:
        total = 3600.0 * int(found[2]) + 60.0 * int(found[3]) + float(found[4] or 0)
        return -total if found[1] else total
    if (found := _LAP.fullmatch(cell)) is not None:
        total = 60.0 * int(found[2]) + float(found[3].replace(",", "."))
        return -total if found[1] else total
    if (found := _DAYS.fullmatch(cell)) is not None:
        clock = 3600.0 * int(found[3] or 0) + 60.0 * int(found[4] or 0) + float(found[5] or 0)
        return 86_400.0 * int(found[1]) + (-clock if found[2] == "-" else clock)
    for form in (_LETTERS, _ISO):
        found = form.fullmatch(cell)
        if found is not None and any(found.groups()):
            return sum(float(part) * length for part, length in zip(found.groups(), _LENGTHS, strict=True) if part)
    return math.nan


def has_days(cell: str) -> bool:
    """Whether a length of time is written as pandas and Python write theirs."""
    return _DAYS.fullmatch(cell) is not None
