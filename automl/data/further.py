"""Rows that come after the training, with their true answers, read as the model's own training rows were read."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from automl.data.cells import deciding, numbers, readings, words
from automl.data.prepared import Part
from automl.data.preparing import given, series_pairs, transform
from automl.data.reading import sources
from automl.data.rows import columns_kept_out, times_of
from automl.data.targets import label_of
from automl.errors import DataError, did_you_mean

Preparation = dict[str, Any]


@dataclass(frozen=True)
class Labelled:
    """Rows with their true answers; N: their number.

    Attributes:
        rows: unprepared: a DataFrame, or an array [N, ...]; of a series the prepared windows [N, window, features].
        y: [N] labels (classification), or [N, D] values in the data's own unit.
        weight: [N] of the column of weights, None without one.
        order: [N] numbers by which rows are later or earlier, None: they are in order of arrival.
        group: [N] of the column that tells groups of rows apart, None without one.
        notes: sentences for the user: columns and values that the model does not know.
    """

    rows: Any
    y: NDArray[Any]
    weight: NDArray[np.float64] | None = None
    order: NDArray[np.float64] | None = None
    group: NDArray[Any] | None = None
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.y)

    def take(self, index: NDArray[Any]) -> "Labelled":
        """The rows at these places (or where the mask is true), in their order."""
        attributes = self.rows.attrs if isinstance(self.rows, pd.DataFrame) else {}
        rows = self.rows.iloc[index] if isinstance(self.rows, pd.DataFrame) else self.rows[index]
        if isinstance(rows, pd.DataFrame):
            rows = rows.reset_index(drop=True)
            rows.attrs = attributes
        picked = (None if a is None else a[index] for a in (self.weight, self.order, self.group))
        weight, order, group = picked
        return Labelled(rows, self.y[index], weight, order, group, self.notes)


def read(source: Any, preparation: Preparation, spec: Mapping[str, Any], base: Path = Path()) -> Labelled:
    """Rows with their answers for a model.

    Args:
        source: a path relative to `base`; a DataFrame with the target in it; `(x, y)` arrays.
        preparation: of the model.
        spec: the specification that it was found with; `target`, `prepare` and `split` are used.
        base: the folder that paths start from.

    Returns:
        The rows that have an answer.

    Raises:
        DataError: the source cannot be read, or has no target, or lacks a column that the model needs.
    """
    options, rules = dict(spec.get("prepare") or {}), dict(spec.get("split") or {})
    target = str(preparation["target"].get("name", ""))
    if preparation["form"] == "series":
        return _of_series(_frame(source, preparation, base), preparation, options)
    if preparation["form"] == "table":
        frame = _frame(source, preparation, base)
        return _of_table(frame, target, preparation, options, rules)
    if preparation["form"] == "text" and preparation.get("task") != "sentences":
        raise DataError("models of running text learn from whole texts; they cannot be updated with rows")
    raw = sources.read(source, spec.get("target"), base, columns_kept_out(options, rules), options)
    if isinstance(raw.x, pd.DataFrame):
        raise DataError(f"the model takes samples of shape {tuple(preparation['shape'])}, not rows of a table")
    rows = raw.x if preparation["form"] != "text" else np.asarray(raw.x, dtype=object)
    y, keep, notes = answers(raw.y, preparation["target"], ())
    return replace(Labelled(rows, y, notes=notes), notes=notes).take(keep)


def _frame(source: Any, preparation: Preparation, base: Path) -> pd.DataFrame:
    """The table, its cells as they are in the file."""
    if isinstance(source, pd.DataFrame):
        return source
    if not isinstance(source, str | Path):
        raise DataError(f"rows of a table are a DataFrame or the path of a file, not {type(source).__name__}")
    path = (base / source).expanduser()
    if path.is_file():
        return given.read_file(preparation, path)
    content = sources.read_unchanged(source, base)
    if not isinstance(content, pd.DataFrame):
        raise DataError(f"{source} is no table")
    return content


def _of_table(
    frame: pd.DataFrame, target: str, preparation: Preparation, options: dict[str, Any], rules: dict[str, Any]
) -> Labelled:
    attributes = frame.attrs
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1).reset_index(drop=True)
    frame.attrs = attributes
    if target not in frame.columns:
        near = did_you_mean(target, frame.columns)
        raise DataError(f"the rows have no column {target!r}, which the model predicts{near}; give their true answers")
    expects = [str(name) for name in preparation["expects"]]
    missing = [name for name in expects if name not in frame.columns]
    used = {str(column["name"]) for column in preparation["columns"]}
    if lacking := [name for name in missing if name in used]:
        raise DataError(f"the rows have no column {lacking[0]!r}{did_you_mean(lacking[0], frame.columns)}")
    apart = columns_kept_out(options, rules)
    y, keep, notes = answers(frame[target], preparation["target"], preparation["reading"]["missing"])
    dropped = {str(name) for name in np.atleast_1d(options.get("drop") or [])}
    extra = [name for name in frame.columns if name not in {*expects, *apart, target, *dropped}]
    if extra:
        some = ", ".join(map(repr, extra[:5]))
        notes.append(f"the model has no place for the new column{'s' * (len(extra) > 1)} {some}: not used; "
                     "a new search on a table that has it would")  # fmt: skip
    inputs = frame.reindex(columns=expects)
    inputs.attrs = attributes
    found = Labelled(inputs, y, _weights(frame, options), _order(frame, options, rules, notes),
                     _group(frame, rules, notes), notes)  # fmt: skip
    return found.take(keep)


def _weights(frame: pd.DataFrame, options: Mapping[str, Any]) -> NDArray[np.float64] | None:
    name = options.get("weight")
    if not name:
        return None
    if str(name) not in frame.columns:
        raise DataError(f"the rows have no column {str(name)!r}, the weight of a row")
    values = pd.to_numeric(frame[str(name)], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    if not np.isfinite(values).all() or (values < 0).any():
        raise DataError(f"weight {str(name)!r}: every row needs a finite weight of at least 0")
    return values


def _order(
    frame: pd.DataFrame, options: Mapping[str, Any], rules: Mapping[str, Any], notes: list[str]
) -> NDArray[np.float64] | None:
    name = str(rules.get("time") or "")
    if not name:
        return None
    if name not in frame.columns:
        notes.append(f"there is no column {name!r}: rows are taken in order of arrival, not of time")
        return None
    return times_of(frame[name], name, readings.rules_of(options, frame), [])


def _group(frame: pd.DataFrame, rules: Mapping[str, Any], notes: list[str]) -> NDArray[Any] | None:
    name = str(rules.get("group") or "")
    if not name:
        return None
    if name not in frame.columns:
        notes.append(f"there is no column {name!r}: rows of one group may be both learned from and held out")
        return None
    return frame[name].astype(str).to_numpy(dtype=object)


def _of_series(frame: pd.DataFrame, preparation: Preparation, options: Mapping[str, Any]) -> Labelled:
    rules = readings.rules_of(dict(options), frame)
    typed = deciding.typed(frame, rules)
    notes: list[str] = []
    x, y, order = series_pairs.windows(preparation, typed, int(options.get("stride", 1)), notes)
    return Labelled(x, y, order=order, notes=notes)


def answers(values: Any, entry: Mapping[str, Any], missing: Any) -> tuple[NDArray[Any], NDArray[np.bool_], list[str]]:
    """True answers as a model's labels or numbers.

    Args:
        values: [N] or [N, D] as they are.
        entry: `preparation["target"]` of the model.
        missing: further words for a missing value.

    Returns:
        (y [N] labels or [N, D] float64, [N] bool whether a row has an answer, sentences). Labels may be new ones.

    Raises:
        DataError: no row has an answer, or the answers have another width than the model's.
    """
    notes: list[str] = []
    if entry["kind"] == "classification":
        y, keep = _labels(values, entry)
    else:
        y, keep = _numbers(values, entry, missing)
    if not keep.any():
        raise DataError(f"no row has a value of the target {entry.get('name')!r} that can be read")
    if not keep.all():
        notes.append(f"{int((~keep).sum())} rows without a target that can be read are left out")
    return y, keep, notes


def _labels(values: Any, entry: Mapping[str, Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Labels by what is written in the cell, so that 1, 1.0 and "1" are the class 1."""
    known = {str(label): label for label in entry["classes"]}
    whole = all(isinstance(label, int) and not isinstance(label, bool) for label in entry["classes"])
    texts = all(isinstance(label, str) for label in entry["classes"])
    absent = set(entry.get("reading", {}).get("missing", ())) | {""}
    column = values if isinstance(values, pd.Series) else pd.Series(np.asarray(values).reshape(len(values), -1)[:, 0])
    codes, uniques = pd.factorize(column.astype(object).to_numpy(), use_na_sentinel=True)
    labels: list[Any] = []
    for value in uniques:
        label = label_of(value)
        text = words.clean(label) if isinstance(label, str) else str(label)
        if text in known:
            labels.append(known[text])
        elif text in absent or text == "nan":
            labels.append(None)
        else:
            new = text if isinstance(label, str) or texts else label
            labels.append(int(text) if whole and text.lstrip("-").isdigit() else new)
    table = np.array([*labels, None], dtype=object)
    y = table[codes]
    return y, np.array([label is not None for label in y], dtype=bool)


def _numbers(values: Any, entry: Mapping[str, Any], missing: Any) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    width = len(entry["center"])
    if isinstance(values, pd.Series):
        reading = entry.get("reading") or {"kind": "number", "style": numbers.PLAIN}
        read = readings.as_numbers(values, reading, readings.missing_words(missing), False)
        y = np.asarray(read.values, dtype=np.float64)[:, None]
    else:
        array = np.asarray(values, dtype=np.float64)
        y = array.reshape(len(array), -1)
    if y.shape[1] != width:
        raise DataError(f"the model predicts {width} values a row, the rows have {y.shape[1]}")
    return y, np.asarray(np.isfinite(y).all(axis=1))


def prepared(preparation: Preparation, rows: Any, unread: list[str] | None = None) -> torch.Tensor:
    """`Labelled.rows` as the network takes them; windows of a series are that already."""
    if preparation["form"] == "series":
        return torch.from_numpy(np.asarray(rows, dtype=np.float32))
    return transform.transform(preparation, list(rows) if preparation["form"] == "text" else rows, unread)


def part_of(preparation: Preparation, classes: list[Any], found: Labelled, unread: list[str] | None = None) -> Part:
    """The rows as a model with these classes trains on them.

    Raises:
        DataError: a label is none of the classes.
    """
    x = prepared(preparation, found.rows, unread)
    weight = None if found.weight is None else torch.from_numpy(found.weight.astype(np.float32))
    return Part(x, targets_of(preparation, classes, found.y), weight)


def targets_of(preparation: Preparation, classes: list[Any], y: NDArray[Any]) -> torch.Tensor:
    """Answers as a model trains on them: [N] int64 codes, or [N, D] float32 in standard units.

    Raises:
        DataError: a label is none of the classes.
    """
    entry = preparation["target"]
    if entry["kind"] == "classification":
        code = {label: k for k, label in enumerate(classes)}
        if unknown := next((label for label in y.tolist() if label not in code), None):
            raise DataError(f"the model has no class {unknown!r}")
        return torch.tensor([code[label] for label in y.tolist()], dtype=torch.int64)
    standard = (y - np.asarray(entry["center"])) / np.asarray(entry["scale"])
    return torch.from_numpy(standard.astype(np.float32))
