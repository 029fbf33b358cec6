"""Rows of another program's study, and how their values become values of our parameters."""

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from automl.core.parameters import Choice, Int, Parameter, Value
from automl.core.space import Config, Space

FAILED = {"fail", "failed", "crashed", "killed", "abandoned", "error", "running", "waiting", "preempted", "staged"}
"""States, in lower case, of trials that have no result."""
STOPPED = {"pruned", "early_stopped", "earlystopped", "stopped"}


@dataclass(frozen=True)
class Row:
    """One trial. `curve`: (step, value) of its reports; empty where only its `value` is known."""

    values: Mapping[str, Any]  # as the other program has them
    value: float | None
    curve: Sequence[tuple[int, float]] = ()
    state: str = "complete"

    @property
    def failed(self) -> bool:
        """Whether it has no result."""
        known = self.value is not None and math.isfinite(self.value)
        return not known or self.state.lower().rsplit(".", 1)[-1] in FAILED

    @property
    def stopped(self) -> bool:
        """Whether it was stopped early."""
        return self.state.lower().rsplit(".", 1)[-1] in STOPPED


def config_of(values: Mapping[str, Any], space: Space) -> tuple[Config | None, str]:
    """The config that a row's values are, and why there is none: the parameter that is missing or does not fit."""
    by_name = {name: found for name in space.params if (found := looked_up(values, name)) is not None}
    config: Config = dict(space.constants)
    for _, name in space.parents_first:
        p = space.params[name]
        if not space.active(name, config):
            continue
        if name not in by_name:
            return None, f"{name} is missing"
        value = converted(p, by_name[name])
        if value is None or not p.contains(value[0]):
            return None, f"{name} = {by_name[name]!r:.40}"
        config[name] = value[0]
    return space.canonical(config), ""


def looked_up(values: Mapping[str, Any], name: str) -> Any:
    """The value of the column called `name`, or of one such as `params_NAME`, `config.NAME` or `config/NAME`."""
    for column in (name, f"params_{name}", f"config.{name}", f"config/{name}"):
        if _given(values.get(column)):
            return values[column]
    ends = [column for column in values if column.replace("/", ".").rsplit(".", 1)[-1] == name]
    return values[ends[0]] if len(ends) == 1 and _given(values[ends[0]]) else None


def _given(value: Any) -> bool:
    return value is not None and value != "" and not (isinstance(value, float) and math.isnan(value))


def converted(p: Parameter, found: Any) -> tuple[Value] | None:
    """A value of another program as one of ours; None where it is no value of that kind."""
    if isinstance(p, Choice):
        return _choice(p, found)
    try:
        number = float(found)
    except (TypeError, ValueError):
        return None
    if not math.isfinite(number):
        return None
    return (round(number),) if isinstance(p, Int) and abs(number - round(number)) < 1e-6 else (number,)


def _choice(p: Choice, found: Any) -> tuple[Value] | None:
    if p.contains(found):
        return (p.given(found),)
    for value in p.choices:
        if str(value) == str(found) or (value is None and str(found).lower() in ("none", "null", "nan")):
            return (value,)
    with suppress(TypeError, ValueError):
        read = json.loads(str(found).lower() if str(found) in ("True", "False") else str(found))
        if p.contains(read):
            return (p.given(read),)
        if isinstance(read, float) and p.contains(int(read)) and int(read) == read:
            return (p.given(int(read)),)
    return None


def number(found: Any) -> float | None:
    """A value as a number; None where it is none."""
    try:
        return float(found)
    except (TypeError, ValueError):
        return None
