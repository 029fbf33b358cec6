"""`automl update` and `automl versions`: a saved model learns from new rows, and which of its versions answers."""

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automl.cli import options
from automl.errors import SpecError, did_you_mean

if TYPE_CHECKING:
    from automl.updating.update import Outcome

option = options.option

Bundle = Annotated[str, typer.Argument(metavar="STUDY|BUNDLE", help="A study (its winner), or a saved model's folder.")]
Data = Annotated[Path | None, option("--data", metavar="FILE", help="New rows with their true answers.")]
How = Annotated[str, option("--how", help="auto, head, finetune, retrain or search.")]
Lose = Annotated[float, option("--lose", help="Allowed loss of score on held-out rows; 0.01 is 1 % accuracy.")]
HoldOut = Annotated[float, option("--hold-out", help="The share of the new rows that is held out, the latest ones.")]
Old = Annotated[Path | None, option("--old", metavar="FILE", help="Old rows, if those of the search are gone.")]
KeepRows = Annotated[int, option("--keep-rows", min=100, help="The number of rows kept to learn from again.")]
Trials = Annotated[int, option("--trials", min=1, help="Budget of trials for --how search.")]
Feedback = Annotated[
    Path | None, option("--feedback", metavar="DIR", help="A server's --state: use its rows that have true answers.")
]
Follow = Annotated[
    Path | None, option("--follow", metavar="DIR", help="Update with each new file there, or with a server's feedback.")
]
AtLeast = Annotated[int, option("--at-least", help="With --follow on a server: new answers before an update.")]
Model = Annotated[str | None, option("--model", metavar="NAME", help="The model's name at the server, if not clear.")]
Every = Annotated[float, option("--every", min=0.1, help="Seconds between two checks of the folder.")]
Once = Annotated[bool, option("--once", help="With --follow: use what is there, then exit.")]
Device = Annotated[str, option("--device", help="Where to train: cpu, cuda, cuda:1, ...")]
Trust = Annotated[bool, option("--trust", help="Run the code that the model or its data name.")]
Rollback = Annotated[int | None, option("--rollback", metavar="N", help="Let version N answer from now on.")]


def update(
    bundle: Bundle, data: Data = None, how: How = "auto", lose: Lose = 0.01, hold_out: HoldOut = 0.25,
    old: Old = None, keep_rows: KeepRows = 200_000, trials: Trials = 8, feedback: Feedback = None,
    follow: Follow = None, at_least: AtLeast = 200, model: Model = None, every: Every = 5.0, once: Once = False,
    device: Device = "cpu", trust: Trust = False, json: options.Json = False,
    dir: options.Dir = options.STUDIES,
) -> None:  # fmt: skip
    """Let a saved model learn from new rows.

    The latest new rows are held out. A challenger answers in the model's place only if it loses at most --lose on old
    and on new rows that were held out (95 % sure) and is better on the new ones. `automl versions` lists all of them.
    """
    from automl.updating import feedback as of_server
    from automl.updating.follow import follow as follow_folder
    from automl.updating.options import Options
    from automl.updating.update import update as update_once

    if sum(source is not None for source in (data, feedback, follow)) != 1:
        raise typer.BadParameter("give new rows: --data FILE, --feedback DIR or --follow DIR")
    chosen = Options(how=how, lose=lose, hold_out=hold_out, keep_rows=keep_rows, trials=trials, trust=trust, old=old,
                     device=device)  # fmt: skip
    path = _path(bundle, dir)
    if data is not None:
        return _show(update_once(path, data, chosen, _say), json=json)
    if feedback is not None:
        return _show(of_server.update(path, feedback, chosen, _say, model=model), json=json)
    assert follow is not None
    looking: dict[str, Any] = {"every_s": every, "once": once}
    if of_server.kept_in(follow):
        found = of_server.follow(path, follow, chosen, _say, model=model, at_least=at_least, **looking)
    else:
        found = follow_folder(path, follow, chosen, _say, **looking)
    for outcome in found:
        _show(outcome, json=json)
    return None


def versions(
    bundle: Bundle, rollback: Rollback = None, json: options.Json = False, dir: options.Dir = options.STUDIES
) -> None:
    """List a model's versions, or go back to one.

    Each has its parent, the way it was made, the rows it learned from, and its scores on held-out rows.
    """
    from automl.updating import text
    from automl.updating.journal import Journal, locked
    from automl.updating.place import Place
    from automl.updating.versions import roll_back, settle

    place = Place.of(_path(bundle, dir))
    with locked(place):
        journal = Journal(place)
        settle(place, journal)
        if rollback is not None:
            roll_back(place, journal, rollback)
            typer.echo(f"version {rollback} answers", err=True)
    if json:
        typer.echo(json_module.dumps({"schema": 1, "current": journal.current, "versions": journal.versions}, indent=1))
    elif rollback is None:
        typer.echo(text.versions(journal.versions, journal.current))


def _path(bundle: str, folder: Path) -> Path:
    path = folder / bundle if (folder / bundle).is_dir() else Path(bundle)
    if not path.is_dir():
        near = did_you_mean(bundle, (p.parent.name for p in folder.glob("*/ledger.sqlite")))
        raise SpecError(f"no study and no saved model {bundle!r} (also searched in {folder}){near}")
    return path


def _say(sentence: str) -> None:
    typer.echo(sentence, err=True)


def _show(outcome: "Outcome", *, json: bool) -> None:
    from automl.updating import text

    if json:
        answer: dict[str, Any] = {"schema": 1, **outcome.entry, "version": outcome.version, "again": outcome.again}
        typer.echo(json_module.dumps(answer))
    else:
        typer.echo(text.outcome(outcome.entry, outcome.version, again=outcome.again))
