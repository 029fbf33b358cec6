"""The search that `hydra/sweeper=automl` runs, from Hydra's config to `optimization_results.yaml`."""

import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.core.files import as_name
from automl.core.objectives.goals import Objectives
from automl.core.parameters import Float
from automl.core.space import Space
from automl.errors import AutoMLError, SearchFailed, SpecError
from automl.sweeping.groups import conditional
from automl.sweeping.job import Job
from automl.sweeping.overrides import Swept, read

if TYPE_CHECKING:
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig

    from automl.core.trial import TrialRecord
    from automl.study.study import Study

RESULTS = "optimization_results.yaml"
ALIASES = {"n_trials": "trials", "n_jobs": "workers"}
UNUSED = ("storage", "study_name", "sampler", "max_failure_rate")
SAME = ("trials", "epochs", "strategy", "stopper", "workers", "seed", "value", "horizon", "retries", "isolation",
        "deterministic")  # fmt: skip
"""Keys that are options of `automl.search` as they are."""

log = logging.getLogger("automl")


def sweep(
    context: "HydraContext", task: "TaskFunction", config: "DictConfig", arguments: Sequence[str],
    options: Mapping[str, Any],
) -> None:  # fmt: skip
    """Search until the budget is used up; what was found is in `hydra.sweep.dir`, a killed sweep goes on there.

    Args:
        context, task, config: as Hydra gives them to sweepers.
        arguments: overrides of the command line.
        options: the keys of `hydra.sweeper`.

    Raises:
        SystemExit: with automl's exit code, after the message of an error of the user's.
    """
    try:
        run(context, task, config, arguments, options)
    except AutoMLError as error:
        log.error("%s", error)
        raise SystemExit(error.exit_code) from error


def run(
    context: "HydraContext", task: "TaskFunction", config: "DictConfig", arguments: Sequence[str],
    options: Mapping[str, Any],
) -> "Study":  # fmt: skip
    """The same, with errors raised; returns the study, closed.

    Raises:
        AutoMLError: see `automl.search`; a `SearchFailed` also where every job failed.
    """
    from hydra.core.singleton import Singleton
    from hydra.core.utils import configure_log, setup_globals

    from automl.api.doors import prepared
    from automl.api.options import SearchOptions
    from automl.view.screens import choose

    begun_s = time.monotonic()
    setup_globals()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    options = _own_names(options)
    objectives = _objectives(options["metric"], options["direction"])
    loader = context.config_loader
    swept = conditional(read(arguments, options["params"] or {}, options["space"] or {}, loader), loader, config)
    if not swept.space.params:
        raise SpecError("nothing is swept: give values such as model.lr=0.1,0.01, or hydra.sweeper.params, or .space")
    for sentence in fractions(swept.space, config):
        log.warning("%s", sentence)
    folder = Path(str(config.hydra.sweep.dir)).absolute()
    study = folder / as_name(str(config.hydra.job.name))
    job = Job(context, task, config, Singleton.get_state(), swept, str(folder), objectives.names)
    search = prepared(job, SearchOptions(
        space=swept.space, metric=objectives, path=study, finalists=None, screen=choose.screen(block=False),
        **_search_options(options, swept),
    ), begun_s)  # fmt: skip
    _announce(config, study)
    found = search.run()
    _write(found, swept, folder / RESULTS)
    if found.winner is None and (failed := found.history.failed):
        message = failed[-1].failure.message if failed[-1].failure else ""
        raise SearchFailed(f"no job has a result, {len(failed)} failed; the last one: {message}")
    return found


def fractions(space: Space, config: "DictConfig") -> list[str]:
    """A sentence for each key that is a whole number in the config and is swept as a real one: often a slip."""
    from omegaconf import OmegaConf

    found = []
    for name, p in space.params.items():
        value = OmegaConf.select(config, name, throw_on_missing=False)
        if isinstance(p, Float) and isinstance(value, int) and not isinstance(value, bool):
            found.append(f"{name} is {value} in the config; interval() gives fractions, int(interval()) whole numbers")
    return found


def _own_names(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options without the names that Hydra's Optuna sweeper has for them."""
    own = dict(options)
    for other, name in ALIASES.items():
        if own.get(other) is not None and own.get(name) is None:
            own[name] = own[other]
    for name in (name for name in UNUSED if own.get(name) is not None):
        log.warning("hydra.sweeper.%s is of the Optuna sweeper, and not used here", name)
    return own


def _objectives(metric: Any, direction: Any) -> Objectives:
    """The objectives; a direction counts for the metrics that have none of their own.

    Raises:
        SpecError: there are not as many directions as metrics.
    """
    entries = metric if isinstance(metric, list) else [metric]
    directions = direction if isinstance(direction, list) else [direction] * len(entries)
    if len(entries) == 1 and len(directions) > 1 and metric == "value":
        entries = [f"value_{k}" for k in range(len(directions))]
    if len(directions) != len(entries):
        raise SpecError(f"hydra.sweeper: {len(directions)} directions for {len(entries)} metrics")
    described = [
        {"name": entry, "direction": way} if isinstance(entry, str) else entry
        for entry, way in zip(entries, directions, strict=True)
    ]
    return Objectives.of(described)


def _search_options(options: Mapping[str, Any], swept: Swept) -> dict[str, Any]:
    """Options of `automl.search`; without a budget every combination is tried, where there are finitely many."""
    from automl.specfile.grammar import seconds

    given = {name: options[name] for name in SAME if options.get(name) is not None}
    for key, name in (("time", "time_s"), ("trial_timeout", "trial_timeout_s")):
        if options.get(key) is not None:
            try:
                given[name] = seconds(options[key])
            except ValueError as error:
                raise SpecError(f"hydra.sweeper.{key}: {error}") from None
    if not {"trials", "time_s", "epochs", "strategy"} & set(given):
        endless = [name for name, p in swept.space.params.items() if p.size == float("inf")]
        if endless:
            raise SpecError(f"hydra.sweeper.trials: {endless[0]} is a range of real numbers, so a budget is needed: "
                            "hydra.sweeper.trials=50")  # fmt: skip
        given["strategy"] = "grid"
    return {**given, "executor": options.get("executor"), "loggers": options.get("loggers") or ()}


def _announce(config: "DictConfig", study: Path) -> None:
    launcher = str(config.hydra.launcher.get("_target_", ""))
    if launcher and not launcher.endswith("BasicLauncher"):
        log.warning("hydra/launcher is not used: automl's executor starts the jobs (hydra.sweeper.executor, .workers)")
    folder = os.path.relpath(study.parent)
    log.info("study: %s (look at it with: automl top %s)", os.path.relpath(study), os.path.relpath(study))
    log.info("a sweep that was ended goes on with the same command and hydra.sweep.dir=%s", folder)


def _write(study: "Study", swept: Swept, file: Path) -> None:
    """The best job's overrides and result, as Hydra's sweepers write them; several objectives: one for each optimum."""
    from omegaconf import OmegaConf

    best = study.winner
    if best is None or best.loss is None:
        return
    content: dict[str, Any] = {"name": "automl"}
    if study.history.objectives.several:
        content["solutions"] = [_solution(study, record) for record in study.history.front()]
    else:
        content |= _solution(study, best)
    OmegaConf.save(OmegaConf.create(content), file)
    log.info("best: job %d, %s", best.number, " ".join(swept.overrides(best.config)))


def _solution(study: "Study", record: "TrialRecord") -> dict[str, Any]:
    objectives = study.history.objectives
    values = list(objectives.values(record.vector).values()) if objectives.several else None
    return {
        "best_evaluated_params": {k: list(v) if isinstance(v, tuple) else v for k, v in record.config.items()},
        "best_evaluated_result": values or study.metric.value(record.loss or 0.0),
        "job": record.number,
    }
