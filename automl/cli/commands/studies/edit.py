"""`automl edit`: change a search while it runs."""

import json as json_module
from pathlib import Path
from typing import Annotated, Any

import typer

from automl.cli import options, values
from automl.cli.commands.studies.watch import user
from automl.errors import SpecError

Add = Annotated[
    Path | None, options.option("--add", metavar="FILE", help="Try this config next: YAML or JSON, one or a list.")
]
Stop = Annotated[list[int] | None, options.option("--stop", metavar="TRIAL", help="End this trial (repeatable).")]
Pin = Annotated[
    list[int] | None,
    options.option("--pin", metavar="TRIAL", help="Protect this trial from early stopping (repeatable)."),
]
Pause = Annotated[bool, options.option("--pause", help="Start no new trials; running trials go on.")]
Resume = Annotated[bool, options.option("--resume", help="Go on after a pause.")]
Budget = Annotated[
    str | None,
    options.option("--budget", metavar="N|+N", help="Trials: 200 or +50; time: +10m or 2h; epochs: '+500 epochs'."),
]
Narrow = Annotated[
    list[str] | None,
    options.option("--narrow", metavar="NAME=RANGE", help="A smaller range: lr=1e-4..1e-2, opt=adam,sgd (repeatable)."),
]


def edit(
    study: options.StudyName,
    add: Add = None,
    stop: Stop = None,
    pin: Pin = None,
    pause: Pause = False,
    resume: Resume = False,
    budget: Budget = None,
    narrow: Narrow = None,
    json: options.Json = False,
    dir: options.Dir = options.STUDIES,
) -> None:
    """Change a search while it runs, or before it goes on.

    The request becomes a fact of the study's ledger. Any program may ask the same: write
    {"stop": 12} to a file with another name, and rename it to studies/NAME/inbox/ANYTHING.json.
    """
    from automl.study.reader import StudyView

    wanted: dict[str, Any] = {"add": _configs(add) if add else None, "stop": stop, "pin": pin, "budget": budget}
    wanted |= {"pause": pause or None, "resume": resume or None}
    wanted |= {"narrow": dict(map(_range, narrow)) if narrow else None}
    view = StudyView(values.study_path(study, dir))
    done = view.edit(by=user(), **{key: value for key, value in wanted.items() if value is not None})
    view.close()
    typer.echo(
        json_module.dumps({"schema": 1, "ok": True, "done": done}, ensure_ascii=False) if json else "\n".join(done)
    )


def _configs(file: Path) -> Any:
    """The configs in a file.

    Raises:
        SpecError: it cannot be read.
    """
    from automl.specfile.yaml.complaint import error
    from automl.specfile.yaml.events import load

    try:
        document = load(file.read_bytes(), str(file))
    except OSError as wrong:
        raise SpecError(f"{file}: cannot be read: {wrong.strerror}") from None
    if document.complaints:
        raise error(document.complaints, document.source)
    return document.value


def _range(text: str) -> tuple[str, list[Any]]:
    """`lr=1e-4..1e-2` -> ("lr", [1e-4, 1e-2]); `opt=adam,sgd` -> ("opt", ["adam", "sgd"]).

    Raises:
        SpecError: it is neither.
    """
    name, equals, to = text.partition("=")
    if not equals or not name.strip() or not to.strip():
        raise SpecError(f"narrow: {text!r} is not NAME=LOW..HIGH or NAME=VALUE,VALUE, such as lr=1e-4..1e-2")
    low, dots, high = to.partition("..")
    words = [low, high] if dots else to.split(",")
    return name.strip(), [_value(word.strip()) for word in words]


def _value(word: str) -> Any:
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return {"true": True, "false": False, "null": None}.get(word, word)
