"""The entry `space`: from plain data to a Space, with every complaint at its place."""

import math
import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from automl.core.notation import FOREIGN, FORMS
from automl.core.space import Choice, Float, Int, Parameter, Space, Value, is_described, parameter
from automl.data.preparing import options
from automl.errors import SpecError, did_you_mean
from automl.specfile.entries.parameters import PARAMETERS
from automl.specfile.yaml.complaint import Path
from automl.specfile.yaml.explain import explain, shown
from automl.specfile.yaml.places import Places

_NAME = re.compile(r"[^\W\d][\w-]*")
_OPTIONS = {"log", "step", "default", "when", "ordered", "tuples"}
_MANY_CHOICES = 4  # more sorted numbers than that may be meant as an ordered choice
_DECADES = 2  # a wider linear range may be meant as a logarithmic one


def read(tree: Any, places: Places, *, builtin: bool = False) -> Space | None:
    """The space described by plain data.

    Args:
        tree: the entry `space`, with presets inserted.
        places: takes complaints and warnings.
        builtin: of the built-in task, which reads the parameters of a group `prepare` itself: see `name_of`.

    Returns:
        None if it has mistakes.
    """
    if not isinstance(tree, dict):
        return None  # SpecModel has already complained
    before = places.found
    params: dict[str, Parameter] = {}
    constants: dict[str, Value] = {}
    groups: dict[str, str] = {}
    paths: dict[str, Path] = {}
    for path, item in _entries(tree, places):
        name = name_of(path, builtin=builtin)
        if name in paths:
            first = f"first in line {places.line(paths[name])}"
            places.complain(path, f"parameter names must be unique across groups ({first})", key=True)
            continue
        paths[name] = path
        value = _parameter(path, item, places)
        if isinstance(value, Float | Int | Choice):
            params[name] = value
        elif value is not _WRONG:
            constants[name] = value
        if len(path) == 3:
            groups[name] = str(path[1])
        if builtin and name.startswith(options.PREFIX):
            _preparation(name, path, value, places)
    if not paths and places.names_known and places.found == before:
        places.complain(("space",), "has no parameters")
    _conditions(params, constants, paths, places)
    if places.found > before or places.refused(("space",)) or not places.names_known:
        return None
    _warnings(params, paths, places)
    try:
        return Space(params, constants, groups)
    except SpecError as error:
        places.complain(("space",), str(error))
        return None


def names(tree: Any, *, builtin: bool = False) -> list[str]:
    """Names of all parameters and constants, also if some of them are wrong; arguments as for `read`."""
    return list(paths(tree, builtin=builtin))


def paths(tree: Any, *, builtin: bool = False) -> dict[str, Path]:
    """{name of a parameter or constant: its path}; arguments as for `read`."""
    found: dict[str, Path] = {}
    for name, item in tree.items() if isinstance(tree, dict) else ():
        inner: list[Path] = [("space", name, one) for one in item] if _is_group(item) else [("space", name)]
        found |= {name_of(path, builtin=builtin): path for path in inner}
    return found


def name_of(path: Path, *, builtin: bool) -> str:
    """The name of the parameter at `path`: `pca` in the group `prepare` of a built-in task is `prepare_pca`."""
    name = str(path[-1])
    mine = builtin and len(path) == 3 and path[1] == "prepare" and not name.startswith(options.PREFIX)
    return options.PREFIX + name if mine else name


def _preparation(name: str, path: Path, value: Any, places: Places) -> None:
    """Complain where a searched option of the preparation does not exist or has a wrong value."""
    values = value.choices if isinstance(value, Choice) else () if isinstance(value, Float | Int) else (value,)
    message, hint = options.problem(name, tuple(values)) if value is not _WRONG else ("", "")
    if message:
        places.complain(path, message, hint, key="no option" in message)


_WRONG: Any = object()


def _is_group(item: Any) -> bool:
    return isinstance(item, dict) and not is_described(item) and not _mistyped(item)


def _mistyped(item: Mapping[str, Any]) -> bool:
    """Whether a mapping looks like a parameter with a wrong kind (`{flaot: [0, 1]}`, `{min: 0, max: 1}`)."""
    wrong = [k for k in item if k not in _OPTIONS]
    if not wrong or any(isinstance(v, dict) for k, v in item.items() if k != "when"):
        return False
    return all(k in FOREIGN or did_you_mean(k, PARAMETERS) for k in wrong)


def _entries(tree: Mapping[str, Any], places: Places) -> list[tuple[Path, Any]]:
    """(path, description) of every parameter and constant."""
    found: list[tuple[Path, Any]] = []
    for name, item in tree.items():
        path: Path = ("space", name)
        _check_name(path, places)
        if not _is_group(item):
            found.append((path, item))
            continue
        if "use" in item:
            continue  # a preset that could not be read; there is a complaint already
        if not item:
            places.complain(path, "the group is empty; remove it or add a parameter")
        for inner, description in item.items():
            _check_name((*path, inner), places)
            if _is_group(description):
                places.complain(
                    (*path, inner),
                    f"needs one of float, int, choice, got {shown(description)}; a group cannot contain groups",
                )
            else:
                found.append(((*path, inner), description))
    return found


def _check_name(path: Path, places: Places) -> None:
    name = str(path[-1])
    if not _NAME.fullmatch(name):
        places.complain(path, f"{name!r} is not a valid name; use letters, digits and _", key=True)


def _parameter(path: Path, item: Any, places: Places) -> Any:
    """A parameter, a constant, or _WRONG after a complaint."""
    if item is None:
        places.complain(
            path, "has no value", "; write a list, {float: [low, high]}, {int: ...} or a constant", key=True
        )
        return _WRONG
    before = places.found
    if places.refused(path):
        return _WRONG
    if isinstance(item, list):
        _choices(path, item, places)
    elif isinstance(item, dict):
        _described(path, item, places)
    if places.found > before:
        return _WRONG
    try:
        return parameter(_cleaned(item))
    except SpecError as error:
        message = str(error)
        places.complain(path, message, at=_culprit(path, item, message))
        return _WRONG


def _cleaned(item: Any) -> Any:
    return {k: v for k, v in item.items() if v is not None or k == "default"} if isinstance(item, dict) else item


def _choices(path: Path, values: list[Any], places: Places) -> None:
    for k, value in enumerate(values):
        if _has_mapping(value):
            places.complain(
                (*path, k), "a choice may contain text, numbers, true, false, null and lists, got " + shown(value),
                "; use a name, and look the value up in your code",
            )  # fmt: skip
    if not values:
        places.complain(path, "a choice needs at least one value")


def _has_mapping(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(_has_mapping(one) for one in value))


def _described(path: Path, item: dict[str, Any], places: Places) -> None:
    kinds = [kind for kind in PARAMETERS if kind in item]
    if len(kinds) != 1:
        wrong = next((k for k in item if k not in _OPTIONS), None)
        if len(kinds) > 1:
            places.complain(
                (*path, kinds[1]), f"needs exactly one of float, int, choice, got {' and '.join(kinds)}", key=True
            )
        else:
            hint = did_you_mean(wrong, PARAMETERS) if wrong and wrong not in FOREIGN else ""
            hint = hint or f"; {FORMS}"
            got = f", got {wrong!r}" if wrong else ""
            at = (*path, wrong) if wrong else path
            places.complain(path, f"needs one of float, int, choice{got}", hint, key=True, at=at)
        return
    kind = kinds[0]
    try:
        PARAMETERS[kind].model_validate(item)
    except ValidationError as error:
        for below, message, hint, key in explain(error, PARAMETERS[kind]):
            if key and message == "unknown key":
                allowed = ", ".join(f.alias or n for n, f in PARAMETERS[kind].model_fields.items())
                message, hint = f"{kind} has no option {below[-1]!r}", hint or f" (options: {allowed})"
            if below and below[0] == kind and len(below) == 1:
                message = f"{kind} needs [low, high], got {shown(item[kind])}" if kind != "choice" else message
            places.complain((*path, *below), message, hint, key=key)
    if kind == "choice" and isinstance(item["choice"], list):
        _choices((*path, "choice"), item["choice"], places) if item["choice"] else None


def _culprit(path: Path, item: Any, message: str) -> Path:
    """The path of what breaks a rule: a number, an option, or the whole parameter."""
    if not isinstance(item, dict):
        return path
    kind = next(k for k in PARAMETERS if k in item)
    if message.startswith("default") and "default" in item:
        return (*path, "default")
    if message.startswith(("log needs low", "int needs a whole number within")):
        return (*path, kind, 1 if "for high" in message else 0)
    if "needs low < high" in message:
        return (*path, kind)
    if message.startswith("step") or "log and step" in message:
        return (*path, "step")
    return (*path, kind)


def _conditions(
    params: Mapping[str, Parameter], constants: Mapping[str, Value], paths: Mapping[str, Path], places: Places
) -> None:
    for name, p in params.items():
        for parent, allowed in p.when.items():
            at = (*paths[name], "when", parent)
            if parent not in paths and not places.names_known:
                continue
            if parent not in paths:
                hint = did_you_mean(parent, [n for n in paths if n != name])
                places.complain(paths[name], f"the condition uses {parent!r}, which is not a parameter", hint, at=at)
            elif parent == name:
                places.complain(paths[name], "a parameter cannot depend on itself", at=at)
            elif not allowed:
                places.complain(paths[name], f"the condition has an empty list of values for {parent}", at=at)
            elif _is_real(params.get(parent)):
                rule = f"the condition uses {parent}, a real number, which never has exactly one value"
                places.complain(paths[name], rule, f"; give {parent} a step, or depend on a choice", at=at)
            elif parent in params:
                for value in allowed:
                    _possible(name, parent, value, params[parent], paths[name], at, places)
    _cycles(params, paths, places)


def _is_real(p: Parameter | None) -> bool:
    return isinstance(p, Float) and math.isinf(p.size)


def _possible(name: str, parent: str, value: Any, p: Parameter, path: Path, at: Path, places: Places) -> None:
    if p.contains(value):
        return
    if isinstance(p, Choice):
        near = did_you_mean(value, [c for c in p.choices if isinstance(c, str)]) if isinstance(value, str) else ""
        rule = near or f"; {parent} is one of {shown(list(p.choices))}"
    else:
        rule = f"; {parent} is in {shown([p.low, p.high])}"
    places.complain(path, f"the condition {parent} = {shown(value)} is never fulfilled", rule, at=at)


def _cycles(params: Mapping[str, Parameter], paths: Mapping[str, Path], places: Places) -> None:
    waiting = {n: {w for w in p.when if w in params and w != n} for n, p in params.items()}
    while free := [n for n, parents in waiting.items() if not parents & waiting.keys()]:
        for name in free:
            del waiting[name]
    needed = set().union(*waiting.values()) if waiting else set()
    cycle = [n for n in waiting if n in needed]
    if cycle:
        places.complain(
            paths[cycle[0]], f"the conditions form a cycle ({', '.join(cycle)})", at=(*paths[cycle[0]], "when")
        )


def _warnings(params: Mapping[str, Parameter], paths: Mapping[str, Path], places: Places) -> None:
    """Warn of parameters that are valid but probably not meant so."""
    for name, p in params.items():
        if isinstance(p, Float) and not p.log and p.step is None and p.low > 0:
            decades = math.log10(p.high / p.low)
            if decades > _DECADES:
                rule = f"a linear range over {decades:.1f} decades is mostly searched near {p.high:g}"
                places.warn(paths[name], f"{rule}; consider log: true")
        if isinstance(p, Choice) and not p.ordered and len(p.choices) > _MANY_CHOICES:
            numbers = [v for v in p.choices if isinstance(v, int | float) and not isinstance(v, bool)]
            if len(numbers) == len(p.choices) and numbers == sorted(numbers):
                hint = "if neighbouring values behave similarly, write {choice: [...], ordered: true}"
                places.warn(paths[name], f"a choice of {len(numbers)} sorted numbers; {hint}")
