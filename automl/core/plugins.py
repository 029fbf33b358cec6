"""Plugins by name: found through entry points, imported when asked for, made with their options.

A package offers a strategy with this entry in its pyproject.toml:

    [project.entry-points."automl.strategies"]
    halves = "my_package.halves:Halves"
"""

import dataclasses
import importlib.metadata
from collections.abc import Mapping
from functools import cache
from types import MethodType
from typing import Any, Literal

from automl.core import option_types
from automl.core.stopper import Stopper
from automl.core.strategy import Strategy
from automl.errors import SpecError, UnknownPlugin, did_you_mean

Group = Literal["strategies", "stoppers", "executors", "search_spaces", "loggers"]
Described = str | Mapping[str, Any] | object
"""A plugin: its name, `{"name": ..., option: value}`, or the object."""
SINGULAR = {
    "strategies": "strategy",
    "stoppers": "stopper",
    "executors": "executor",
    "search_spaces": "search space",
    "loggers": "logger",
}
PROTOCOLS: dict[str, tuple[type, str]] = {  # of groups with optional methods: the protocol, and what is not optional
    "strategies": (Strategy, "suggest"),
    "stoppers": (Stopper, "verdict"),
}


@cache
def _entries(group: Group) -> dict[str, importlib.metadata.EntryPoint]:
    return {entry.name: entry for entry in importlib.metadata.entry_points(group=f"automl.{group}")}


def names(group: Group) -> list[str]:
    """The names of the installed plugins of a group, sorted. Imports none of them."""
    return sorted(_entries(group))


def target(group: Group, name: str) -> str:
    """Where the plugin is defined: `package.module:attribute`. Does not import it.

    Raises:
        KeyError: it is not installed.
    """
    return _entries(group)[name].value


def load(group: Group, name: str) -> Any:
    """Import the plugin's class (or function).

    Raises:
        UnknownPlugin: there is no such name (the message has all that are installed), or its import fails.
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


def make(group: Group, described: Described) -> Any:
    """A plugin object.

    Args:
        group: "strategies", "stoppers", ...
        described: its name, `{"name": ..., option: value}`, or the object itself. A strategy or stopper whose class
            lacks optional methods gets the defaults of its protocol.

    Raises:
        UnknownPlugin: there is no plugin of that name.
        SpecError: it has no such option, or does not accept the value.

    Example:
        make("stoppers", {"name": "asha", "eta": 4})
    """
    if isinstance(described, str):
        described = {"name": described}
    if not isinstance(described, Mapping):
        return completed(group, described)
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
    for field in dataclasses.fields(made) if dataclasses.is_dataclass(made) else ():
        if field.name in options and (needs := option_types.wrong(field.type, options[field.name])):
            raise SpecError(f"{SINGULAR[group]} {name!r}: {field.name} needs {needs}, got {options[field.name]!r}")
    try:
        return completed(group, made(**options))
    except (TypeError, ValueError) as error:
        raise SpecError(f"{SINGULAR[group]} {name!r}: {error}") from None


def unfit(strategy: Strategy, stopper: Stopper) -> str:
    """A sentence where a strategy is used without the stopper that belongs to it; else an empty text."""
    wanted = strategy.stopper()
    if not wanted or isinstance(stopper, type(make("stoppers", wanted))):
        return ""
    return f"{type(strategy).__name__} works only with the stopper {wanted}: leave out `stopper`"


def completed(group: Group, plugin: Any) -> Any:
    """The plugin itself if it has all methods of its protocol; else an object that has the protocol's defaults too.

    Raises:
        SpecError: it lacks the one method that has no default.
    """
    if group not in PROTOCOLS:
        return plugin
    protocol, method = PROTOCOLS[group]
    if isinstance(plugin, protocol):
        return plugin
    if not callable(getattr(plugin, method, None)):
        raise SpecError(
            f"a {SINGULAR[group]} is one of the names {', '.join(names(group))}, or an object with a method "
            f"{method!r}; got {plugin!r:.60}"
        )
    return _Completed(plugin, protocol)


class _Completed:
    """A plugin whose class lacks optional methods of its protocol, with the protocol's defaults for them."""

    def __init__(self, plugin: Any, protocol: type) -> None:
        self.plugin, self.protocol = plugin, protocol
        for name in dir(protocol):
            if not name.startswith("_"):
                setattr(self, name, getattr(plugin, name, None) or MethodType(getattr(protocol, name), self))

    def __repr__(self) -> str:
        return repr(self.plugin)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Completed, (self.plugin, self.protocol)
