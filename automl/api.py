"""`automl.search`: the one path of the command line and of Python from "what to train" to a finished study."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl import plugins, provenance, winner
from automl.driver import Driver
from automl.ensemble import POOL
from automl.errors import EnvironmentProblem, SpecError
from automl.executors import warm
from automl.finalists import Plan as Ending
from automl.finalists import run as conclude
from automl.ledger import Ledger
from automl.loggers import Logged
from automl.screen import Blank, Held, Screen
from automl.space import Config, Space, Value
from automl.study import Described, Study
from automl.tasks import Task
from automl.tasks.command import CommandTask
from automl.tasks.described import DescribedTask, mixes
from automl.tasks.function import FunctionTask, ReferencedTask
from automl.trial import Metric

if TYPE_CHECKING:
    from automl.spec import Spec
    from automl.worker import Trial


def search(
    task: "str | Path | Callable[[Trial], object]",
    *,
    space: Space | Mapping[str, Any] | None = None,
    metric: str | Mapping[str, str] | Metric | None = None,
    trials: int | None = None,
    time_s: float | None = None,
    epochs: int | None = None,
    horizon: int | None = None,
    strategy: Described | None = None,
    stopper: Described | None = None,
    seed: int | None = None,
    value: str | None = None,
    first: list[Config] | None = None,
    workers: int | None = None,
    executor: Described | None = None,
    dir: str | Path = "studies",
    name: str | None = None,
    path: str | Path | None = None,
    screen: Screen | None = None,
    overrides: Mapping[str, Any] | None = None,
    deterministic: bool = False,
    retries: int = 1,
    trial_timeout_s: float | None = None,
    isolation: str = "warm",
    finalists: Mapping[str, int] | bool | None = True,
    fidelity: Mapping[str, tuple[float, float]] | None = None,
    loggers: Sequence[Described] = (),
) -> Study:
    """Search for the best config and return the finished study.

    Args:
        task: a spec file, a preset's name, or your training function `train(trial)`.
        space, metric: needed with a function; a spec has its own.
        trials, time_s, epochs: the budget (epochs: of all trials together); replaces a spec's entry.
        horizon: epochs of a full trial, where a function's `trial.steps(n)` does not say it first.
        strategy, stopper, executor: a plugin's name, `{"name": ..., option: value}`, or the object.
        workers: how many trials at once; the default is one for each GPU, or each core.
        dir, name: the study's folder is `dir/name`; one that exists gets a number behind its name.
        path: the study's folder itself; a study that is there already goes on.
        overrides: entries of the spec by dotted path, `{"space.optimizer.lr.high": 0.1}`.
        deterministic: results are observed in an order that does not depend on timing: several workers, too, give
            the same leaderboard each time, at the cost of some waiting.
        retries, trial_timeout_s, isolation: for functions; a spec has its own. Attempts after a loss of the worker;
            seconds after which a trial fails; "process": a fresh process for every trial.
        finalists: after the search the best `{"top": 5, "seeds": 3}` are trained again on fresh seeds and the winner
            is chosen by their mean; True: these numbers, or the spec's; None: the search's best trial is the winner.
        fidelity: `{"width": (128, 1024)}`, for functions: the search sees the first value, the finalists the second.
        loggers: "tensorboard", "mlflow", "wandb" or other plugins, as names, `{"name": ..., option: value}` or objects.

    Raises:
        AutoMLError: see `automl.errors`; a single trial's failure is no error.
    """
    if isinstance(task, str | Path) and executor in (None, "local"):
        warm.begin()  # torch is imported while the spec is read
    screen = _logged(screen or _terminal(), loggers)
    given = {
        "budget.trials": trials,
        "budget.time": time_s,
        "budget.epochs": epochs,
        "strategy": strategy,
        "stopper": stopper,
        "seed": seed,
        "value": value,
        "executor": executor,
        "workers": workers,
    }
    given = {key: entry for key, entry in given.items() if entry is not None}
    if isinstance(task, str | Path):
        from automl import spec

        kinds = ("strategy", "stopper", "executor")
        objects: dict[str, Any] = {key: given.pop(key) for key in kinds if not _plain(given.get(key, ""))}
        if finalists is not True:
            given["finalists"] = dict(finalists) if finalists else "none"
        read = spec.read(task, overrides={**given, **(overrides or {})})
        folder = Path(path) if path else _free(Path(dir), name or read.name)
        return run_spec(read, folder, screen, deterministic=deterministic, **objects)
    if space is None or metric is None:
        raise SpecError("a training function needs space=... and metric=...")
    if trials is None and time_s is None and epochs is None and strategy not in ("grid",):
        raise SpecError("a search needs a budget: trials=..., time_s=... or epochs=...")
    ends = dict(fidelity or {})
    after = _ending(finalists, {name: high for name, (_, high) in ends.items()})
    study = Study(
        Space.of(space).fixed({name: low for name, (low, _) in ends.items()}),
        metric=metric,
        strategy=strategy or "auto",
        stopper=stopper or "none",
        trials=trials,
        time_s=time_s,
        steps=epochs,
        horizon=horizon,
        workers=workers or 1,
        seed=seed or 0,
        value=value or "last",
        first=first,
        retries=retries,
        deterministic=deterministic,
        path=path or _free(Path(dir), name or getattr(task, "__name__", "study").strip("<>")),
    )
    how = {"trial_timeout_s": trial_timeout_s, "fresh": isolation == "process"}
    return _drive(study, lambda: FunctionTask.of(task), executor or "local", workers or 0, screen, after, **how)


def resume(
    path: str | Path,
    *,
    trials: int | str | None = None,
    workers: int = 0,
    screen: Screen | None = None,
    accept_changes: bool = False,
    loggers: Sequence[Described] = (),
) -> Study:
    """Continue the study in the folder `path`: interrupted, killed or finished (`trials="+40"`: with so many more).

    Where the spec's file was edited since, the new budget and workers count. Another space, objective or data is
    refused, unless `accept_changes`: then known trials are kept where they fit into the new space.

    Raises:
        SpecError: it was started from a Python function, which only the program that has it can do again; or spec or
            data were changed.
    """
    from automl import spec

    screen = _logged(screen or _terminal(), loggers)
    with closing(Ledger.read_only(Path(path))) as ledger:
        facts = ledger.facts()
        began = len(ledger)
    kept = facts.get("spec")
    if not kept:
        again = f"automl.search(..., path={str(path)!r})"
        raise SpecError(f"{path} was started from a Python function: run that program again, with {again}")
    tree, notes = provenance.edited(kept, accept_changes)
    if trials is not None:
        more = isinstance(trials, str) and trials.startswith("+")
        tree["budget"]["trials"] = int(trials) + ((facts["plan"]["trials"] or began) if more else 0)
    if workers:
        tree["workers"] = workers
    read = spec.from_json(tree, name=facts["name"], folder=Path(kept["folder"]))
    read = replace(read, text=kept["text"], path=Path(kept["path"]) if kept.get("path") else None)
    known = {"code": facts.get("code", {}), "data": facts.get("data", {})}
    return run_spec(
        read,
        Path(path),
        screen,
        deterministic=facts.get("deterministic", False),
        accept_changes=accept_changes,
        known=known,
        notes=notes,
    )


def run_spec(
    read: "Spec",
    folder: Path,
    screen: Screen | None = None,
    *,
    deterministic: bool = False,
    accept_changes: bool = False,
    known: Mapping[str, Mapping[str, str]] | None = None,
    notes: Sequence[str] = (),
    **objects: Any,
) -> Study:
    """Run (or go on with) the search a spec describes, in `folder`; `objects` stand in for plugins named in it.

    `known`: digests of code and data from when the study was begun.
    """
    digests = {"code": provenance.code(read), "data": provenance.data(read)}
    new = {kind: provenance.changed((known or {}).get(kind, {}), files) for kind, files in digests.items()}
    if new["data"] and not accept_changes:
        raise SpecError(
            f"{', '.join(new['data'])} changed since the study was begun: scores before and after could not be "
            "compared; begin another study, or go on all the same with --accept-spec-change"
        )
    study = Study(
        read.space,
        metric=read.metric,
        strategy=_within(read.constraints, objects.get("strategy", read.strategy)),
        stopper=objects.get("stopper", read.stopper),
        trials=read.plan.trials,
        steps=read.plan.steps,
        time_s=read.plan.time_s,
        horizon=read.plan.horizon,
        workers=read.workers or 1,
        seed=read.seed,
        value=read.value,
        first=list(read.first),
        retries=read.retries,
        deterministic=deterministic,
        accept_changes=accept_changes,
        pool=POOL if read.ensemble and read.finalists else 0,
        path=folder,
        name=folder.name,
        facts={
            "spec": {
                "tree": read.to_json(),
                "text": read.text,
                "folder": str(read.folder.absolute()),
                "path": str(read.path.absolute()) if read.path else None,
            },
            **digests,
        },
    )
    study.notes[:0] = [*read.warnings, *notes]
    if read.ensemble and not read.finalists:
        study.notes.append("ensemble: left out, it is made after the finalists, and finalists are off")
    if files := new["code"] + new["data"]:
        study.notes.append(f"changed since the study was begun: {', '.join(files)}")
    after = None
    if read.finalists:
        top, count = read.finalists["top"], read.finalists["seeds"]
        big = {name: high for name, (_, high) in read.fidelity.items()}
        after = Ending(top, count, refit=read.refit != "none", ensemble=read.ensemble or 0, big=big)
    executor = _placed(objects.get("executor", read.executor or "local"), read.resources, study)
    how = {"trial_timeout_s": read.trial_timeout_s, "fresh": read.isolation == "process"}
    return _drive(study, lambda: task_of(read), executor, read.workers or 0, screen, after, **how)


def _within(constraints: Sequence[str], strategy: Described) -> Described:
    """The strategy, held to the spec's constraints by the plugin that knows how."""
    if not constraints:
        return strategy
    return {"name": "constrained", "constraints": list(constraints), "strategy": strategy}


def _placed(executor: Described, resources: Mapping[str, float], study: Study) -> Described:
    """The executor with what a trial needs, as far as it has options for that; those given to it itself count more."""
    if not resources or not isinstance(executor, str | Mapping):
        return executor
    described = {"name": executor} if isinstance(executor, str) else dict(executor)
    made = plugins.load("executors", described["name"])
    has = {field.name for field in fields(made)} if is_dataclass(made) else set()
    if unused := [name for name in resources if name not in has]:
        study.notes.append(f"resources: executor {described['name']!r} does not use {', '.join(unused)}")
    return {**{name: value for name, value in resources.items() if name in has}, **described}


def task_of(read: "Spec") -> Task:
    """What a spec trains."""
    if read.train:
        return ReferencedTask(read.train, read.folder)
    if read.command:
        return CommandTask(tuple(read.command), (*read.space.names, *read.space.constants), read.folder, read.epochs)
    assert read.model is not None
    assert read.data is not None
    assert read.epochs is not None
    return DescribedTask(
        read.model,
        read.data,
        read.epochs,
        read.metric,
        target=read.target,
        split=read.split,
        prepare=read.prepare,
        folder=read.folder,
        seed=read.seed,
        spec=read.to_json(),
        outputs=bool(read.ensemble and read.finalists),
        patience=read.patience or 0,
        fuse=read.fuse,
        mixes=mixes(read.model, read.space),
        settings={
            "precision": read.precision,
            "compile": read.compile,
            "oom": read.oom,
            "parallel": read.parallel,
            "augment": dict(read.augment),
        },
    )


def _drive(
    study: Study,
    task: Callable[[], Task],
    executor: Described,
    workers: int,
    screen: Screen | None,
    after: Ending | None,
    **how: Any,
) -> Study:
    shown = screen or Blank()
    try:
        made = task()
        held = Held(shown)
        winner.settle(study)
        Driver(study, made, plugins.make("executors", executor), workers, held if after else shown, **how).run()
        if after is not None:
            try:
                conclude(study, made, lambda: plugins.make("executors", executor), workers, after, shown)
            except BaseException:
                shown.finish(study, "interrupted")
                raise
            shown.finish(study, held.outcome)
    except OSError as error:
        raise EnvironmentProblem(f"{error}; what was found up to there is saved") from error
    finally:
        study.close()
    return study


def _terminal() -> Screen | None:
    """The live screen on a terminal; a program whose output goes elsewhere is left in peace."""
    if not sys.stderr.isatty():
        return None
    from automl import view

    return view.screen(block=False)


def _logged(screen: Screen | None, loggers: Sequence[Described]) -> Screen | None:
    """The screen, with loggers told beside it. One that is not installed is an error now, before the search."""
    made = {_told_name(one): plugins.make("loggers", one) for one in loggers}
    return Logged(screen or Blank(), made) if made else screen


def _told_name(described: Described) -> str:
    if isinstance(described, str):
        return described
    return str(described.get("name")) if isinstance(described, Mapping) else type(described).__name__


def _ending(finalists: Mapping[str, int] | bool | None, big: Mapping[str, Value]) -> Ending | None:
    if not finalists:
        if big:
            raise SpecError("fidelity: the finalists are what is trained at the high end: it needs them")
        return None
    asked = {} if finalists is True else dict(finalists)
    wrong = [f"{k}: {v}" for k, v in asked.items() if k not in ("top", "seeds") or type(v) is not int or v < 1]
    if wrong:
        raise SpecError(f'finalists takes {{"top": 5, "seeds": 3}}, numbers from 1 up, not {", ".join(wrong)}')
    return Ending(asked.get("top", Ending.top), asked.get("seeds", Ending.seeds), big=big)


def _plain(described: object) -> bool:
    return isinstance(described, str | Mapping)


def _free(dir: Path, name: str) -> Path:
    """`dir/name`, or `dir/name-2`, `-3`, ... where that exists."""
    folder, k = dir / name, 2
    while folder.exists():
        folder, k = dir / f"{name}-{k}", k + 1
    return folder
