"""Options that several commands share, and what their values mean."""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from automl.errors import SpecError, did_you_mean

option = partial(typer.Option, show_envvar=False)  # AUTOML_SEARCH_TRIALS=5 works for each; help would drown in it

Dir = Annotated[Path, option("--dir", envvar="AUTOML_DIR", help="The folder that holds the studies ($AUTOML_DIR).")]
StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="A study's name under --dir, or its folder.")]
Json = Annotated[bool, option("--json", help="Print one JSON document instead of text.")]
Quiet = Annotated[bool, option("--quiet", "-q", help="No progress; errors and the final block only.")]
Ascii = Annotated[bool, option("--ascii", help="No characters beyond ASCII on the screen.")]
Events = Annotated[Path | None, option("--events", help="Append what happens to this file, as JSON Lines.")]
Sets = Annotated[
    list[str] | None,
    option("--set", metavar="KEY=VALUE", help="Change the spec, e.g. space.optimizer.lr.high=0.1 (repeatable)."),
]
Loggers = Annotated[
    list[str] | None,
    option("--logger", metavar="NAME", help="Tell this program too: tensorboard, mlflow, wandb (repeatable)."),
]
TensorBoard = Annotated[bool, option("--tensorboard", help="The same as --logger tensorboard.")]
FailUnder = Annotated[float | None, option("--fail-under", help="Exit 1 when the winner's value is worse than this.")]

STUDIES = Path("studies")
DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")


def study_path(study: str, folder: Path) -> Path:
    """The folder of the study called `study`: itself a folder, or one below `folder`.

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
    have = f"; {folder} has {', '.join(known[:10])}" if known else f"; {folder} holds no study"
    raise SpecError(f"no study {study!r}{did_you_mean(study, known)}{have}")


def seconds(text: str | None) -> float | None:
    """`90`, `90s`, `10m`, `1h30m`, `2d` in seconds."""
    if text is None:
        return None
    match = DURATION.fullmatch(text.strip())
    if not match or not any(match.groups()):
        raise typer.BadParameter(f"{text!r} is not a duration such as 90s, 10m or 1h30m", param_hint="--time")
    return float(sum(float(n or 0) * unit for n, unit in zip(match.groups(), (86400, 3600, 60, 1), strict=True)))


def overrides(sets: Sequence[str] | None) -> dict[str, str]:
    """`["a.b=1"]` -> `{"a.b": "1"}`; values are read by the spec's own loader."""
    made = {}
    for item in sets or ():
        key, equals, value = item.partition("=")
        if not equals or not key.strip():
            raise typer.BadParameter(f"{item!r} is not KEY=VALUE", param_hint="--set")
        made[key.strip()] = value
    return made


def trial_number(text: str) -> int:
    """`42` or `t0042`."""
    digits = text[1:] if text[:1] in "tT" else text
    if not digits.isdecimal():
        raise typer.BadParameter(f"{text!r} is not a trial's number such as 42 or t0042", param_hint="TRIAL")
    return int(digits)
