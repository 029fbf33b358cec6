"""A search of a specification: of a space.yaml, of a ready-made space, or of what an earlier session kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.api import provenance, trust
from automl.api.begun_from import begun_from
from automl.api.options import SearchOptions
from automl.api.prepared import Search, screen_for
from automl.core import plugins
from automl.core.plugins import Described
from automl.driver.screen import Screen
from automl.errors import SpecError
from automl.evaluation.candidates import FinalistOptions
from automl.evaluation.pack import PackOptions
from automl.executors import devices
from automl.study import winner
from automl.study.study import Study
from automl.tasks.from_spec import task_of

if TYPE_CHECKING:
    from automl.specfile import Spec

MANY = 1_000_000
"""GPUs that are taken to be there where it cannot be known how many are."""


@dataclass(frozen=True)
class Earlier:
    """What is known of a study's earlier sessions.

    Attributes:
        digests: {"code": {file: digest}, "data": {file: digest}} of when the study was begun.
        notes: what the user is to know about the difference.
        accept_changes: go on although the space, the objective or the data are others now.
        origin: what `trust` has written into the ledger.
    """

    digests: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    accept_changes: bool = False
    origin: object = None


def prepare_file(file: str | Path, options: SearchOptions) -> Search:
    """The search of `automl.search("space.yaml", ...)`, or of a ready-made space, ready to run.

    Raises:
        SpecError: the spec or an option is wrong.
    """
    from automl import specfile

    screen = screen_for(options.screen, options.loggers)
    own = "executor" in options.plugin_objects  # an executor of the caller's own knows its devices, we do not
    read = specfile.read(file, overrides=options.spec_entries, gpus=(lambda: MANY) if own else devices.count)
    with options.folder(read.name) as folder:
        return prepare(read, folder, screen, deterministic=options.deterministic, objects=options.plugin_objects)


def prepare(
    read: "Spec",
    folder: Path,
    screen: Screen | None = None,
    *,
    deterministic: bool = False,
    objects: Mapping[str, Described] | None = None,
    earlier: Earlier | None = None,
) -> Search:
    """The search that `read` describes, ready to run (or to go on) in `folder`.

    Args:
        objects: plugins that replace those named in the spec, by kind: strategy, stopper, executor.
        earlier: what is known of the study's earlier sessions.

    Raises:
        SpecError: the data are not those that the study was begun with, or an option is wrong.
    """
    objects, earlier = objects or {}, earlier or Earlier()
    digests = {"code": provenance.code(read), "data": provenance.data(read)}
    notes = [*read.warnings, *earlier.notes]
    if read.ensemble and not read.finalists:
        notes.append("ensemble: left out, it is made after the finalists, and finalists are off")
    if changed := _changed(read.folder, digests, earlier):
        notes.append(f"changed since the study was begun: {', '.join(changed)}")
    executor, unused = placed(objects.get("executor", read.executor or "local"), read.resources)
    if unused:
        notes.append(unused)
    kept = provenance.recorded_spec(read, folder)
    facts: dict[str, Any] = {"spec": kept, **digests, trust.FACT: trust.origin(earlier.origin, kept["tree"])}
    begun = begun_from(read, task_of(read), folder)
    facts |= {**begun.facts, "price": read.price}
    facts["step"] = {name: value for name, value in read.steps.items() if name != "number"} or {"epochs": 1}
    study = study_of(read, folder, objects, facts, deterministic=deterministic, accept_changes=earlier.accept_changes)
    study.notes[:0] = [*notes, *begun.notes]
    return Search(
        study,
        begun.task,
        executor,
        read.workers or 0,
        screen,
        _finalists(read),
        trial_timeout_s=read.trial_timeout_s,
        fresh=read.isolation == "process",
        pack=PackOptions(**read.pack) if read.pack else None,
    )


def _changed(folder: Path, digests: Mapping[str, Mapping[str, str]], earlier: Earlier) -> list[str]:
    """Files of code and data that are not what they were when the study was begun.

    Raises:
        SpecError: some of them are data, and that is not accepted.
    """
    code, data = (
        [str(folder / file) for file in provenance.changed(earlier.digests.get(kind, {}), digests[kind])]
        for kind in ("code", "data")
    )
    if data and not earlier.accept_changes:
        raise SpecError(
            f"{', '.join(data)} changed since the study was begun: scores before and after could not be "
            "compared; begin another study, or go on all the same with --accept-spec-change"
        )
    return code + data


def study_of(
    read: "Spec",
    folder: Path | None,
    objects: Mapping[str, Described],
    facts: Mapping[str, Any],
    *,
    deterministic: bool = False,
    accept_changes: bool = False,
) -> Study:
    """The study that `read` describes, in `folder`; None: in memory. For the arguments see `prepare`."""
    strategy = objects.get("strategy", read.strategy)
    if read.constraints:  # kept by the plugin that knows how
        strategy = {"name": "constrained", "constraints": list(read.constraints), "strategy": strategy}
    return Study(
        read.space,
        metric=read.objectives,
        strategy=strategy,
        stopper=objects.get("stopper", read.stopper),
        trials=read.plan.trials,
        steps=read.plan.steps,
        time_s=read.plan.time_s,
        horizon=read.plan.horizon,
        unit=read.plan.unit,
        workers=read.workers or 1,
        seed=read.seed,
        value=read.value,
        first=list(read.first),
        warm=[{**one, "study": str(read.folder / one["study"]), "written": one["study"]} for one in read.warm],
        retries=read.retries,
        deterministic=deterministic,
        accept_changes=accept_changes,
        pool=winner.POOL if read.pack or (read.ensemble and read.finalists) else 0,
        path=folder,
        name=folder.name if folder else read.name,
        facts=facts,
    )


def _finalists(read: "Spec") -> FinalistOptions | None:
    if not read.finalists:
        return None
    return FinalistOptions(
        read.finalists["top"],
        read.finalists["seeds"],
        refit=read.refit != "none",
        ensemble=read.ensemble or 0,
        target_fidelity={name: high for name, (_, high) in read.fidelity.items()},
    )


def placed(executor: Described, resources: Mapping[str, Any]) -> tuple[Described, str]:
    """The executor with what a trial needs, and a note on what it cannot use (or an empty text).

    Options that are given to the executor itself count more.
    """
    if not resources or not isinstance(executor, str | Mapping):
        return executor, ""
    described = {"name": executor} if isinstance(executor, str) else dict(executor)
    made = plugins.load("executors", described["name"])
    known = {field.name for field in fields(made)} if is_dataclass(made) else set()
    unused = [name for name in resources if name not in known]
    note = f"resources: executor {described['name']!r} does not use {', '.join(unused)}" if unused else ""
    return {**{name: value for name, value in resources.items() if name in known}, **described}, note
