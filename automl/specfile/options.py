"""Checks names and options of strategies, stoppers and executors without importing anything heavy.

A plugin's module is imported only when its source imports nothing but the standard library, numpy and our own light
modules; then the object is built, and its own error is reported. Otherwise the options are read from the syntax tree of
the source.
"""

import ast
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from automl.core import plugins
from automl.errors import SpecError, UnknownPlugin, did_you_mean

_PROTOCOLS = {"Strategy", "Stopper", "Executor", "Protocol", "Note", "Generic", "object"}
Found = tuple[tuple[str, ...], str, str]


def check(group: plugins.Group, described: Mapping[str, Any]) -> list[Found]:
    """Mistakes in a plugin described as `{"name": ..., option: value}`.

    Args:
        group: what kind of plugin it is.
        described: its name and options.

    Returns:
        (path below the plugin's key, message, hint) of each mistake.
    """
    name, options = described["name"], {k: v for k, v in described.items() if k != "name"}
    known = plugins.names(group)
    if name not in known:
        installed = ", ".join(known) or "none; install the package to register its plugins"
        return [
            (
                (),
                f"unknown {plugins.SINGULAR[group]} {name!r}",
                did_you_mean(name, known) or f" (installed: {installed})",
            )
        ]
    module, _, attribute = plugins.target(group, name).partition(":")
    tree = _source(module)
    if tree is None or not attribute:
        return []
    fields = _fields(tree, attribute)
    if fields is None:
        return []
    has = f" (options: {', '.join(fields)})" if fields else " (it has no options)"
    unknown = [o for o in options if o not in fields]
    if unknown:
        return [
            ((o,), f"{plugins.SINGULAR[group]} {name!r} has no such option", did_you_mean(o, fields) or has)
            for o in unknown
        ]
    if group == "executors" or not _light(module):
        return []
    try:
        plugins.make(group, described)
    except UnknownPlugin:
        return []
    except SpecError as error:
        message = str(error).removeprefix(f"{plugins.SINGULAR[group]} {name!r}: ").removeprefix(f"{name}: ")
        return [(next(((o,) for o in options if o in message), ()), message, "")]
    return []


@cache
def _source(module: str) -> ast.Module | None:
    """The syntax tree of a module, which is not imported for this (its packages are)."""
    try:
        spec = importlib.util.find_spec(module)
        source = spec.loader.get_source(module) if spec and spec.loader else None  # type: ignore[attr-defined]
        return ast.parse(source) if source else None
    except (ImportError, AttributeError, SyntaxError, ValueError):
        return None


def _fields(tree: ast.Module, name: str) -> list[str] | None:
    """The annotated fields of the class `name`, those of bases in the same module first; None if they are unknown."""
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    node = classes.get(name)
    if node is None or not any("dataclass" in ast.unparse(d) for d in node.decorator_list):
        return None
    fields: dict[str, None] = {}
    for base in node.bases:
        short = ast.unparse(base).split("[")[0].rsplit(".", 1)[-1]
        if short in classes:
            inherited = _fields(tree, short)
            if inherited is None:
                return None
            fields |= dict.fromkeys(inherited)
        elif short not in _PROTOCOLS:
            return None
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and _is_option(line):
            fields[line.target.id] = None
    return list(fields)


def _is_option(line: ast.AnnAssign) -> bool:
    hidden = "ClassVar" in ast.unparse(line.annotation)
    return not hidden and not (line.value is not None and "init=False" in ast.unparse(line.value))


@cache
def _light(module: str) -> bool:
    """Whether importing `module` brings in nothing but the standard library, numpy and light modules of its family."""
    return _all_light(module, {module})


def _all_light(module: str, seen: set[str]) -> bool:
    tree = _source(module)
    if tree is None:
        return False
    family = ("automl", module.split(".")[0])
    for name in _imports(tree.body):
        if name.split(".")[0] in sys.stdlib_module_names or name.split(".")[0] == "numpy" or name in seen:
            continue
        seen.add(name)
        if name.split(".")[0] not in family or not _all_light(name, seen):
            return False
    return True


def _imports(lines: list[ast.stmt]) -> Iterator[str]:
    """Modules that are imported when these lines run; functions and `if TYPE_CHECKING` are left out."""
    for line in lines:
        if isinstance(line, ast.Import):
            yield from (alias.name for alias in line.names)
        elif isinstance(line, ast.ImportFrom):
            module = "." * line.level + (line.module or "")
            yield module
            submodules = (f"{module}.{alias.name}" for alias in line.names)
            yield from (name for name in submodules if _is_module(name))
        elif isinstance(line, ast.If) and "TYPE_CHECKING" in ast.unparse(line.test):
            yield from _imports(line.orelse)
        elif isinstance(line, ast.If | ast.Try | ast.ClassDef | ast.With):
            yield from _imports(line.body + getattr(line, "orelse", []) + getattr(line, "finalbody", []))


def _is_module(name: str) -> bool:
    if name.split(".")[0] in sys.stdlib_module_names or name.split(".")[0] == "numpy" or name.startswith("."):
        return False
    package, _, _ = name.rpartition(".")
    if package.split(".")[0] not in ("automl",) and package not in sys.modules:
        return False
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, AttributeError, ValueError):
        return False
