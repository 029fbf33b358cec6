"""A study as an Optuna study in a journal file, for optuna-dashboard and Optuna's own plots."""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.core.space import Choice, Float, Parameter, Value
from automl.core.trial import State, TrialRecord
from automl.errors import EnvironmentProblem, SpecError
from automl.study.reader import Readable

if TYPE_CHECKING:
    import optuna

STATES = {
    State.DONE: "COMPLETE",
    State.STOPPED: "PRUNED",
    State.FAILED: "FAIL",
    State.RUNNING: "RUNNING",
    State.PAUSED: "WAITING",
}


def export(study: Readable, file: Path, *, began: datetime | None = None) -> int:
    """Write all trials with values, curves, times and reasons into an Optuna journal.

    Args:
        file: the journal, which must not exist.
        began: when the study began, for the dates; default: as long ago as it has been driven.

    Returns:
        how many trials there are.

    Raises:
        SpecError: `file` exists.
        EnvironmentProblem: optuna is not installed.
    """
    if file.exists():
        raise SpecError(f"{file} exists; choose another name")
    began = began or datetime.now() - timedelta(seconds=study.elapsed_s)
    with quiet():
        import optuna

        objectives = study.history.objectives.metrics
        ways = [metric.direction for metric in objectives]
        target = optuna.create_study(storage=journal(file), study_name=study.name, directions=ways)
        target.set_metric_names([metric.name for metric in objectives])
        for record in study.history.trials:
            target.add_trial(frozen(study, record, began))
    return len(study.history)


@contextmanager
def quiet() -> Iterator[None]:
    """Optuna says nothing, neither of new studies nor that a part of it is experimental.

    Raises:
        EnvironmentProblem: it is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise EnvironmentProblem("optuna is not installed: pip install optuna") from None
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)


def journal(file: Path) -> "optuna.storages.JournalStorage":
    """The journal in a file, a new one where there is none."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    return optuna.storages.JournalStorage(JournalFileBackend(str(file)))


def frozen(study: Readable, record: TrialRecord, began: datetime) -> "optuna.trial.FrozenTrial":
    """A trial as Optuna's. Constants and the reason why it ended become user attributes."""
    import optuna

    params = {n: v for n, v in record.config.items() if n in study.space.params}
    attributes: dict[str, Any] = {n: v for n, v in record.config.items() if n not in params}
    attributes["state"] = record.state.value
    if record.reason:
        attributes["reason"] = record.reason
    if record.failure is not None:
        attributes["failure"] = f"{record.failure.kind}: {record.failure.message}"
    objectives = study.history.objectives
    scored = record.loss is not None and record.state in (State.DONE, State.STOPPED)
    values = [study.metric.value(record.loss)] if scored and record.loss is not None else None
    if record.vector:
        known = objectives.values(record.vector)
        full = record.state is State.DONE  # Optuna's trials with several values are not stopped early
        values = [known[metric.name] for metric in objectives.metrics] if full else None
        attributes["values"] = known
    times: dict[str, Any] = {"datetime_start": began + timedelta(seconds=record.started_s)}
    if record.state.ended:
        times["datetime_complete"] = began + timedelta(seconds=record.ended_s or record.started_s)
    return optuna.trial.FrozenTrial(
        number=record.number,
        trial_id=record.number,
        state=optuna.trial.TrialState[STATES[record.state]],
        value=None,
        values=values,
        datetime_start=times["datetime_start"],
        datetime_complete=times.get("datetime_complete"),
        params={n: theirs(study.space.params[n], v) for n, v in params.items()},
        distributions={n: distribution(study.space.params[n]) for n in params},
        user_attrs=attributes,
        system_attrs={},
        intermediate_values={} if objectives.several else {s: study.metric.value(loss) for s, loss in record.curve},
    )


def theirs(p: Parameter, value: Value) -> Any:
    """A value as Optuna keeps it: lists and tuples as JSON; all as JSON where the choice has both 1 and true."""
    if not isinstance(p, Choice):
        return value
    items = any(isinstance(one, list | tuple) for one in p.choices)
    alike = not items and len(set(p.choices)) < len(p.choices)  # for Python, and so for Optuna, 1 == True
    return json.dumps(value) if alike or isinstance(value, list | tuple) else value


def distribution(p: Parameter) -> "optuna.distributions.BaseDistribution":
    """A parameter as Optuna describes it."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(p, Choice):
        return CategoricalDistribution([theirs(p, value) for value in p.choices])
    if isinstance(p, Float):
        return FloatDistribution(p.low, p.high, log=p.log, step=p.step)
    return IntDistribution(p.low, p.high, log=p.log, step=p.step)
