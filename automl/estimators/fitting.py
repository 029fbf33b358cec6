"""`automl.fit`: a model from a table and the name of the column to predict."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from automl.core.files import as_name
from automl.data.survey import Survey, survey
from automl.data.targets import names_of
from automl.errors import DataError, did_you_mean
from automl.estimators.estimator import AutoMLClassifier, AutoMLRegressor
from automl.estimators.run import Done, search_table, written

if TYPE_CHECKING:
    from automl.driver.screen import Screen


def fit(
    data: pd.DataFrame | str | Path, target: str | Sequence[str], *, time_s: float | None = 60.0,
    trials: int | None = None, metric: str | None = None, epochs: int | None = None, seed: int = 0,
    workers: int | None = None, dir: str | Path = "studies", name: str | None = None, screen: "Screen | None" = None,
) -> AutoMLClassifier | AutoMLRegressor:  # fmt: skip
    """Search for the best model of a table.

    The search is an ordinary study in `dir/name`: it is crash-safe, `automl top`, `report` and `resume` take it, and
    `dir/name.yaml` is its specification, to be changed where you want more control.

    Args:
        data: the table, or the path of a CSV, TSV or Parquet file.
        target: the column to predict. Few different values or text: classes; else numbers. Or several columns of
            numbers, which one model predicts; a row may lack some of them.
        time_s: seconds for all of it, from reading the table to the saved winner; None: no limit.
        trials: how many configs are tried; None: as many as fit into the time.
        metric: that trials are ranked on, such as "val_auroc"; None: accuracy, or the root mean squared error; of
            several targets the mean of their R2.
        epochs: of a full training; None: by the number of rows.
        seed: of all random numbers.
        workers: processes; None: one for each core.
        dir, name: where the study is kept; a name that exists gets a number.
        screen: shows the search.

    Returns:
        A fitted estimator: `predict`, `predict_proba`, `leaderboard()`, `scores_`, `model_`, `study_`.

    Raises:
        DataError: the table cannot be read, has no such column, or no such target can be learned.
        AutoMLError: the search cannot begin or has no winner.

    Example:
        >>> model = automl.fit("customers.csv", "churned", time_s=120)
        >>> model.predict(pandas.read_csv("new.csv"))
    """
    names = [target] if isinstance(target, str) else names_of(target)
    done, seen = search_data(
        data if isinstance(data, pd.DataFrame) else Path(data), names, dir=Path(dir), name=name, metric=metric,
        time_s=time_s, trials=trials, epochs=epochs, seed=seed, workers=workers, screen=screen,
    )  # fmt: skip
    options: dict[str, Any] = {"time_s": time_s, "trials": trials, "metric": metric, "epochs": epochs,
                               "random_state": seed, "workers": workers, "dir": str(dir),
                               "name": done.folder.name}  # fmt: skip
    made = AutoMLRegressor(**options) if seen.task == "regression" else AutoMLClassifier(**options)
    return made.keep(done, [column for column in seen.names if column not in names])


def search_data(
    data: pd.DataFrame | Path, targets: Sequence[str], *, dir: Path, name: str | None = None, time_s: float | None,
    trials: int | None = None, metric: str | None = None, epochs: int | None = None, seed: int = 0,
    workers: int | None = None, screen: "Screen | None" = None, begun_s: float | None = None,
) -> tuple[Done, Survey]:  # fmt: skip
    """What `fit` does, without the estimator: (the finished search, what the table looks like).

    Raises:
        AutoMLError: see `fit`.
    """
    begun_s = time.monotonic() if begun_s is None else begun_s
    target, *others = names_of(targets)
    if isinstance(data, pd.DataFrame):
        for one in targets:
            _check(one, data.columns)
        free = _free(dir, as_name(name or "table"))
        table = written(data, dir / f"{free}.parquet")
        seen = survey(table, target)
    else:
        table, seen = data, survey(data, target)
        for one in others:
            _check(one, seen.names)
        free = _free(dir, as_name(name or table.stem.split(".")[0]))
    wanted: str | list[str] = [target, *others] if others else target
    if others:
        seen = replace(seen, task="regression", prepare={k: v for k, v in seen.prepare.items() if k != "types"})
    done = search_table(
        table, wanted, seen.task, dir=dir, name=free, metric=metric, time_s=time_s, trials=trials, epochs=epochs,
        seed=seed, workers=workers, screen=screen, prepare={key: value for key, (value, _) in seen.prepare.items()},
        begun_s=begun_s,
    )  # fmt: skip
    return done, seen


def _check(name: str, known: Iterable[Any]) -> None:
    known = [str(column) for column in known]
    if name not in known:
        raise DataError(f"target: the table has no column {name!r}{did_you_mean(name, known)}")


def _free(folder: Path, name: str) -> str:
    """`name`, or `name-2`, `name-3`, ...: the first for which neither a study nor a specification is there."""
    k, free = 1, name
    while any((folder / f"{free}{ending}").exists() for ending in ("", ".yaml", ".parquet")):
        k += 1
        free = f"{name}-{k}"
    return free
