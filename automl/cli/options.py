"""Options and arguments of the commands, as annotated types: help text, value name and environment variable."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

option = partial(typer.Option, show_envvar=False)  # each option has a variable, AUTOML_SEARCH_TRIALS; not in the help

STUDIES = Path("studies")

# -- of several commands -------------------------------------------------------------------------------------------

SpecFile = Annotated[
    str, typer.Argument(metavar="SPEC", help="A space.yaml file, or the name of a preset (see `automl spaces`).")
]
StudyName = Annotated[
    str, typer.Argument(metavar="STUDY", help="A study's name below --dir, or the path of its folder.")
]
Dir = Annotated[Path, option("--dir", envvar="AUTOML_DIR", help="The folder that holds the studies ($AUTOML_DIR).")]
Sets = Annotated[
    list[str] | None,
    option("--set", metavar="KEY=VALUE", help="Change the spec, e.g. space.optimizer.lr.high=0.1 (repeatable)."),
]
Json = Annotated[bool, option("--json", help="Print one JSON document instead of text.")]
Ascii = Annotated[bool, option("--ascii", help="Use only ASCII characters.")]
Out = Annotated[Path | None, option("--out", "-o", help="The file to write.")]

# -- of `search` and `resume` --------------------------------------------------------------------------------------

Strategy = Annotated[str | None, option(help="The strategy that suggests configs (`automl strategies` lists them).")]
Stopper = Annotated[str | None, option(help="The stopper that ends bad trials early; none: no early stopping.")]
Trials = Annotated[int | None, option(min=1, help="Budget: the number of trials.")]
MoreTrials = Annotated[
    str | None, option("--trials", metavar="N|+N", help="A new budget of N trials, or (+N) N trials more than before.")
]
Time = Annotated[str | None, option(metavar="DURATION", help="Budget: wall-clock time, e.g. 10m or 1h30m.")]
Seed = Annotated[int | None, option(help="The random seed of the study.")]
Workers = Annotated[int | None, option(min=1, help="Worker processes: trials (or cohorts of fused trials) at a time.")]
Executor = Annotated[str | None, option(help="Where trials run: local, inline or ray.")]
Ray = Annotated[str | None, option(metavar="ADDRESS", help="Run on the Ray cluster at HOST:PORT.")]
InsecureRay = Annotated[bool, option("--insecure-ray", help="Allow a Ray cluster that requires no token.")]
Name = Annotated[str | None, option("--name", help="The name of the study (default: that in the spec).")]
NoFuse = Annotated[bool, option("--no-fuse", help="Train each trial alone, never several as one batched model.")]
NoFinalists = Annotated[bool, option("--no-finalists", help="Do not retrain the best trials on fresh seeds.")]
Deterministic = Annotated[
    bool, option("--deterministic", help="Give the same leaderboard every time, also with several workers.")
]
DryRun = Annotated[bool, option("--dry-run", help="Print the plan, train one batch, and stop.")]
AcceptSpecChange = Annotated[
    bool, option("--accept-spec-change", help="Continue although the space, the metric or the data have changed.")
]
Trust = Annotated[bool, option("--trust", help="Run the code of a study that was begun on another machine.")]
Loggers = Annotated[
    list[str] | None,
    option("--logger", metavar="NAME", help="Log to this program too: tensorboard, mlflow or wandb (repeatable)."),
]
OptunaStorage = Annotated[
    str | None,
    option("--optuna-storage", metavar="URL", help="Mirror the search here while it runs, e.g. sqlite:///optuna.db."),
]
TensorBoard = Annotated[bool, option("--tensorboard", help="The same as --logger tensorboard.")]
FailUnder = Annotated[
    float | None, option("--fail-under", help="Exit with 1 if the winner's value is worse than this.")
]
Quiet = Annotated[bool, option("--quiet", "-q", help="No progress: print errors and the final block only.")]
Events = Annotated[Path | None, option("--events", help="Append events to this file, as JSON Lines.")]
