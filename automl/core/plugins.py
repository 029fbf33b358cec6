"""From a plugin's name to the object: entry points, options checked, near names told, broken plugins bearable."""

import dataclasses
import importlib.metadata
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

from automl.errors import SpecError, UnknownPlugin, did_you_mean

Group = Literal["strategies", "stoppers", "executors", "search_spaces", "loggers"]
SINGULAR = {
    "strategies": "strategy",
    "stoppers": "stopper",
    "executors": "executor",
    "search_spaces": "search space",
    "loggers": "logger",
}


@cache
def _entries(group: Group) -> dict[str, importlib.metadata.EntryPoint]:
    return {entry.name: entry for entry in importlib.metadata.entry_points(group=f"automl.{group}")}


def names(group: Group) -> list[str]:
    """Names of the installed plugins of a group, sorted; nothing is imported."""
    return sorted(_entries(group))


def target(group: Group, name: str) -> str:
    """Where the plugin lives, `package.module:attribute`; nothing is imported. KeyError when it is not installed."""
    return _entries(group)[name].value


def load(group: Group, name: str) -> Any:
    """The plugin's class (or function), imported now.

    Raises:
        UnknownPlugin: no such name (with the nearest and all installed ones), or its import fails (with the reason).
    """
    entries = _entries(group)
    if name not in entries:
        installed = ", ".join(sorted(entries)) or "none; run `pip install -e .` to register the built-in ones"
        raise UnknownPlugin(f"unknown {SINGULAR[group]} {name!r}{did_you_mean(name, entries)} (installed: {installed})")
    try:
        return entries[name].load()
    except Exception as error:
        raise UnknownPlugin(
            f"{SINGULAR[group]} {name!r} ({entries[name].value}) cannot be loaded: {type(error).__name__}: {error}"
        ) from error


def make(group: Group, described: str | Mapping[str, Any] | object) -> Any:
    """A plugin object from its name, from `{"name": ..., option: value}`, or the object itself as it is.

    Raises:
        UnknownPlugin: no such plugin.
        SpecError: an option it does not have, or a value it refuses.
    """
    if isinstance(described, str):
        described = {"name": described}
    if not isinstance(described, Mapping):
        return described
    options = dict(described)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise SpecError(f"{SINGULAR[group]} needs a name, e.g. {{name: {names(group)[0]}}}")
    made = load(group, name)
    known = [f.name for f in dataclasses.fields(made) if f.init] if dataclasses.is_dataclass(made) else list(options)
    for option in options:
        if option not in known:
            has = f"its options are {', '.join(known)}" if known else "it has none"
            raise SpecError(f"{SINGULAR[group]} {name!r} has no option {option!r}{did_you_mean(option, known)} ({has})")
    try:
        return made(**options)
    except (TypeError, ValueError) as error:
        raise SpecError(f"{SINGULAR[group]} {name!r}: {error}") from None
