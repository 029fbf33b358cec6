"""The commented space.yaml that `automl init` writes."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automl.data.survey import Survey

UNEVEN = 0.8
"""Share of the larger of two classes from which on accuracy says little."""
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
    table: Path | None = None, target: str | list[str] | None = None, *, study: str = "digits", folder: Path = Path(".")
) -> str:
    """The text of a space.yaml to start from.

    Args:
        table: a CSV, TSV or Parquet file to learn from; None: the built-in digits.
        target: the column to predict; None: the last one; or several columns of numbers.
        study: the study's name.
        folder: where space.yaml will be; the table's path is written relative to it.

    Raises:
        DataError: the file cannot be read, has no such column, or the column cannot be learned.
    """
    if table is None:
        return TEMPLATE.format(study=study, data=DIGITS, metric="val_accuracy")
    from automl.data.survey import survey  # loads pandas
    from automl.data.targets import names_of

    names = names_of(target) if isinstance(target, list) else [target]
    found = [survey(table, name) for name in names]
    metric = _metric(found[0]) if len(found) == 1 else "val_r2                  # the mean of the targets' R2"
    return TEMPLATE.format(study=quoted(study), data=_table_lines(table, found, folder), metric=metric)


def quoted(text: str) -> str:
    """`text` as a YAML scalar that is always read as a string."""
    plain = text.replace("/", "").replace("_", "").replace(".", "").replace("-", "")
    reserved = text.lower() in ("true", "false", "null", "yes", "no", "on", "off", "~", "")
    safe = plain.isascii() and plain.isalnum() and not reserved and not _is_number(text) and text[0] not in "-."
    return text if safe else json.dumps(text)  # JSON strings are valid YAML


def _table_lines(table: Path, found: "list[Survey]", folder: Path) -> str:
    """The keys of a spec that name the table, its targets and how it is read."""
    where = Path(os.path.relpath(table, folder)).as_posix()
    names = [quoted(one.target) if len(found) == 1 else _in_braces(one.target) for one in found]
    target = names[0] if len(names) == 1 else f"[{', '.join(names)}]"
    lines = [f"data: {quoted(where)}", f"target: {target}"]
    if found[0].prepare:
        lines.append("prepare:                        # how the table is read, as found in its first rows")
        for name, (value, meaning) in found[0].prepare.items():
            lines.append(f"{f'  {name}: {_yaml(value)}':<32}# {meaning}")
    return "\n".join(lines)


def _yaml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_in_braces(str(key))}: {_yaml(item)}" for key, item in value.items()) + "}"
    return str(value).lower() if isinstance(value, bool) else quoted(str(value))


def _in_braces(text: str) -> str:
    return text if text == quoted(text) and text.replace("_", "").isalnum() else json.dumps(text)


def _metric(found: "Survey") -> str:
    if found.task == "regression":
        return "val_rmse                # lower is better"
    if found.classes == 2 and found.majority > UNEVEN:
        return f"val_auroc               # {found.majority:.0%} of the rows are of one class: accuracy would say little"
    return "val_accuracy"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
