"""The two sides of a comparison: a config of a specification, a trial, a program, or a training function."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.api import trust as trusted
from automl.api.from_spec import placed
from automl.core.files import as_name
from automl.core.plugins import Described
from automl.core.space import Config, Space
from automl.core.trial import Metric
from automl.errors import SpecError
from automl.executors import devices
from automl.study import paths
from automl.study.reader import StudyView
from automl.tasks.builtin import BuiltinTask
from automl.tasks.command import CommandTask
from automl.tasks.from_spec import task_of
from automl.tasks.function import FunctionTask
from automl.worker.worker import Task

if TYPE_CHECKING:
    from automl.specfile import Spec
    from automl.worker.trial import Trial

Judged = "str | Path | Sequence[str] | tuple[str | Path, int] | Callable[[Trial], object]"


@dataclass(frozen=True)
class Side:
    """The baseline or the candidate of a comparison.

    Attributes:
        name: what the user calls it.
        task: what is trained.
        space, config: the config, and a space that it is a point of.
        metric: what the sides are compared by; None: the caller says it.
        horizon: steps of a full run, where known.
        executor: where it runs.
        workers: how many at once; 0: as many as the executor finds devices or cores for.
        trial_timeout_s: a run that takes longer has failed.
    """

    name: str
    task: Task
    space: Space
    config: Config
    metric: Metric | None
    horizon: int | None = None
    executor: Described = "local"
    workers: int = 0
    trial_timeout_s: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fuses(self) -> bool:
        """Whether runs of this side on several seeds train as one batched model."""
        group = self.task.group
        return group is not None and group(self.config) != ""


def side(judged: Any, *, dir: Path = Path("studies"), trust: bool = False) -> Side:
    """The side that `judged` stands for.

    Args:
        judged: a specification's file (its default config), a study's name or folder (its winner), a tuple of a study
            and a trial's number, a list of words (a program), or a function `train(trial)`.
        dir: the folder that holds the studies.
        trust: run the code of a study that was begun on another machine.

    Raises:
        SpecError: there is no such thing, or it does not say which config is meant.
    """
    if callable(judged):
        return of_function(judged)
    if isinstance(judged, tuple):
        study, number = judged
        return of_trial(_folder(study, dir), int(number), trust=trust)
    if isinstance(judged, str | Path):
        path = _study(judged, dir)
        return of_trial(path, None, trust=trust) if path else of_spec(judged)
    return of_command([str(word) for word in judged])


def of_command(words: str | Sequence[str], metric: Metric | None = None, report: str | None = None) -> Side:
    """A program that reports its metric by printing it, with `{seed}` among its arguments.

    Raises:
        SpecError: no argument has the seed, or there is no such program.
    """
    from automl.specfile.rules import code

    argv = shlex.split(words) if isinstance(words, str) else list(words)
    shown = shlex.join(argv)
    if not argv:
        raise SpecError("--command: the program is missing, e.g. --command 'python train.py --seed {seed}'")
    if not any("{seed}" in word for word in argv):
        raise SpecError(f"--command {shown!r}: no argument has {{seed}}, so all its runs would be the same run")
    if (lacking := code.missing(argv, Path.cwd())) is not None:
        raise SpecError(f"--command {shown!r}: {''.join(lacking[1:])}")
    task = CommandTask(tuple(argv), (), Path.cwd(), metric=metric.name if metric else "loss", report=report)
    return Side(shown, task, Space({}), {}, metric, executor="local" if devices.count() else "inline")


def of_function(function: "Callable[[Trial], object]") -> Side:
    """A training function; it takes its seed from `trial.seed`."""
    name = str(getattr(function, "__qualname__", function))
    return Side(name, FunctionTask.of(function), Space({}), {}, None, executor="inline")


def of_spec(file: str | Path) -> Side:
    """The config that a specification describes: each parameter is a single value, or has a default.

    Raises:
        SpecError: a parameter has several values and no default.
    """
    from automl import specfile

    read = specfile.read(file, gpus=devices.count)
    config = read.space.default() or (dict(read.space.constants) if not read.space.params else None)
    unknown = [n for n, p in read.space.params.items() if not p.has_default and (config is None or n in config)]
    if config is None or unknown:
        raise SpecError(
            f"{file}: a specification that is judged describes one config; give {', '.join(unknown)} a single value or "
            "a default, or judge trials of its study: automl judge STUDY 12 40"
        )
    return _side(read, str(file), config)


def of_trial(path: Path, number: int | None, *, trust: bool = False) -> Side:
    """A trial of a study, at the target fidelity of its finalists; without a number the study's winner.

    Raises:
        SpecError: there is no such trial, or the study was started from a Python function.
    """
    from automl import specfile

    with closing(StudyView(path)) as view:
        record = view.winner if number is None else None
        if number is not None and not 0 <= number < len(view.history):
            raise SpecError(f"{view.name} has no trial {number}; it has {len(view.history)}, numbered from 0")
        record = record if number is None else view.history.trials[number]
        kept, facts = view.facts.get("spec"), view.facts
    if record is None:
        raise SpecError(f"{path}: this study has no winner yet; name a trial: automl judge {path.name} 12 40")
    if not kept:
        raise SpecError(f"{path} was started from a Python function: use automl.judge in the program that has it")
    folder, _ = paths.project(path, kept)
    tree = {**kept["tree"], "study": as_name(kept["tree"].get("study", path.name))}
    read = specfile.from_json(tree, name=as_name(facts["name"]), folder=folder)
    if not trust:
        trusted.check(path, facts, read)
    config = {**record.config, **{name: high for name, (_, high) in read.fidelity.items()}}
    return _side(read, f"{path.name} trial {record.number}", config)


def _side(read: "Spec", name: str, config: Config) -> Side:
    task = task_of(read)
    if isinstance(task, BuiltinTask):
        task = replace(task, outputs=False)
    executor, _ = placed(read.executor or "local", read.resources)
    return Side(
        name, task, Space({}, config), config, read.metric, read.epochs or read.plan.horizon, executor,
        read.workers or 0, read.trial_timeout_s, {"value": read.value, "retries": read.retries},
    )  # fmt: skip


def _study(name: str | Path, dir: Path) -> Path | None:
    for path in (dir / name, Path(name)):
        if (path / paths.LEDGER).is_file():
            return path
    return None


def _folder(name: str | Path, dir: Path) -> Path:
    path = _study(name, dir)
    if path is None:
        raise SpecError(f"no study {str(name)!r} in {dir}")
    return path
