"""Overrides with dotted paths: `budget.trials=5`, `strategy=grid`, `space.optimizer.lr.high=0.1`.

They change the plain tree before it is checked, so that the same rules apply as to the file. A parameter or a group
that is not there is added: `space.optimizer.momentum={float: [0, 0.99]}`.
"""

from collections.abc import Mapping
from typing import Any

from automl.core.space import is_described
from automl.errors import did_you_mean
from automl.specfile.entries.parameters import PARAMETERS
from automl.specfile.grammar import SpecModel
from automl.specfile.yaml.complaint import Path
from automl.specfile.yaml.events import load
from automl.specfile.yaml.places import Places

_SHORT = ("strategy", "stopper", "executor", "metric")
_DEEP = (*_SHORT, "budget", "steps", "split", "prepare", "augment", "finalists", "resources", "fidelity")
_OPTIONS = ("low", "high", "log", "step", "ordered", "tuples", "default", "when", "float", "int", "choice")


class _Unknown(Exception):
    """There is nothing at the path; args: message, hint."""


def apply(tree: dict[str, Any], overrides: Mapping[str, Any], places: Places) -> None:
    """Change a tree in place.

    Args:
        tree: a deep copy of what was read.
        overrides: {dotted path: value}; text is read as YAML, null removes an entry.
        places: takes complaints, e.g. about unknown paths.
    """
    for name, given in overrides.items():
        label = f"override {name}={given}"
        path: Path = tuple(name.split("."))
        value = given
        if isinstance(given, str):
            read = load(given or "''", label)
            if read.complaints:
                places.overrides[path] = label
                places.complain(path, read.complaints[0].message, read.complaints[0].hint)
                continue
            value = read.value
        try:
            changed = _space(tree, path, value) if path[0] == "space" else _setting(tree, path, value)
        except _Unknown as unknown:
            places.overrides[path] = label
            places.complain(path, *unknown.args)
        else:
            places.overrides[changed] = label


def _setting(tree: dict[str, Any], path: Path, value: Any) -> Path:
    top, *rest = (str(part) for part in path)
    if top == "use":
        raise _Unknown("a preset stands in a group of the space", "; write space.architecture.use=...")
    if top not in SpecModel.names():
        raise _Unknown("unknown path", did_you_mean(top, SpecModel.names()))
    if not rest:
        _put(tree, top, value)
        return path
    if top not in _DEEP:
        raise _Unknown(f"{top} is a single value; write {top}=...", "")
    node = tree.get(top)
    if isinstance(node, str) and top in _SHORT:
        node = {"name": node}
    node = tree[top] = node if isinstance(node, dict) else {}
    for part in rest[:-1]:
        node = node.setdefault(part, {})
        if not isinstance(node, dict):
            raise _Unknown(f"{part} is a single value", "")
    _put(node, rest[-1], value)
    return path


def _put(node: dict[str, Any], name: str, value: Any) -> None:
    """Set an entry; None removes it."""
    if value is None:
        node.pop(name, None)
    else:
        node[name] = value


def _space(tree: dict[str, Any], path: Path, value: Any) -> Path:
    space = tree.get("space")
    if len(path) == 1 and isinstance(value, dict):
        tree["space"] = value
        return path
    if len(path) == 1 or not isinstance(space, dict):
        raise _Unknown("needs the path of a parameter, e.g. space.lr.high=0.1", "")
    holder, where, rest = _find(space, tuple(str(part) for part in path[1:]), value)
    name = where[-1]
    if rest:
        holder[name] = _changed(holder[name], name, rest, value)
    else:
        holder[name] = value
    return ("space", *where)


def _find(
    space: dict[str, Any], names: tuple[str, ...], value: Any
) -> tuple[dict[str, Any], tuple[str, ...], list[str]]:
    """Where an override points to.

    Returns:
        (the dict that has the entry, its path below space, the rest of the path).
    """
    first, *rest = names
    if first == "use":
        raise _Unknown("a preset stands in a group of the space", "; write space.architecture.use=...")
    groups = {name: inner for name, inner in space.items() if isinstance(inner, dict) and not is_described(inner)}
    group = groups.get(first)
    if group is not None and not rest and (first not in group or isinstance(value, dict)):
        return space, (first,), []
    if group is not None and rest and (rest[0] in group or rest[0] == "use"):
        return group, (first, rest[0]), rest[1:]
    if first in space and group is None:
        return space, (first,), rest
    for name, inner in groups.items():
        if first in inner and (group is None or not rest or rest[0] in _OPTIONS):
            return inner, (name, first), rest
    known = [*space, *(name for inner in groups.values() for name in inner)]
    if group is not None and len(rest) == 1:
        _may_be_added(rest[0], value, known, f"group {first!r} has no parameter {rest[0]!r}")
        return group, (first, rest[0]), []
    if len(rest) <= 1 and first not in space and not (rest and rest[0] in _OPTIONS):
        _may_be_added(rest[-1] if rest else first, value, known, f"no group or parameter {first!r}")
        if not rest:
            return space, (first,), []
        space[first] = {}
        return space[first], (first, rest[0]), []
    if group is not None:
        raise _Unknown(f"group {first!r} has no parameter {rest[0]!r}", did_you_mean(rest[0], group))
    raise _Unknown(f"no group or parameter {first!r}", did_you_mean(first, known))


def _may_be_added(name: str, value: Any, known: list[str], message: str) -> None:
    """Refuse to add what is probably a misspelt name: a single value for a name like one that is there."""
    if near := "" if isinstance(value, dict | list) or name == "use" else did_you_mean(name, known):
        raise _Unknown(message, f"{near} (to add it all the same: {name}={{choice: [{value}]}})")


def _changed(item: Any, name: str, rest: list[str], value: Any) -> Any:
    """A parameter with one option changed."""
    option = rest[0]
    if option not in _OPTIONS:
        raise _Unknown(f"a parameter has no option {option!r}", did_you_mean(option, _OPTIONS))
    if isinstance(item, list):
        item = {"choice": item}
    if not isinstance(item, dict):
        raise _Unknown(f"{name} is the constant {item!r}; write {name}=...", "")
    if option == "when" and len(rest) == 2:
        return {**item, "when": {**(item.get("when") or {}), rest[1]: value}}
    if len(rest) > 1:
        raise _Unknown(f"{option} is a single value", "")
    if option not in ("low", "high"):
        kept = {k: v for k, v in item.items() if option not in PARAMETERS or k not in PARAMETERS}
        _put(kept, option, value)
        return kept
    kind = next((k for k in ("float", "int") if isinstance(item.get(k), list) and len(item[k]) == 2), None)
    if kind is None:
        raise _Unknown(f"{name} has no {option}: it is not a range", "")
    low, high = item[kind]
    return {**item, kind: [value, high] if option == "low" else [low, value]}
