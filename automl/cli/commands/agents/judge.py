"""`automl judge`: is the candidate better than the baseline?"""

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from automl.cli import options, progress, values

if TYPE_CHECKING:
    from automl.judging.sides import Side

What = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[BASELINE CANDIDATE]",
        help="Two specs or studies (a.yaml b.yaml), or a study and two trials (S 12 40).",
    ),
]
Command = Annotated[
    list[str] | None,
    options.option("--command", metavar="COMMAND", help="A program with {seed} among its arguments; give two."),
]
MetricName = Annotated[str | None, options.option("--metric", help="What the programs report, e.g. val_loss.")]
Report = Annotated[
    str | None, options.option("--report", metavar="PATTERN", help="Finds the metric in lines that are not JSON.")
]
Seeds = Annotated[int, options.option("--seeds", min=3, max=16, help="The maximum number of seeds for each side.")]
Level = Annotated[float, options.option("--level", help="Error level: how often equal sides are called different.")]
CampaignName = Annotated[str, options.option("--campaign", help="Judgements of the same name are counted together.")]


def judge(
    what: What = None,
    command: Command = None,
    metric: MetricName = None,
    report: Report = None,
    seeds: Seeds = 8,
    level: Level = 0.05,
    campaign: CampaignName = "default",
    seed: options.Seed = None,
    workers: options.Workers = None,
    executor: options.Executor = None,
    trust: options.Trust = False,
    dir: options.Dir = options.STUDIES,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Say whether a candidate is better than a baseline.

    Both are trained on the same fresh seeds, and the differences are tested after each seed from the third on, until
    the answer is clear. Exit code 0: better; 1: not better; 6: the seeds do not decide it.

    automl judge a.yaml b.yaml; automl judge STUDY 12 40;
    automl judge --metric val_loss --command "python a.py --seed {seed}" --command "python b.py --seed {seed}"
    """
    progress.say("automl judge: reading both sides", quiet=quiet)
    from automl.judging.judge import judge as referee

    first, second = _sides(what or [], command or [], metric, report, dir, trust)
    made = referee(
        first, second, metric=metric, seeds=seeds, level=level, campaign=campaign, seed=seed, workers=workers,
        executor=executor, dir=dir, say=lambda text: None if quiet else typer.echo(f"automl judge: {text}", err=True),
    )  # fmt: skip
    typer.echo(json_module.dumps(made.to_json(), ensure_ascii=False, allow_nan=False) if json else str(made))
    if made.better is None:
        raise typer.Exit(6)
    raise typer.Exit(0 if made.better else 1)


def _sides(
    what: list[str], commands: list[str], metric: str | None, report: str | None, dir: Path, trust: bool
) -> "tuple[Side, Side]":
    from automl.core.trial import Metric
    from automl.judging import sides

    if commands and not what and len(commands) == 2:
        if metric is None:
            raise typer.BadParameter("say what the programs report, e.g. val_loss", param_hint="--metric")
        first, second = (sides.of_command(words, Metric.of(metric), report) for words in commands)
    elif len(what) == 3 and not commands:
        path = values.study_path(what[0], dir)
        first, second = (sides.of_trial(path, values.trial_number(one), trust=trust) for one in what[1:])
    elif len(what) == 2 and not commands:
        first, second = (sides.side(one, dir=dir, trust=trust) for one in what)
    else:
        raise typer.BadParameter(
            "give two specs or studies (a.yaml b.yaml), a study and two trials (digits 12 40), or --command twice",
            param_hint="BASELINE CANDIDATE",
        )
    return first, second
