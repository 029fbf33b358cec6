"""What the values of options mean: studies, durations, overrides, numbers of trials."""

import re
from collections.abc import Sequence
from pathlib import Path

import typer

from automl.errors import SpecError, did_you_mean

DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")


def study_path(study: str, folder: Path) -> Path:
    """The folder of the study called `study`: below `folder`, or a path of its own.

    Raises:
        SpecError: there is none (with the nearest name).
    """
    for path in (folder / study, Path(study)):
        if (path / "ledger.sqlite").is_file():
            return path
    for path in (Path(study), folder / study):
        if path.is_dir():
            raise SpecError(f"{path} is not a study: it has no ledger.sqlite")
    known = sorted(p.parent.name for p in folder.glob("*/ledger.sqlite"))
    have = f" (folder {folder} has: {', '.join(known[:10])})" if known else f" ({folder} has no studies)"
    raise SpecError(f"no study {study!r}{did_you_mean(study, known)}{have}")


def seconds(text: str | None) -> float | None:
    """`90`, `90s`, `10m`, `1h30m`, `2d` in seconds; None for None.

    Raises:
        typer.BadParameter: it is not a duration.
    """
    if text is None:
        return None
    match = DURATION.fullmatch(text.strip())
    if not match or not any(match.groups()):
        raise typer.BadParameter(f"{text!r} is not a duration such as 90s, 10m or 1h30m", param_hint="--time")
    return float(sum(float(n or 0) * unit for n, unit in zip(match.groups(), (86400, 3600, 60, 1), strict=True)))


def overrides(sets: Sequence[str] | None) -> dict[str, str]:
    """`["a.b=1"]` -> `{"a.b": "1"}`; the values are read by the spec's own loader.

    Raises:
        typer.BadParameter: an item is not KEY=VALUE.
    """
    changes = {}
    for item in sets or ():
        key, equals, value = item.partition("=")
        if not equals or not key.strip():
            raise typer.BadParameter(f"{item!r} is not KEY=VALUE", param_hint="--set")
        changes[key.strip()] = value
    return changes


def trials(text: str | None) -> int | str | None:
    """`100` -> 100, a new budget; `+40` stays text: 40 trials more; None for None.

    Raises:
        typer.BadParameter: it is neither.
    """
    if text is None or text.removeprefix("+").isdecimal():
        return text if text is None or text.startswith("+") else int(text)
    raise typer.BadParameter(f"{text!r} is not a number of trials such as 100 or +40", param_hint="--trials")


def targets(names: list[str] | None) -> str | list[str] | None:
    """The columns of a repeatable `--target`, as specifications have them: one alone is no list; none is None."""
    return names if names and len(names) > 1 else next(iter(names or ()), None)


def trial_number(text: str) -> int:
    """`42` or `t0042` -> 42.

    Raises:
        typer.BadParameter: it is not the number of a trial.
    """
    digits = text[1:] if text[:1] in "tT" else text
    if not digits.isdecimal():
        raise typer.BadParameter(f"{text!r} is not the number of a trial such as 42 or t0042", param_hint="TRIAL")
    return int(digits)


def widths(text: str) -> list[int]:
    """`"64,128"` -> `[64, 128]`, in ascending order, each once.

    Raises:
        typer.BadParameter: it is not a list of at least two positive whole numbers.
    """
    words = text.split(",")
    if len(words) < 2 or not all(word.strip().isdecimal() and int(word) > 0 for word in words):
        raise typer.BadParameter(f"{text!r}: give at least two widths, e.g. 64,128,256", param_hint="--widths")
    return sorted({int(word) for word in words})
