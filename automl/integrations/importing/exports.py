"""Trials from files that programs export: CSV of any program, runs of W&B, snapshots of Ax."""

import ast
import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from automl.core.trial import Metric
from automl.errors import SpecError, did_you_mean
from automl.integrations.importing.rows import Row, looked_up, number

STATES = ("state", "State", "trial_status", "status", "Status")
MOST_BYTES = 2**28


def read_csv(file: Path, metric: Metric) -> list[Row]:
    """A row for each line of a table whose columns are parameters and the metric.

    Raises:
        SpecError: it is no such table, or has no column for the metric.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            table = list(csv.DictReader(stream))
    except (UnicodeDecodeError, csv.Error) as error:
        raise SpecError(f"{file}: cannot be read as CSV ({error})") from None
    if table and {"config", "summary"} <= table[0].keys():
        return [_run(one, metric) for one in map(_of_dicts, table) if one is not None]
    columns = [str(name) for name in (table[0] if table else {}) if name is not None]
    if not table:
        raise SpecError(f"{file}: the table has no rows")
    if not any(looked_up(row, metric.name) is not None or row.get("value") for row in table):
        near = did_you_mean(metric.name, columns)
        raise SpecError(f"{file}: no column for the metric {metric.name!r}{near} (columns: {', '.join(columns[:20])})")
    return [_line({str(k): v for k, v in row.items() if k is not None}, metric) for row in table]


def _of_dicts(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """A row of the table in W&B's documentation, whose cells are Python's dicts as text; None where they are not."""
    try:
        read = {key: ast.literal_eval(str(row[key])) for key in ("config", "summary")}
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return {**row, **read} if all(isinstance(one, dict) for one in read.values()) else None


def _line(row: Mapping[str, Any], metric: Metric) -> Row:
    found = looked_up(row, metric.name)
    state = next((str(row[name]) for name in STATES if row.get(name)), "complete")
    return Row(row, number(row.get("value") if found is None else found), (), state)


def read_json(file: Path, metric: Metric) -> list[Row]:
    """Runs of W&B (a list of `{"config": ..., "summary": ...}`), a snapshot of Ax, or a list of plain mappings.

    Raises:
        SpecError: it is none of these.
    """
    try:
        if file.stat().st_size > MOST_BYTES:
            raise SpecError(f"{file}: larger than {MOST_BYTES} bytes")
        found = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{file}: cannot be read as JSON ({str(error)[:200]})") from None
    if isinstance(found, dict) and isinstance(found.get("experiment"), dict):
        found = found["experiment"]
    if isinstance(found, dict) and "trials" in found:
        return list(_ax(found, metric))
    if isinstance(found, list) and found and all(isinstance(one, dict) for one in found):
        return [_run(one, metric) if "config" in one else _line(one, metric) for one in found]
    raise SpecError(f"{file}: neither W&B's runs, nor a snapshot of Ax, nor a list of mappings")


def _run(run: Mapping[str, Any], metric: Metric) -> Row:
    """One run of W&B, as its API gives it."""
    config = {str(k): v["value"] if isinstance(v, dict) and "value" in v else v for k, v in run["config"].items()}
    summary = run.get("summary") if isinstance(run.get("summary"), dict) else {}
    return Row(_flat(config), number(_deep(summary or {}, metric.name)), (), str(run.get("state", "finished")))


def _flat(config: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dots in its names."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        inner = isinstance(value, dict)
        flat |= _flat(value, f"{before}{name}.") if inner else {f"{before}{name}": value}
    return flat


def _deep(summary: Mapping[str, Any], name: str) -> Any:
    found = summary.get(name)
    if isinstance(found, dict):  # W&B keeps {"min": ..., "last": ...} where it was asked to
        found = next((found[key] for key in ("best", "min", "max", "last") if key in found), None)
    return looked_up(_flat(summary), name) if found is None else found


# -- Ax ----------------------------------------------------------------------------------------------------------------


def _ax(experiment: Mapping[str, Any], metric: Metric) -> Iterator[Row]:
    """The trials of an experiment that Ax has saved as JSON; the arms' means of the metric are their values."""
    means = dict(_means(experiment, metric))
    trials = experiment["trials"]
    for trial in trials.values() if isinstance(trials, dict) else trials:
        status = trial.get("status")
        name = str(status.get("name") if isinstance(status, dict) else status)
        for arm in _arms(trial):
            if isinstance(arm.get("parameters"), dict):
                yield Row(arm["parameters"], means.get(str(arm.get("name"))), (), name)


def _arms(trial: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The arms of a trial, wherever its generator runs have them."""
    runs = [trial.get("generator_run"), *(trial.get("generator_run_structs") or [])]
    for run in runs:
        inner = run.get("generator_run", run) if isinstance(run, dict) else None
        yield from (inner or {}).get("arms") or []


def _means(tree: Any, metric: Metric) -> Iterator[tuple[str, float]]:
    """(arm, mean) of every row of data in a snapshot: tables that are JSON texts inside of the JSON."""
    if isinstance(tree, dict):
        if isinstance(tree.get("value"), str) and "arm_name" in tree["value"]:
            yield from _table(tree["value"], metric)
        for value in tree.values():
            yield from _means(value, metric)
    elif isinstance(tree, Sequence) and not isinstance(tree, str):
        for value in tree:
            yield from _means(value, metric)


def _table(text: str, metric: Metric) -> Iterator[tuple[str, float]]:
    try:
        columns = json.loads(text)
    except ValueError:
        return
    if not isinstance(columns, dict) or not {"arm_name", "metric_name", "mean"} <= columns.keys():
        return
    for key, name in columns["metric_name"].items():
        if name == metric.name and (mean := number(columns["mean"].get(key))) is not None:
            yield str(columns["arm_name"][key]), mean
