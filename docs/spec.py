"""Writes docs/spec.md, the reference of space.yaml: `python docs/spec.py`. A test keeps it current."""

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from automl import models
from automl.data.preparing.options import OPTIONS, SEARCHABLE
from automl.specfile.entries.objectives import ChooseModel, ObjectiveModel
from automl.specfile.entries.parameters import ChoiceParameter, FloatParameter, IntParameter
from automl.specfile.entries.resources import Resources
from automl.specfile.entries.steps import Steps
from automl.specfile.entries.warm import Warm
from automl.specfile.grammar import (
    Budget,
    Finalists,
    MetricModel,
    Pack,
    SpecModel,
    Split,
)
from automl.training import augment, hyperparameters

FILE = Path(__file__).resolve().parent / "spec.md"
HEAD = """\
# space.yaml

One search is one file. `automl validate FILE` checks it without running anything and tells every mistake with its line;
`automl init` writes a commented one to start from, with a JSON Schema beside it for editors; `automl schema` prints
that schema. Any entry can be changed from the command line: `--set space.optimizer.lr.high=0.1`.

A trial is one of three things:

| keys | a trial is |
|---|---|
| `model`, `data`, `epochs` | a model that we train: a built-in family, or your `build(config, inputs, outputs)` |
| `train: package.module:function` | your own loop, `train(trial)`, as in the README |
| `command: [python, train.py, "--lr={lr}"]` | a program that prints lines such as `{"step": 3, "val_loss": 0.41}` |

## The space

```yaml
model: mlp
data: digits
epochs: 10
metric: val_accuracy
budget: {trials: 60, time: 10m}
space:
  architecture: {use: mlp, width: {int: [64, 512], log: true}}    # a preset (`automl spaces`), one entry replaced
  optimizer:                                                      # groups are free names; parameters need none
    optimizer: [sgd, adamw]                                       # a list is a choice
    lr: {float: [1e-4, 1.0], log: true, default: 3e-3}            # defaults are tried first
    momentum: {float: [0.5, 0.99], when: {optimizer: sgd}}        # only part of a config where its condition holds
    batch_size: {choice: [32, 64, 128], ordered: true}
  clip: 1.0                                                       # a bare value is a constant of every config
```

## Commands

```yaml
command: [python, train.py, "--lr={lr:.3e}", "{amp?--amp}", "--nesterov={nesterov:on|off}", "--json={config}"]
report: 'epoch (?P<epoch>[0-9]+).*val_acc=(?P<val_acc>[0-9.]+)'     # only for programs that print no JSON
metric: val_acc
```

`{amp?--amp}` is the argument `--amp` where `amp` is true, and nothing elsewhere; `{x:on|off}` is one of two words;
`{x:json}` is written as in JSON. An argument that names an inactive parameter is left out. A line of its output is a
report if it is a JSON object with the metric in it, or fits `report`; all others go to the trial's log.

Beside the parameters there are `{config}` (all of them, as JSON), `{epochs}` (of a full trial), `{seed}`, `{device}`,
`{trial}` (its number) and `{folder}`; in the environment the same as `AUTOML_CONFIG`, `AUTOML_SEED`, `AUTOML_DEVICE`,
`AUTOML_TRIAL` and `AUTOML_FOLDER`. The program runs in the folder of the specification, and several run at once: so a
model or a log of its own goes below `{folder}`, the trial's folder (`studies/NAME/trials/00007`). What it writes there
stays, and a program that is started again after a crash finds its checkpoint there.

## Where trials run

| entry | where |
|---|---|
| nothing said | a worker for each GPU of this machine, else for each core; small models train many at once in each |
| `workers: 2` | two |
| `resources: {gpus: auto}` | the same; trials that train alone share a GPU if that pays off ([GPUs](howto/gpus.md)) |
| `resources: {gpus: 2}` | every trial on two GPUs (torch's DistributedDataParallel); 0.5: two workers share one |
| `resources: {devices: [cpu, cpu]}` | every trial in two processes of the CPU: to try what two GPUs will do |
| `parallel: shard` too | each holds a share of the model (torch's FSDP2); `auto`: if 16 bytes a weight fill 80 % |
| `executor: {name: ray, address: auto}` | the machines of a Ray cluster (extra `ray`); no address: one started here |
| `executor: inline` | this process: for debuggers |

<!-- below this line: written by docs/spec.py -->
"""


def reference() -> str:
    """The whole text."""
    parts = [HEAD]
    for title, model in (
        ("A real number", FloatParameter), ("A whole number", IntParameter), ("A choice", ChoiceParameter),
    ):  # fmt: skip
        parts.append(f"### {title}\n\n{_doc(model)}\n\n{_keys(model)}")
    parts.append(f"## All keys\n\n{_keys(SpecModel)}")
    for name, model in (
        ("metric", MetricModel), ("objectives", ObjectiveModel), ("choose", ChooseModel),
        ("budget", Budget), ("steps", Steps), ("split", Split), ("warm", Warm), ("finalists", Finalists),
        ("pack", Pack), ("resources", Resources),
    ):  # fmt: skip
        parts.append(f"### {name}\n\n{_doc(model)}\n\n{_keys(model)}")
    searched = ", ".join(f"`{name}`" for name in SEARCHABLE)
    parts.append(
        f"## prepare\n\nMay also be searched, in a group `prepare` of `space`: {searched}.\n\n"
        + _table(("option", "what"), [(f"`{k}`", v) for k, v in OPTIONS.items()])
    )
    parts.append(
        "## augment\n\nStrengths, fixed here or searched as parameters of the same names in `space`; 0 is off.\n\n"
        f"```text\n{_block(augment.__doc__ or '')}\n```"
    )
    parts.append(_hyperparameters())
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _hyperparameters() -> str:
    """What names in `space` mean to a described model."""
    own = {
        name: ", ".join(f"{k} {v}" for k, v in given.items()) for name, given in hyperparameters.OWN_DEFAULTS.items()
    }
    lines = [
        "## Hyperparameters by name",
        "With `model`, these names in `space` mean something; a model of your own gets all others in its `config`.",
        "### Training",
        _table(
            ("name", "default", "from", "below"),
            [
                (f"`{name}`", _told(default), *_limits(name))
                for name, default in ((n, getattr(hyperparameters.Hyperparameters(), n)) for n in hyperparameters.NAMES)
            ],
        ),
        f"`optimizer`: {', '.join(hyperparameters.OPTIMIZERS)}. `schedule`: {', '.join(hyperparameters.SCHEDULES)}. "
        f"`loss`: {', '.join(hyperparameters.LOSSES)}. "
        + " ".join((hyperparameters.Hyperparameters.__doc__ or "").split()),
        "Defaults of single optimizers: " + "; ".join(f"{name}: {told}" for name, told in own.items()) + ".",
    ]
    for family in models.families().values():
        rows = [(f"`{name}`", _told(value)) for name, value in family.defaults.items()]
        lines.append(f"### model: {family.name}\n\n{family.doc[0].upper()}{family.doc[1:]}.")
        lines.append(_table(("name", "default"), rows))
    return "\n\n".join(lines)


def _limits(name: str) -> tuple[str, str]:
    low, high = hyperparameters.LIMITS.get(name, ("", None))
    return str(low), "" if high is None else str(high)


def _keys(model: type[BaseModel]) -> str:
    schema = model.model_json_schema(by_alias=True)
    rows = []
    for name, entry in schema["properties"].items():
        needed = name in schema.get("required", ())
        rows.append((f"`{name}`", _takes(entry, schema), "needed" if needed else _default(entry), _what(entry)))
    return _table(("key", "takes", "default", "what"), rows)


def _what(entry: Mapping[str, Any]) -> str:
    return str(entry.get("description", ""))


def _default(entry: Mapping[str, Any]) -> str:
    default = entry.get("default")
    return "" if default is None else _told(default)


def _takes(entry: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """The kind of value, in a word or two."""
    if "$ref" in entry:
        return "a mapping"
    if "anyOf" in entry:
        kinds = [_takes(one, schema) for one in entry["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in entry or "const" in entry:
        return ", ".join(map(_told, entry.get("enum", [entry.get("const")])))
    kind = entry.get("type", "")
    if isinstance(kind, list):
        return " or ".join(dict.fromkeys(_KINDS[one] for one in kind if one != "null"))
    return (
        f"[{', '.join(['...'] * 2)}]" if kind == "array" and entry.get("maxItems") == 2 else _KINDS.get(kind, "a value")
    )


_KINDS = {
    "string": "text", "integer": "a whole number", "number": "a number", "boolean": "true, false", "array": "a list",
    "object": "a mapping",
}  # fmt: skip


def _told(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _doc(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def _block(text: str) -> str:
    """The indented lines of a docstring."""
    return "\n".join(line[4:] for line in text.splitlines() if line.startswith("    "))


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = list(head)
    lines = [titles, ["---"] * len(titles), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    FILE.write_text(reference(), encoding="utf-8")
    print(f"{FILE.name}: {len(reference().splitlines())} lines", file=sys.stderr)
