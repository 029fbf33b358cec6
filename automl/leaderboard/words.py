"""How values become short text: numbers, durations, user strings without control characters, cut to cells."""

import math
import unicodedata
from collections.abc import Mapping

from automl.core.space import Value

CELL_CUT = "…"


def clean(text: object) -> str:
    """`text` on one line and without control, format and bidirectional characters: safe to write to a terminal."""
    text = str(text)
    if text.isascii() and text.isprintable():
        return text
    flat = text.replace("\t", " ").replace("\r\n", " ").replace("\n", " ").replace("\r", " ")
    return "".join(c for c in flat if c == " " or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp"))


def cells(text: str) -> int:
    """How many terminal cells `text` takes (wide characters take two)."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def fit(text: str, width: int, *, cut: str = CELL_CUT) -> str:
    """`text` in at most `width` cells; `cut` marks what was left out."""
    if cells(text) <= width:
        return text
    if width <= len(cut):
        return "." * max(width, 0) if cut != CELL_CUT else cut * max(width, 0)
    from rich.cells import set_cell_size

    return set_cell_size(text, width - len(cut)).rstrip() + cut


def fit_middle(text: str, width: int, *, cut: str = "~") -> str:
    """`text` in at most `width` cells, shortened in the middle: `weight_decay` -> `weig~cay`."""
    if cells(text) <= width or width < 3:
        return fit(text, width, cut=cut)
    tail = (width - 1) // 2
    end = text
    while cells(end) > tail:
        end = end[1:]
    return fit(text, width - cells(end), cut=cut) + end


def pad(text: str, width: int, *, right: bool = False, cut: str = CELL_CUT) -> str:
    """`text` in exactly `width` cells; `right` puts the blanks before it."""
    text = fit(text, width, cut=cut)
    blanks = " " * (width - cells(text))
    return blanks + text if right else text + blanks


def amount(value: float | None) -> str:
    """A metric's value, as `number` shows it, but a whole number without decimals: 88 parameters, not 88.0000."""
    whole = value is not None and value == value // 1 and abs(value) < 10_000
    return str(int(value)) if whole and value is not None else number(value)


def number(value: float | None, digits: int = 4) -> str:
    """A score: `digits` decimals from 0.01 to 100, else so many significant digits; `-` for none."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if value == 0 or 0.01 <= abs(value) < 100:
        return f"{value:.{digits}f}"
    if 0.001 <= abs(value) < 0.01:
        return f"{value:#.{digits}g}"
    return _exponent(f"{value:.{digits}g}")


def short(value: Value, digits: int = 3) -> str:
    """One hyperparameter: `digits` significant digits for a float, words cleaned of control characters."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, float):
        if value == 0 or 0.01 <= abs(value) < 10**digits:
            return f"{value:.{digits}g}"
        return _exponent(f"{value:.{digits - 1}e}")
    return clean(value)


def _exponent(text: str) -> str:
    """`2.10e-03` -> `2.1e-3`."""
    mantissa, e, power = text.partition("e")
    if not e:
        return text
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa}e{int(power)}"


def config(values: Mapping[str, Value], names: tuple[str, ...] = (), *, equals: str = " ", digits: int = 3) -> str:
    """`lr 2.1e-3  width 256`: the named values first, the others after them."""
    order = [n for n in names if n in values] + [n for n in values if n not in names]
    return "  ".join(f"{clean(n)}{equals}{short(values[n], digits)}" for n in order)


def duration(seconds: float | None) -> str:
    """`0.4s`, `38s`, `1m02s`, `3h05m`, `2d04h`; `-` for none."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def clock(seconds: float) -> str:
    """`00:12:41`."""
    whole = int(seconds)
    return f"{whole // 3600:02d}:{whole % 3600 // 60:02d}:{whole % 60:02d}"


def span(low: float, high: float) -> str:
    """A range of durations in one unit: `8-11 min`."""
    for limit, size, unit in ((90, 1, "s"), (5400, 60, "min"), (math.inf, 3600, "h")):
        if high < limit:
            shown = (
                (f"{low / size:.1f}", f"{high / size:.1f}")
                if unit == "h"
                else (f"{low / size:.0f}", f"{high / size:.0f}")
            )
            return f"{shown[0]} {unit}" if shown[0] == shown[1] else f"{shown[0]}-{shown[1]} {unit}"
    return "-"


def trial(n: int) -> str:
    """`t0042`."""
    return f"t{n:04d}"


def ordinal(n: int) -> str:
    """`1st`, `2nd`, `11th`."""
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"


def size(count: float) -> str:
    """Bytes as `812 B`, `3.4 MB`, `12 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"


def plural(n: int, noun: str) -> str:
    """A count with its noun: `1 trial`, `1,234 trials`."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")
