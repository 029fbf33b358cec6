"""The commented space.yaml that `automl init` writes."""

import csv
import gzip
import io
import json
import os
from pathlib import Path

from automl.errors import DataError, did_you_mean

PREVIEW = 2000  # rows read to decide between classification and regression
MOST_CLASSES = 30  # as in `automl.data.targets`, which needs pandas
DIGITS = """\
data: digits                    # built in; or a .csv .parquet .npz file, or package.module:load"""
TEMPLATE = """\
# yaml-language-server: $schema=./space.schema.json
# One search. `automl validate space.yaml` checks it, `automl search space.yaml` runs it.
study: {study}
model: mlp                      # built-in family, or package.module:build with build(config, inputs, outputs)
{data}
split: {{train: 0.6, val: 0.2, test: 0.2}}     # the search never sees test
metric: {metric}
epochs: 30                      # length of a full trial
space:
  architecture:                 # groups are free names
    depth: {{int: [1, 4]}}                                            # hidden layers
    width: {{int: [16, 256], log: true}}                              # units per layer
    activation: [relu, gelu, silu]                                  # a list is a choice, a single value a constant
  regularization:
    dropout: {{float: [0.0, 0.6]}}
    weight_decay: {{float: [1e-6, 1e-1], log: true, default: 1e-4}}   # defaults are tried first
  optimizer:
    optimizer: [sgd, adamw]
    lr: {{float: [1e-4, 1.0], log: true}}
    momentum: {{float: [0.5, 0.99], when: {{optimizer: sgd}}}}          # only used when the condition holds
    batch_size: {{choice: [32, 64, 128], ordered: true}}
strategy: auto                  # `automl strategies` lists them
stopper: halving                # stops bad trials early; or none
budget: {{trials: 60, time: 10m}}                                     # whichever ends first
seed: 7
"""


def starter(
    table: Path | None = None, target: str | None = None, *, study: str = "digits", folder: Path = Path(".")
) -> str:
    """The text of a space.yaml to start from.

    Args:
        table: a CSV file to learn from; None: the built-in digits.
        target: the column to predict; None: the last one.
        study: the study's name.
        folder: where space.yaml will be; the table's path is written relative to it.

    Raises:
        DataError: the file cannot be read, or has no such column.
    """
    if table is None:
        return TEMPLATE.format(study=study, data=DIGITS, metric="val_accuracy")
    header, rows = _preview(table)
    target = target if target is not None else header[-1]
    if target not in header:
        shown = ", ".join(header[:20])
        raise DataError(f"{table}: no column {target!r}{did_you_mean(target, header)} (columns: {shown})")
    column = [row[header.index(target)].strip() for row in rows if len(row) == len(header)]
    metric = "val_rmse                # lower is better" if _is_regression(column) else "val_accuracy"
    data = f"data: {quoted(os.path.relpath(table, folder))}\ntarget: {quoted(target)}"
    return TEMPLATE.format(study=quoted(study), data=data, metric=metric)


def quoted(text: str) -> str:
    """`text` as a YAML scalar that is always read as a string."""
    plain = text.replace("/", "").replace("_", "").replace(".", "").replace("-", "")
    reserved = text.lower() in ("true", "false", "null", "yes", "no", "on", "off", "~", "")
    safe = plain.isascii() and plain.isalnum() and not reserved and not _is_number(text) and text[0] not in "-."
    return text if safe else json.dumps(text)  # JSON strings are valid YAML


def _preview(table: Path) -> tuple[list[str], list[list[str]]]:
    """Header and first rows of a CSV or TSV file (also .gz)."""
    try:
        with gzip.open(table, "rb") if table.suffix == ".gz" else table.open("rb") as file:
            raw = file.read(2**22)
    except OSError as error:
        raise DataError(f"{table}: cannot be read: {error.strerror or error}") from None
    text = raw.decode("utf-8-sig", errors="replace")
    first = text.partition("\n")[0]
    separator = max(",;\t|", key=first.count)
    lines = list(csv.reader(io.StringIO(text), delimiter=separator))[: PREVIEW + 1]
    if not lines or len(lines[0]) < 2:
        raise DataError(f"{table}: not a table with a header and at least two columns")
    return [name.strip() for name in lines[0]], lines[1:]


def _is_regression(column: list[str]) -> bool:
    """Whether a target column holds numbers to regress rather than classes."""
    values = {v for v in column if v}
    fractions = any("." in v.rstrip("0").rstrip(".") for v in values)
    return all(_is_number(v) for v in values) and (fractions or len(values) > MOST_CLASSES)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
