"""Runs the search of a table, and collects what is left of it: the winner, the leaderboard, the scores."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml

from automl.api import doors
from automl.api.options import SearchOptions
from automl.errors import SpecError
from automl.estimators.recipe import Kind, recipe

if TYPE_CHECKING:
    from automl.bundle.ensemble import Ensemble
    from automl.bundle.model import Model
    from automl.driver.screen import Screen
    from automl.study.study import Study

TRIALS = 30
"""Trials where neither these nor a time are given."""


@dataclass(frozen=True)
class Done:
    """A finished search.

    Attributes:
        study: closed.
        folder: of the study.
        model: the winner; most often an ensemble.
        leaderboard: a row for each trial, the best first.
        scores: of the winner, by name.
    """

    study: "Study"
    folder: Path
    model: "Model | Ensemble"
    leaderboard: pd.DataFrame
    scores: dict[str, Any]


def search_table(
    table: Path, target: str | list[str], kind: Kind, *, dir: Path, name: str, here: bool = False,
    metric: str | None = None, time_s: float | None = None, trials: int | None = None, epochs: int | None = None,
    seed: int = 0, workers: int | None = None, prepare: Mapping[str, Any] | None = None, screen: "Screen | None" = None,
    begun_s: float | None = None,
) -> Done:  # fmt: skip
    """Search for the best model of a table.

    Writes `dir/name.yaml`, the specification, which `automl search` takes too.

    Args:
        table: the file it lies in.
        target: the column to predict, or several columns of numbers.
        kind: of the target.
        dir, name: the study's folder is `dir/name`.
        here: train in this process alone.
        metric, time_s, trials, epochs, seed, prepare: see `recipe`.
        workers: processes; None: one for each core.
        screen: shows the search.
        begun_s: since when the time counts, of `time.monotonic`; None: since now.

    Raises:
        AutoMLError: the search cannot begin or has no winner.
    """
    begun_s = time.monotonic() if begun_s is None else begun_s
    dir.mkdir(parents=True, exist_ok=True)
    if time_s is None and trials is None:
        trials = TRIALS
    entries = recipe(
        str(table.resolve()), target, kind, _rows(table), name=name, metric=metric, time_s=time_s, trials=trials,
        epochs=epochs, seed=seed, prepare=prepare, size=table.stat().st_size,
    )  # fmt: skip
    spec = dir / f"{name}.yaml"
    spec.write_text(yaml.safe_dump(entries, sort_keys=False, allow_unicode=True), encoding="utf-8")
    options = SearchOptions(dir=dir, name=name, workers=workers, screen=screen, executor="inline" if here else None)
    return _collected(doors.prepared(spec, options, begun_s).run())


def _collected(study: "Study") -> Done:
    from automl.bundle.loading import load

    folder = study.path
    if folder is None or study.winner is None:
        raise SpecError("the search has no winner: no trial came to a score; give it more time or trials")
    return Done(study, folder, load(folder), _leaderboard(study), _scores(study))


def _scores(study: "Study") -> dict[str, float]:
    """The winner's scores on validation and test rows, where they have a value."""
    name, verdict = study.metric.name.removeprefix("val_"), study.verdict or {}
    found, best = (verdict.get("ensemble") or {}).get("val"), study.winner
    if found is None and best is not None and best.loss is not None:
        found = study.metric.value(best.loss)
    values = {f"val_{name}": found, f"test_{name}": (verdict.get("test") or {}).get("value")}
    return {key: float(value) for key, value in values.items() if value is not None}


def _leaderboard(study: "Study") -> pd.DataFrame:
    """A row for each trial that has a value, the best first."""
    board = study.frame()
    board = board[board["rank"].notna()].drop(columns=["rank", "seconds", "reason"])
    return board.rename(columns={"step": "steps"}).reset_index(drop=True)


def _rows(file: Path) -> int:
    """The rows of a table, estimated from its size: only their order of magnitude is needed."""
    from automl.data.reading.readers import is_parquet

    if is_parquet(file):
        import pyarrow.parquet

        return int(pyarrow.parquet.ParquetFile(file).metadata.num_rows)
    with file.open("rb") as stream:
        head = stream.read(1 << 20)
    lines = max(1, head.count(b"\n"))
    return int(file.stat().st_size / (len(head) / lines))


def written(frame: pd.DataFrame, file: Path) -> Path:
    """Write a table to the Parquet file `file`, in a folder that is made; mixed columns become text. Returns `file`."""
    made = frame.copy(deep=False)
    for name in made.columns:
        column = made[name]
        if column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) not in ("string", "empty"):
            made[name] = column.map(str, na_action="ignore")
        elif column.dtype == np.float16:
            made[name] = column.astype("float32")
    file.parent.mkdir(parents=True, exist_ok=True)
    made.to_parquet(file, index=False)
    return file
