"""From what is to be trained to a finished study: what `automl.search` and `automl.resume` do."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.api import provenance
from automl.core import plugins
from automl.core.space import Space, Value
from automl.driver.driver import Driver
from automl.driver.screen import NullScreen, DeferredScreen, Screen
from automl.errors import EnvironmentProblem, SpecError
from automl.evaluation import finalists as final
from automl.evaluation.candidates import FinalistOptions
from automl.integrations.loggers import Logged
from automl.study import winner
from automl.study.ledger import Ledger
from automl.study.study import Described, Study
from automl.tasks.from_spec import task_of
from automl.tasks.function import FunctionTask
from automl.worker.worker import Task

if TYPE_CHECKING:
    from automl.specfile import Spec
    from automl.worker.trial import Trial


Place = str | Path | tuple[Path, str | None]  # the study's folder, or the folder of studies and a name


def run_file(
    file: str | Path,
    given: Mapping[str, Any],
    overrides: Mapping[str, Any],
    place: Place,
    screen: Screen | None,
    *,
    deterministic: bool,
) -> Study:
    """Run the search of a spec file or preset. `given`: entries that stand in for the file's, plugins also as objects;
    `overrides` go before both."""
    from automl import specfile

    kinds = ("strategy", "stopper", "executor")
    objects = {key: given[key] for key in kinds if key in given and not isinstance(given[key], str | Mapping)}
    entries = {key: entry for key, entry in given.items() if key not in objects}
    read = specfile.read(file, overrides={**entries, **overrides})
    return run_spec(read, _folder(place, read.name), screen, deterministic=deterministic, **objects)


def run_function(
    task: "Callable[[Trial], object]",
    space: Space | Mapping[str, Any] | None,
    *,
    place: Place,
    executor: Described,
    workers: int | None,
    screen: Screen | None,
    finalists: Mapping[str, int] | bool | None,
    fidelity: Mapping[str, tuple[float, float]],
    trial_timeout_s: float | None,
    isolation: str,
    **options: Any,
) -> Study:
    """Search with a training function; `options` are the study's."""
    if space is None or options["metric"] is None:
        raise SpecError("a training function needs space=... and metric=...")
    budget = [options[name] for name in ("trials", "time_s", "steps")]
    if budget == [None] * 3 and options["strategy"] != "grid":
        raise SpecError("a search needs a budget: trials=..., time_s=... or epochs=...")
    after = _ending(finalists, {name: high for name, (_, high) in fidelity.items()})
    study = Study(
        Space.of(space).fixed({name: low for name, (low, _) in fidelity.items()}),
        workers=workers or 1,
        path=_folder(place, getattr(task, "__name__", "study").strip("<>")),
        **options,
    )
    how = {"trial_timeout_s": trial_timeout_s, "fresh": isolation == "process"}
    return _drive(study, lambda: FunctionTask.of(task), executor, workers or 0, screen, after, **how)


def run_again(path: Path, trials: int | str | None, workers: int, screen: Screen | None, accept_changes: bool) -> Study:
    """Go on with the study in `path`, see `automl.resume`."""
    from automl import specfile

    with closing(Ledger.read_only(path)) as ledger:
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
    read = specfile.from_json(tree, name=facts["name"], folder=Path(kept["folder"]))
    read = replace(read, text=kept["text"], path=Path(kept["path"]) if kept.get("path") else None)
    known = {"code": facts.get("code", {}), "data": facts.get("data", {})}
    return run_spec(
        read,
        path,
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
        pool=winner.POOL if read.ensemble and read.finalists else 0,
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
        refit, size = read.refit != "none", read.ensemble or 0
        after = FinalistOptions(top, count, refit=refit, ensemble=size, target_fidelity=big)
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


def _drive(
    study: Study,
    task: Callable[[], Task],
    executor: Described,
    workers: int,
    screen: Screen | None,
    after: FinalistOptions | None,
    **how: Any,
) -> Study:
    shown = screen or NullScreen()
    try:
        made = task()
        held = DeferredScreen(shown)
        winner.recover(study)
        Driver(study, made, plugins.make("executors", executor), workers, held if after else shown, **how).run()
        if after is not None:
            try:
                final.run(study, made, lambda: plugins.make("executors", executor), workers, after, shown)
            except BaseException:
                shown.finish(study, "interrupted")
                raise
            shown.finish(study, held.outcome)
    except OSError as error:
        raise EnvironmentProblem(f"{error}; what was found up to there is saved") from error
    finally:
        study.close()
    return study


def told(screen: Screen | None, loggers: Sequence[Described]) -> Screen | None:
    """What a search is shown on: `screen`, or the live one on a terminal (a program whose output goes elsewhere is left
    in peace), with loggers told beside it. One that is not installed is an error now, before the search."""
    if screen is None and sys.stderr.isatty():
        from automl.view.screens import choose

        screen = choose.screen(block=False)
    made = {_told_name(one): plugins.make("loggers", one) for one in loggers}
    return Logged(screen or NullScreen(), made) if made else screen


def _told_name(described: Described) -> str:
    if isinstance(described, str):
        return described
    return str(described.get("name")) if isinstance(described, Mapping) else type(described).__name__


def _ending(finalists: Mapping[str, int] | bool | None, big: Mapping[str, Value]) -> FinalistOptions | None:
    if not finalists:
        if big:
            raise SpecError("fidelity: the finalists are what is trained at the high end: it needs them")
        return None
    asked = {} if finalists is True else dict(finalists)
    wrong = [f"{k}: {v}" for k, v in asked.items() if k not in ("top", "seeds") or type(v) is not int or v < 1]
    if wrong:
        raise SpecError(f'finalists takes {{"top": 5, "seeds": 3}}, numbers from 1 up, not {", ".join(wrong)}')
    default = FinalistOptions()
    return FinalistOptions(asked.get("top", default.top), asked.get("seeds", default.seeds), target_fidelity=big)


def _folder(place: Place, name: str) -> Path:
    """Where the study is kept: a new folder, or the one that was given."""
    if isinstance(place, tuple):
        folder, given = place
        return _free(folder, given or name)
    return Path(place)


def _free(dir: Path, name: str) -> Path:
    """`dir/name`, or `dir/name-2`, `-3`, ... where that exists."""
    folder, k = dir / name, 2
    while folder.exists():
        folder, k = dir / f"{name}-{k}", k + 1
    return folder
