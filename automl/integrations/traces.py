"""Traces of define-by-run trials: which parameters a function has asked for, and the conditional space they are of."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from automl.core.parameters import Choice, Float, Int, Parameter
from automl.core.space import Config, Space, Value, parameter
from automl.core.trial import State
from automl.errors import LedgerError

FILE = "traces.jsonl"
MOST_VALUES = 20
"""A parameter with more values than these is no condition of another one."""


@dataclass
class Trace:
    """One call of the function.

    Attributes:
        number: of the trial.
        params: what it has asked for, in that order, and what it got.
        ranges: the parameter as it was asked for.
        curve: (step, value) of its reports.
        value: what it returned.
        state: done, stopped or failed.
        reason: why it was stopped or failed.
        attributes: what it noted itself.
    """

    number: int
    params: dict[str, Value] = field(default_factory=dict)
    ranges: dict[str, Parameter] = field(default_factory=dict)
    curve: list[tuple[int, float]] = field(default_factory=list)
    value: float | None = None
    state: State = State.DONE
    reason: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        ranges = Space(self.ranges).to_json()
        return {**vars(self), "ranges": ranges, "state": str(self.state)}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> "Trace":
        """What `to_json` has written."""
        ranges = {name: parameter(entry) for name, entry in plain["ranges"].items()}
        known = {name: one for name, one in ranges.items() if isinstance(one, Float | Int | Choice)}
        curve = [(int(step), float(value)) for step, value in plain["curve"]]
        return cls(**{**plain, "ranges": known, "curve": curve, "state": State(plain["state"])})


def space_of(traces: Sequence[Trace]) -> tuple[Space, frozenset[str]]:
    """The space that the traces come from.

    A parameter that only some trials asked for depends on an earlier one, if that had other values in these trials than
    in the others. The range of a parameter is the widest that was asked for.

    Returns:
        the space, and the parameters that are left out: what decides about them was not found.
    """
    params: dict[str, Parameter] = {}
    loose = set()
    whole = [trace for trace in traces if trace.state is not State.FAILED]  # others may have ended before they asked
    for name in dict.fromkeys(name for trace in traces for name in trace.params):
        merged = _merged([trace.ranges[name] for trace in traces if name in trace.ranges])
        if all(name in trace.params for trace in whole):
            params[name] = merged
        elif (condition := _condition(name, params, whole)) is not None:
            params[name] = replace(merged, when=condition)
        else:
            loose.add(name)
    return Space(params), frozenset(loose)


def _condition(name: str, params: Mapping[str, Parameter], whole: Sequence[Trace]) -> dict[str, list[Value]] | None:
    """The earlier parameter, and its values, with which `name` was asked for; None where there is none."""
    having = [trace for trace in whole if name in trace.params]
    others = [trace for trace in whole if name not in trace.params]
    for parent, one in params.items():
        if one.size > MOST_VALUES or not all(parent in trace.params for trace in having):
            continue
        values = {_key(trace.params[parent]): trace.params[parent] for trace in having}
        if not values.keys() & {_key(trace.params[parent]) for trace in others if parent in trace.params}:
            return {parent: list(values.values())}
    return None


def _key(value: Value) -> str:
    return json.dumps(value)


def _merged(asked: Sequence[Parameter]) -> Parameter:
    """One parameter for all that were asked for under a name: the widest range, or all choices."""
    last = asked[-1]
    alike = [one for one in asked if type(one) is type(last)]
    if isinstance(last, Choice):
        values = {_key(value): value for one in alike if isinstance(one, Choice) for value in one.choices}
        return replace(last, choices=tuple(values.values()))
    ends = [(one.low, one.high) for one in alike if isinstance(one, Float | Int)]
    return replace(last, low=min(low for low, _ in ends), high=max(high for _, high in ends))  # type: ignore[arg-type]


def config_of(trace: Trace, space: Space) -> Config:
    """The trace as a point of `space`; what it did not come to ask for is filled in at random."""
    own = {name: value for name, value in trace.params.items() if name in space.params}
    if space.contains(own):
        return space.canonical(own)
    drawn = space.sample(np.random.default_rng(trace.number))
    mixed = space.build(lambda _, name: own.get(name, drawn.get(name, space.params[name].from_unit(0.5))))
    return mixed if space.contains(mixed) else drawn


def append(folder: Path, trace: Trace) -> None:
    """Write the trace behind the others, and flush it to the disk."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(trace.to_json()) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read(folder: Path) -> list[Trace]:
    """The traces in a folder; a last line that was never finished does not count, and is removed.

    Raises:
        LedgerError: another line is damaged.
    """
    file = folder / FILE
    if not file.is_file():
        return []
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        file.write_text("".join(lines := lines[:-1]), encoding="utf-8")
    try:
        return [Trace.of(json.loads(line)) for line in lines]
    except (ValueError, KeyError, TypeError) as error:
        raise LedgerError(f"{file}: is damaged ({error})") from error
