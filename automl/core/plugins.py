"""From a plugin's name to the object: entry points, options checked, near names told, broken plugins bearable."""

import dataclasses
import importlib.metadata
from collections.abc import Mapping
from functools import cache
from types import MethodType
from typing import Any, Literal

from automl.core.stopper import Stopper
from automl.core.strategy import LoadedStrategy
from automl.errors import SpecError, UnknownPlugin, did_you_mean

Group = Literal["strategies", "stoppers", "executors", "search_spaces", "loggers"]
SINGULAR = {
    "strategies": "strategy",
    "stoppers": "stopper",
    "executors": "executor",
    "search_spaces": "search space",
    "loggers": "logger",
}
PROTOCOLS: dict[str, tuple[type, str]] = {  # of plugins with optional methods: their protocol, and what it demands
    "strategies": (LoadedStrategy, "suggest"),
    "stoppers": (Stopper, "verdict"),
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
    """A plugin object from its name, from `{"name": ..., option: value}`, or from the object itself.

    Optional methods that a strategy's or stopper's class does not have are those of its protocol.

    Raises:
        UnknownPlugin: no such plugin.
        SpecError: an option it does not have, or a value it refuses.
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
    try:
        return completed(group, made(**options))
    except (TypeError, ValueError) as error:
        raise SpecError(f"{SINGULAR[group]} {name!r}: {error}") from None


def completed(group: Group, plugin: Any) -> Any:
    """The plugin itself if it has every method of its protocol, else one with the protocol's defaults for the rest.

    Raises:
        SpecError: it lacks the one method that is not optional.
    """
    if group not in PROTOCOLS:
        return plugin
    protocol, method = PROTOCOLS[group]
    if isinstance(plugin, protocol):
        return plugin
    if not callable(getattr(plugin, method, None)):
        raise SpecError(f"{type(plugin).__name__} is not a {SINGULAR[group]}: it has no method {method!r}")
    return _Completed(plugin, protocol)


class _Completed:
    """A plugin whose class lacks optional methods of its protocol."""

    def __init__(self, plugin: Any, protocol: type) -> None:
        self.plugin, self.protocol = plugin, protocol
        for name in dir(protocol):
            if not name.startswith("_"):
                setattr(self, name, getattr(plugin, name, None) or MethodType(getattr(protocol, name), self))

    def __repr__(self) -> str:
        return repr(self.plugin)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Completed, (self.plugin, self.protocol)
