"""The cells of a target that came as text: labels to the letter, numbers where all are numbers, and what is missing."""

import unicodedata
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl.data.cells import deciding, numbers, readings, sentinels, words
from automl.data.cells.readings import Rules

FEW = 3
"""A word such as `None` in a target of classes is a class where it is in more rows than this, and than 1 % of them."""
MOST_CLASSES = 30
"""A target with more different values than this, nearly all of them numbers, is numbers."""


def is_text(column: "pd.Series[Any]") -> bool:
    """Whether all cells of a target are text or missing."""
    return column.dtype.kind not in "iufbM" and pd.api.types.infer_dtype(column, skipna=True) in ("string", "empty")


def from_text(
    column: "pd.Series[Any]", name: str, task: str | None, rules: Rules, notes: list[str]
) -> tuple["pd.Series[Any]", dict[str, Any]]:
    """(the target with numbers, truth values or labels in place of text, and None where it is missing; its reading).

    Args:
        column: [rows] text.
        name: of the target, for notes.
        task: "classification", "regression" or None.
        rules: how cells are read.
        notes: gets a line for each decision.
    """
    codes, cells = words.distinct(column)
    counts = np.bincount(codes, minlength=len(cells))
    missing = words.are_missing(cells, rules.missing_words)
    present = [k for k in range(len(cells)) if not missing[k]]
    wanted = rules.types.get(name)
    named = task == "classification" or wanted == "category"
    few = not rules.file and task is None and len(present) <= MOST_CLASSES
    reading = {} if named or few else _number_reading(cells, counts, present, task, rules)
    if reading:
        return _as_numbers(column, codes, cells, counts, missing, reading, rules, name, notes)
    classes = _words_that_are_classes(cells, counts, missing, rules)
    _tell_words(cells, counts, missing, classes, name, notes)
    missing &= ~classes
    _tell_alike(column, name, missing, cells, notes)
    kept = [cell for cell, gone in zip(cells, missing, strict=True) if not gone]
    labels = _labels(cells, missing, text=bool(classes.any()) or wanted == "category" or not rules.file)
    words_missing = sorted(cell for cell, gone in zip(cells, missing, strict=True) if gone)
    spelled = "text" if any(isinstance(label, str) for label in labels) or not kept else "typed"
    return _series(labels, codes, column), {"kind": "category", "labels": spelled, "missing": words_missing}


def _number_reading(
    cells: list[str], counts: NDArray[np.int64], present: list[int], task: str | None, rules: Rules
) -> dict[str, Any]:
    """The reading of a target of numbers; empty where it is not one."""
    texts, often = [cells[k] for k in present], counts[present]
    if not texts or (task is None and numbers.padded(texts, often) and len(texts) <= readings.MOST_CODES):
        return {}
    column = pd.Series(np.repeat(np.array(texts, dtype=object), often))
    kind = {"target": "number"} if task == "regression" else {}
    reading = deciding.decide(column, "target", Rules((), rules.decimal, rules.dayfirst, kind, rules.comma))
    if reading["kind"] != "number" or reading["style"].get("clock"):
        return {}
    unreadable = int(reading.pop("unreadable", 0))
    if unreadable and len(texts) <= MOST_CLASSES and task is None:
        return {}  # a few words among a few numbers are classes
    return reading


def _as_numbers(
    column: "pd.Series[Any]", codes: NDArray[np.int64], cells: list[str], counts: NDArray[np.int64],
    missing: NDArray[np.bool_], reading: dict[str, Any], rules: Rules, name: str, notes: list[str],
) -> tuple["pd.Series[Any]", dict[str, Any]]:  # fmt: skip
    style = reading["style"]
    values = np.full(len(cells), np.nan)
    values[~missing] = numbers.read_all(
        [c for c, gone in zip(cells, missing, strict=True) if not gone], style, rules.comma
    )
    unread = np.isnan(values) & ~missing
    if unread.any():
        some = ", ".join(repr(cells[k]) for k in np.flatnonzero(unread)[:2])
        notes.append(f"target {name!r}: {int(counts[unread].sum())} rows whose target is no number ({some}) left out")
    said = [f"{int(counts[k])} rows with {cells[k]!r}" for k in np.flatnonzero(missing) if cells[k]]
    if said:
        remedy = f"`prepare: {{types: {{{name}: category}}}}` makes classes of all"
        notes.append(f"target {name!r}: {', '.join(said)} have no target; {remedy}")
    if described := numbers.described(style):
        notes.append(f"target {name!r}: numbers with {described}")
    if far := sentinels.note(f"target {name!r}", values[codes], lambda row: cells[codes[row]]):
        notes.append(far)
    whole = style == numbers.PLAIN and all(
        "." not in c and "e" not in c.lower() for k, c in enumerate(cells) if not missing[k]
    )
    if whole and not missing.any() and not unread.any() and np.abs(values).max() < 2**53:
        return pd.Series(values.astype(np.int64)[codes], index=column.index), reading
    return pd.Series(values[codes], index=column.index), reading


def _words_that_are_classes(
    cells: list[str], counts: NDArray[np.int64], missing: NDArray[np.bool_], rules: Rules
) -> NDArray[np.bool_]:
    """[cells] bool: words such as `None` and `?` that are in more than a few rows; never those the user named."""
    fewest = max(FEW, 0.01 * counts.sum())
    perhaps = set(words.PERHAPS_VALUES) - set(rules.missing)
    return (
        np.array([cell in perhaps and n > fewest for cell, n in zip(cells, counts, strict=True)], dtype=bool) & missing
    )


def _tell_words(
    cells: list[str], counts: NDArray[np.int64], missing: NDArray[np.bool_], classes: NDArray[np.bool_], name: str,
    notes: list[str],
) -> None:  # fmt: skip
    for k, cell in enumerate(cells):
        if classes[k]:
            notes.append(
                f"target {name!r}: {cell!r} ({int(counts[k])} rows) read as a class; "
                f"`prepare: {{missing: [{cell!r}]}}` leaves these rows out"
            )
        elif missing[k] and cell:
            notes.append(f"target {name!r}: {cell!r} ({int(counts[k])} rows) read as a missing target")


def _tell_alike(
    column: "pd.Series[Any]", name: str, missing: NDArray[np.bool_], cells: list[str], notes: list[str]
) -> None:
    """Note labels that are probably one: `yes` and `yes `, `Yes` and `yes`."""
    raws = pd.Series(column.to_numpy(dtype=object)).value_counts(sort=False, dropna=True)
    for raw, count in raws.items():
        spelled = words.clean(str(raw))
        if spelled != raw and spelled in cells:
            notes.append(f"target {name!r}: {raw!r} ({count} rows) is probably {spelled!r} and read as that")
    alike: dict[str, list[str]] = {}
    for cell, gone in zip(cells, missing, strict=True):
        if not gone:
            alike.setdefault(_sound(cell), []).append(cell)
    for same in alike.values():
        if len(same) > 1:
            notes.append(f"target {name!r}: the classes {' and '.join(map(repr, sorted(same)))} are probably one")


def _sound(cell: str) -> str:
    """A label without what people write differently: case, accents in two pieces, a full stop at its end, spaces."""
    text = " ".join(unicodedata.normalize("NFC", cell).casefold().split())
    return text.rstrip(".,;:!") or text


def _labels(cells: list[str], missing: NDArray[np.bool_], text: bool) -> list[Any]:
    """The labels: whole numbers if all are, without leading zeros; truth values for True and False; else text."""
    kept = [cell for cell, gone in zip(cells, missing, strict=True) if not gone]
    if not text and kept and all(_is_whole(cell) for cell in kept):
        return [None if gone else int(cell) for cell, gone in zip(cells, missing, strict=True)]
    if not text and set(kept) == {"True", "False"}:
        return [None if gone else cell == "True" for cell, gone in zip(cells, missing, strict=True)]
    return [None if gone else cell for cell, gone in zip(cells, missing, strict=True)]


def _is_whole(cell: str) -> bool:
    return cell.isascii() and cell.removeprefix("-").isdigit() and str(int(cell)) == cell


def _series(labels: list[Any], codes: NDArray[np.int64], column: "pd.Series[Any]") -> "pd.Series[Any]":
    series = pd.Series([labels[k] for k in codes], index=column.index, dtype=object)
    kinds = {type(label) for label in labels if label is not None}
    if kinds in ({int}, {bool}) and series.notna().all():
        return series.astype(next(iter(kinds)))
    return series
