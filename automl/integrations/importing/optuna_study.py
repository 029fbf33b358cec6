"""Trials of an Optuna study, from its database (SQLite) or its journal."""

import warnings
from pathlib import Path
from typing import Any

from automl.core.trial import Metric
from automl.errors import EnvironmentProblem, SpecError, did_you_mean
from automl.integrations.importing.rows import Row

SQLITE = b"SQLite format 3\0"


def is_one(file: Path, start: bytes) -> bool:
    """Whether a file that begins with `start` is one of Optuna's storages."""
    return start.startswith(SQLITE) or (file.suffix in (".log", ".journal") and b"op_code" in start)


def read(file: Path, metric: Metric, study: str | None) -> list[Row]:
    """The trials of a study; of several objectives, the first one counts.

    Args:
        file: the storage.
        metric: what trials are ranked on here; its direction must be the study's.
        study: its name; None: the only one of the storage.

    Raises:
        SpecError: the storage has no such study, or its direction is another.
        EnvironmentProblem: optuna is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise EnvironmentProblem("an import from Optuna's storage needs optuna: pip install optuna") from None
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna calls the journal experimental
            storage = _storage(file)
            names = sorted(optuna.get_all_study_names(storage))
            opened = optuna.load_study(study_name=_chosen(file, names, study), storage=storage)
            if len(opened.directions) > 1:
                raise SpecError(f"{file}: it has several objectives; only one is imported")
            direction = opened.directions[0].name.lower()
            trials = opened.get_trials(deepcopy=False)
    except SpecError:
        raise
    except Exception as error:  # SQLAlchemy's and Optuna's own
        first = (str(error).splitlines() or [""])[0]
        raise SpecError(f"{file}: Optuna cannot read it ({type(error).__name__}: {first:.200})") from None
    finally:
        optuna.logging.set_verbosity(before)
    if direction != metric.direction:
        raise SpecError(f"{file}: this study is to {direction}, but {metric.name} is to {metric.direction} here")
    return [_row(trial) for trial in trials]


def _storage(file: Path) -> Any:
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    with file.open("rb") as stream:
        if stream.read(16) == SQLITE:
            return RDBStorage(f"sqlite:///{file.absolute()}", skip_table_creation=True)
    return JournalStorage(JournalFileBackend(str(file)))


def _chosen(file: Path, names: list[str], study: str | None) -> str:
    if study is None and len(names) == 1:
        return names[0]
    if study in names:
        return str(study)
    have = ", ".join(names[:10]) or "none"
    if study is None:
        raise SpecError(f"{file}: it has {len(names)} studies; say which with --study ({have})")
    raise SpecError(f"{file}: there is no study {study!r}{did_you_mean(study, names)} (studies: {have})")


def _row(trial: Any) -> Row:
    curve = sorted((int(step), float(value)) for step, value in trial.intermediate_values.items())
    value = trial.values[0] if trial.values else curve[-1][1] if curve else None
    return Row(dict(trial.params), value, curve, trial.state.name)
