"""`load`: reads, splits and prepares the data of a search."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from automl.data import splits
from automl.data.attributes import shared
from automl.data.prepared import Prepared, fingerprint, sample_rows
from automl.data.preparing import arrays, dropping, options, series, tables, text, transform
from automl.data.preparing.options import variant
from automl.data.reading import separate, sources
from automl.data.reading.many.table import Table
from automl.data.rows import Selection, columns_kept_out, select
from automl.data.streaming import memory, streaming
from automl.data.streaming.request import Request
from automl.data.summary.columns import ROWS as LOOK
from automl.data.summary.facts import TARGET
from automl.data.summary.find import Source, roles_of, summary_of
from automl.data.targets import names_of, with_others
from automl.errors import DataError
from automl.metrics.kinds.kind import Kind


def load(
    source: Any,
    *,
    target: str | Sequence[str] | None = None,
    split: Mapping[str, Any] | None = None,
    seed: int = 0,
    prepare: Mapping[str, Any] | None = None,
    base: Path = Path("."),
    look: int | None = LOOK,
) -> Prepared:
    """Read, split and prepare data.

    A table that would take more memory than `prepare.memory` stays on disk and is streamed, see
    `automl.data.streaming`.

    Args:
        source: a built-in name ("digits"), a path relative to `base` (of a file, of a folder of tables, or a pattern
            such as "parts/*.parquet"), an address ("s3://bucket/folder"), a function as `package.module:function`, or
            the data itself: `(x, y)`, a DataFrame, a dict of arrays or of the parts `train`, `val`, `test`.
        target: the column to predict, or several columns of numbers, of which a row may lack some; several kinds of
            sources need none.
        split: shares of the rows, `{"train": 0.5, "val": 0.25, "test": 0.25}`; also `group: column` (no group in two
            parts) or `time: column` (validation after training, test after validation); `folds: K` in the place of
            train and val, see `automl.data.folds`. `val` and `test` may be files with these rows.
        seed: of the split.
        prepare: how columns and rows are treated, see `automl.data.preparing.options.OPTIONS`.
        base: folder that relative paths and the user's module are looked for in.
        look: in how many rows `summary` counts missing and different values; None: in all of them.

    Raises:
        DataError: the data cannot be read, split or learned from; the message names the place, the value and the
            nearest valid name.

    Example:
        >>> data = load("table.csv", target="price", prepare={"scale": "robust"})
        >>> data.train.x.shape, data.summary
    """
    settings, rules, base = dict(prepare or {}), dict(split or {}), Path(base)
    others: list[str] = []
    if target is not None and not isinstance(target, str):
        target, *others = names_of(target)
    options.check(settings)
    found = sources.files_of(source, base)
    reason = memory.reason_to_stream(found, settings) if found else ""
    sentences = settings.get("form") == "sentences" or settings.get("text")
    sequence = (settings.get("window") and not sentences) or sources.is_long_text(source, settings, base)
    if others and (reason or sequence or sentences):
        kind = "a table that is streamed from disk" if reason else "a series or a text"
        raise DataError(f"target: {kind} has one target, not {1 + len(others)}; search for each alone")
    if settings.get("target_scale", "standard") != "standard" and (reason or sequence):
        kind = "a table that is streamed from disk" if reason else "a series or a text"
        raise DataError(f"prepare.target_scale: {kind} has none; leave it out")
    if (special := variant(settings)) and (reason or sequence):
        kind = "a table that is streamed from disk" if reason else "a series or a text"
        what = Kind.of_target("", special).words
        raise DataError(f"prepare: {what} are for tables in memory, arrays and sentences, and this is {kind}")
    if separate.files_of(rules) and (reason or sequence):
        kind = "a table that is streamed from disk" if reason else "a series or a long text"
        raise DataError(f"split: {kind} has no files of their own for validation and test rows; give shares")
    if found and reason:
        splits.refuse_folds(rules, "a table that is streamed from disk")
        streamed = streaming.load(Request(tuple(found), target, rules, settings, seed))
        streamed = replace(streamed, notes=[*streamed.notes, reason])
        beginning = Source(Table(tuple(found), settings).head(), True, roles=roles_of(settings, rules))
        return _summed_up(streamed, beginning, look)
    if sequence:
        return _load_sequence(source, target, rules, settings, base, look)
    return _load_rows(source, target, others, rules, settings, seed, base, look)


def _load_rows(
    source: Any, target: str | None, others: Sequence[str], rules: dict[str, Any], settings: dict[str, Any], seed: int,
    base: Path, look: int | None,
) -> Prepared:  # fmt: skip
    """Load samples that are independent of each other: a table, arrays, images or sentences."""
    selection = selected(source, target, others, rules, settings, seed, base)
    raw, rules = selection.raw, separate.shares_of(rules)
    train = selection.parts == 0
    if raw.form == "sentences":
        preparation = text.fit_sentences(raw.x[train], settings, raw.notes, raw.column)
    elif isinstance(raw.x, pd.DataFrame):
        preparation = tables.fit(raw.x[train], selection.y[train], settings, raw.notes)
    else:
        preparation = arrays.fit(raw.x[train], settings, str(settings.get("form", raw.form)), raw.notes)
    inputs, columns = transform.inputs_of(preparation)
    preparation["target"] = selection.target_entry
    parts = selection.split(preparation)
    shown = raw.x[selection.parts == (1 if selection.folds is None else 0)]
    prepared = Prepared(
        inputs, selection.outputs, selection.kind, *parts, selection.target.classes,
        columns, preparation, fingerprint(list(parts)), raw.notes, sample_rows(shown),
    )  # fmt: skip
    frame, keep = raw.x if isinstance(raw.x, pd.DataFrame) else None, selection.target.keep
    roles = {**roles_of(settings, rules), **dict.fromkeys([raw.target, *others] if others else (), TARGET)}
    known = Source(frame, False, raw.extra, roles, len(keep), int((~keep).sum()))
    return _summed_up(prepared, known, look)


def selected(
    source: Any, target: str | None, others: Sequence[str], rules: dict[str, Any], settings: dict[str, Any], seed: int,
    base: Path,
) -> Selection:  # fmt: skip
    """Read samples that are independent of each other, and split them; for the arguments see `load`.

    `others`: further targets. The columns that are no inputs are left out.
    """
    kept_out = with_others(columns_kept_out(settings, rules), others, settings)
    raw = sources.read(source, target, base, kept_out, settings, rules)
    if others and not isinstance(raw.x, pd.DataFrame):
        raise DataError("target: several targets are columns of a table; of arrays give y [rows, targets]")
    rules = separate.shares_of(rules)
    if isinstance(raw.x, pd.DataFrame):
        raw.x = dropping.without(shared(raw.x), settings, raw.target, kept_out)
    elif settings.get("drop") is not None and not settings.get("text"):
        raise DataError("prepare.drop: only tables have columns with names")
    if others:
        raw.extra[raw.target] = np.asarray(raw.y)
    return select(raw, rules, settings, seed, others)


def _load_sequence(
    source: Any, target: str | None, rules: dict[str, Any], settings: dict[str, Any], base: Path, look: int | None
) -> Prepared:
    """Load a long text, or a table read as a time series (`prepare: {window: ...}`)."""
    grouped = dict.fromkeys(options.series_columns(settings, rules), "category")
    if grouped:
        settings = {**settings, "types": {**grouped, **(settings.get("types") or {})}}
    splits.refuse_folds(rules, "a series or a text that is cut into windows")
    source = series.with_times_of_index(source) if isinstance(source, pd.DataFrame) else source
    data = sources.read_unchanged(source, base, settings)
    name = Path(source).name if isinstance(source, str | Path) else "the data"
    if isinstance(data, str) or (isinstance(data, np.ndarray) and data.ndim == 1):
        return _summed_up(text.load_language(data, rules, settings, name), Source(), look)
    if isinstance(data, pd.DataFrame):
        data = dropping.without(shared(data), settings, target)
        prepared = series.load_series(data, target, rules, settings, name)
        roles = dict.fromkeys(options.dropped(settings), "dropped")
        return _summed_up(prepared, Source(data, roles=roles), look)
    raise DataError(f"prepare.window: {name} is neither a text nor a table of a time series")


def _summed_up(prepared: Prepared, source: Source, look: int | None) -> Prepared:
    """The data with what was decided about them."""
    return replace(prepared, summary=summary_of(prepared, source, look))
