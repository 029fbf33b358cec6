"""`load`: from a source's name to `Prepared`."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from automl.core import seeds
from automl.data import splits, targets
from automl.data.prepared import Part, Prepared
from automl.data.preparing import text
from automl.data.preparing import transform as prep
from automl.data.reading import sources
from automl.data.reading.raw import Raw
from automl.data.shapes import Outputs
from automl.errors import DataError


def load(
    source: Any,
    *,
    target: str | None = None,
    split: Mapping[str, Any] | None = None,
    seed: int = 0,
    prepare: Mapping[str, Any] | None = None,
    base: Path = Path("."),
) -> Prepared:
    """Read, split and prepare.

    `source`: built-in name, path relative to `base`, `package.module:function`, or the data itself. `split`: the shares
    `train`, `val`, `test`, and optionally `group: column` or `time: column`. `prepare`: see `prepare.OPTIONS`. A table
    that would take more memory than `prepare.memory` stays on disk and is streamed, see `automl.data.streaming`.
    Raises DataError with place, value and the nearest valid name.
    """
    options, rules = dict(prepare or {}), dict(split or {})
    prep.check(options)
    located = sources.located(source, Path(base))
    if isinstance(located, str | Path) and (path := (Path(base) / located).expanduser()).is_file():
        from automl.data.streaming import streaming

        if why := streaming.wanted(path, options):
            made = streaming.load(path, target, rules, options, seed)
            return replace(made, notes=[*made.notes, why])
    sentences = options.get("form") == "sentences" or options.get("text")
    if (options.get("window") and not sentences) or sources.is_long_text(source, options, Path(base)):
        return _sequence(source, target, rules, options, Path(base))
    raw = sources.read(source, target, Path(base), keep_out(options, rules), options)
    decided = decide(raw, rules, options, seed)
    raw, train = decided.raw, decided.parts == 0
    if raw.form == "sentences":
        preparation = text.fit_sentences(raw.x[train], options, raw.notes)
    elif isinstance(raw.x, pd.DataFrame):
        preparation = prep.fit_table(raw.x[train], decided.y[train], options, raw.notes)
    else:
        form = str(options.get("form", raw.form))
        preparation = prep.fit_array(raw.x[train], options, form, raw.notes)
    inputs, columns = prep.inputs_of(preparation)
    preparation["target"] = decided.target
    parts = [decided.part(code, preparation) for code in range(3)]
    return Prepared(
        inputs, decided.outputs, decided.found.kind, parts[0], parts[1], parts[2], decided.found.classes, columns,
        preparation, fingerprint(parts), raw.notes, sample_rows(raw.x[decided.parts == 1]),
    )  # fmt: skip


def keep_out(options: Mapping[str, Any], rules: Mapping[str, Any]) -> tuple[str, ...]:
    """Columns that are no inputs: weights, groups, times."""
    return tuple(dict.fromkeys(str(v) for v in (options.get("weight"), rules.get("group"), rules.get("time")) if v))


@dataclass(frozen=True)
class Decided:
    """What is known before anything is prepared: the rows that are used, their targets, parts and weights.

    `y`: [rows] codes or [rows, targets] in the data's unit; `target`: the target's part of the preparation.
    """

    raw: Raw
    found: targets.Target
    y: NDArray[Any]
    parts: splits.Parts
    outputs: Outputs
    target: dict[str, Any]
    weight: Tensor | None

    @property
    def learned(self) -> NDArray[Any]:
        """y as models see it: int64 codes, or float32 in standard units."""
        if self.found.kind == "classification":
            return self.y.astype(np.int64)
        center, scale = np.asarray(self.target["center"]), np.asarray(self.target["scale"])
        return np.asarray((self.y - center) / scale, dtype=np.float32)

    def part(self, code: int, preparation: dict[str, Any]) -> Part:
        """One of the three, prepared."""
        rows = self.parts == code
        weight = None if self.weight is None else self.weight[torch.from_numpy(rows)]
        return Part(prep.transform(preparation, self.raw.x[rows]), torch.from_numpy(self.learned[rows]), weight)


def decide(raw: Raw, rules: dict[str, Any], options: dict[str, Any], seed: int) -> Decided:
    """Read the target, drop rows without one, split the rest."""
    found = targets.read(raw.y, raw.target, options.get("task"))
    raw.notes += found.notes
    raw, y = _kept(raw, found.y, found.keep, options, found.kind, seed)
    parts = splits.assign(
        len(y), rules, seeds.derive(seed, "split"), given=raw.parts,
        labels=y if found.kind == "classification" else None,
        groups=raw.extra[str(rules["group"])].astype(str) if rules.get("group") else None,
        order=_times(raw.extra[str(rules["time"])]) if rules.get("time") else None,
    )  # fmt: skip
    _check_classes(y, parts, found, raw)
    train = parts == 0
    units = len(found.classes) if found.kind == "classification" else y.shape[1]
    outputs = Outputs(units, "classes" if found.kind == "classification" else "values")
    target = _target(raw.target, found, y[train])
    return Decided(raw, found, y, parts, outputs, target, _weights(raw, y, train, units, options))


def _sequence(source: Any, target: str | None, rules: dict[str, Any], options: dict[str, Any], base: Path) -> Prepared:
    """A long text, or a table read as a time series (`prepare: {window: ...}`)."""
    found = sources.raw_of(source, base)
    name = Path(source).name if isinstance(source, str | Path) else "the data"
    if isinstance(found, str) or (isinstance(found, np.ndarray) and found.ndim == 1):
        return text.load_language(found, rules, options, name)
    if isinstance(found, pd.DataFrame):
        from automl.data.preparing.series import load_series

        return load_series(found, target, rules, options, name)
    raise DataError(f"prepare.window: {name} is neither a text nor a table of a time series")


def _kept(
    raw: Raw, y: NDArray[Any], keep: NDArray[np.bool_], options: dict[str, Any], kind: str, seed: int
) -> tuple[Raw, NDArray[Any]]:
    """Rows without a target go; `rows: N` keeps N of the others, drawn in proportion to the classes."""
    rows = np.flatnonzero(keep)
    most = int(options.get("rows", 0))
    if 0 < most < len(rows):
        strata = y[rows] if kind == "classification" else np.zeros(len(rows), dtype=np.int64)
        share = most / len(rows)
        drawn = splits.assign(len(rows), {"train": share, "val": 1 - share}, seeds.derive(seed, "rows"), labels=strata)
        raw.notes.append(f"{most} of {len(rows)} rows used (prepare.rows)")
        rows = rows[drawn == 0]
    if len(rows) < len(keep):
        raw.x = raw.x.iloc[rows].reset_index(drop=True) if isinstance(raw.x, pd.DataFrame) else raw.x[rows]
        raw.extra = {name: values[rows] for name, values in raw.extra.items()}
        raw.parts = None if raw.parts is None else raw.parts[rows]
        y = y[rows]
    return raw, y


def _times(values: NDArray[Any]) -> NDArray[Any]:
    column = pd.Series(values)
    if column.dtype.kind in "iuf":
        return column.to_numpy()
    from automl.data.preparing.columns import as_days

    days = as_days(column)
    if not np.isfinite(days).all():
        raise DataError("split.time: some rows have no date that can be read")
    return days


def _check_classes(y: NDArray[Any], parts: splits.Parts, found: targets.Target, raw: Raw) -> None:
    if found.kind != "classification":
        return
    seen = np.unique(y[parts == 0])
    if len(seen) < 2:
        raise DataError(
            f"target {raw.target!r}: the training part has a single class; split by groups or time differently"
        )
    for part, name in enumerate(splits.NAMES):
        absent = sorted(set(range(len(found.classes))) - set(y[parts == part].tolist()))
        if absent and (parts == part).any():
            raw.notes.append(
                f"no row of class {', '.join(str(found.classes[k]) for k in absent[:5])} in the {name} part"
            )


def _target(name: str, found: targets.Target, y: NDArray[Any]) -> dict[str, Any]:
    if found.kind == "classification":
        return {"name": name, "kind": found.kind, "classes": found.classes}
    center, scale = y.mean(axis=0), y.std(axis=0)
    if not (scale > 0).all():
        raise DataError(f"target {name!r} has a single value in the training part: there is nothing to learn")
    return {"name": name, "kind": found.kind, "center": center.tolist(), "scale": scale.tolist()}


def _weights(raw: Raw, y: NDArray[Any], train: NDArray[np.bool_], units: int, options: dict[str, Any]) -> Tensor | None:
    """[rows] float32, mean 1 over the training rows: weight column times balance of classes; None for neither."""
    column, balance = options.get("weight"), options.get("class_weight") or "none"
    if balance not in ("none", "balanced"):
        raise DataError(f"prepare.class_weight: expected balanced or none, got {balance!r}")
    if column is None and balance == "none":
        return None
    weight = np.ones(len(y))
    if column is not None:
        if column not in raw.extra:
            raise DataError(f"prepare.weight: arrays have no column {column!r}")
        weight = pd.to_numeric(pd.Series(raw.extra[column]), errors="coerce").to_numpy(
            dtype=np.float64, na_value=np.nan
        )
        if not np.isfinite(weight).all() or (weight < 0).any() or weight[train].sum() == 0:
            raise DataError(f"weight {column!r}: every row needs a finite weight of at least 0, and not all may be 0")
    if balance == "balanced":
        if y.ndim != 1:
            raise DataError("prepare.class_weight: only classes can be balanced, the target is a value")
        totals = np.bincount(y[train], weights=weight[train], minlength=units)
        weight = weight * np.where(totals > 0, totals.sum() / np.maximum(totals, 1e-12), 1.0)[y]
    return torch.from_numpy((weight / weight[train].mean()).astype(np.float32))


def sample_rows(rows: Any, most: int = 4) -> list[Any]:
    """The first rows as JSON: dicts for a table, nested lists for arrays."""
    if isinstance(rows, pd.DataFrame):
        found: list[Any] = json.loads(rows.head(most).to_json(orient="records", date_format="iso", double_precision=15))
        return found
    few = np.asarray(rows[:most])
    return (few if few.dtype == object else few.astype(np.float64)).tolist()  # type: ignore[no-any-return]


def fingerprint(parts: list[Part]) -> str:
    """sha256 of what the model sees: shapes, types and bytes of x and y of all parts."""
    digest = hashlib.sha256()
    for part in parts:
        for tensor in (part.x, part.y, part.weight):
            if tensor is not None:
                digest.update(f"{tuple(tensor.shape)}{tensor.dtype}".encode())
                digest.update(np.ascontiguousarray(tensor.numpy()).data)
    return digest.hexdigest()
