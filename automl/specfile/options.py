"""Checks names and options of strategies, stoppers and executors without importing anything heavy.

Options and their types are read from the syntax tree of the source. Where all is right with these, and the module
imports no heavy library, the object is built, and its own error is reported.
"""

import ast
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from automl.core import option_types, plugins
from automl.errors import SpecError, UnknownPlugin, did_you_mean
from automl.specfile.yaml.explain import shown

_PROTOCOLS = {"Strategy", "Stopper", "Executor", "Protocol", "Note", "Generic", "object"}
_LIGHT = ("numpy", "scipy", "sklearn", "deap")
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
    fields = _fields(module, attribute) if attribute else None
    if fields is None:
        return []
    has = f" (options: {', '.join(fields)})" if fields else " (it has no options)"
    what, found = f"{plugins.SINGULAR[group]} {name!r}", list[Found]()
    for option, value in options.items():
        if option not in fields:
            found.append(((option,), f"{what} has no such option", did_you_mean(option, fields) or has))
        elif needs := option_types.wrong(fields[option], value):
            found.append(((option,), f"needs {needs}, got {shown(value)}", ""))
        elif fields[option] == "Described":
            found += _inner(group, option, value)
    if found or not options or not _light(module):
        return found
    try:
        plugins.make(group, described)
    except UnknownPlugin:
        return []
    except SpecError as error:
        message = str(error).removeprefix(f"{what}: ").removeprefix(f"{name}: ")
        return [(next(((o,) for o in options if o in message), ()), message, "")]
    return []


def is_light(group: plugins.Group, described: Mapping[str, Any]) -> bool:
    """Whether making this plugin, and the ones that it follows, imports no heavy library."""
    inner = [value for value in described.values() if isinstance(value, Mapping) and "name" in value]
    try:
        module = plugins.target(group, str(described.get("name"))).partition(":")[0]
    except KeyError:
        return False
    return _light(module) and all(is_light(group, one) for one in inner)


def _inner(group: plugins.Group, option: str, value: Any) -> list[Found]:
    """Mistakes in a plugin that is an option of another one, such as the strategy that a wrapper follows."""
    inner = {"name": value} if isinstance(value, str) else value
    if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
        return [((option,), f"needs a name, or {{name: ...}}, got {shown(value)}", "")]
    return [((option, *(path if isinstance(value, Mapping) else ())), *rest) for path, *rest in check(group, inner)]  # type: ignore[misc]


@cache
def _source(module: str) -> ast.Module | None:
    """The syntax tree of a module, which is not imported for this (its packages are)."""
    if not module:
        return None
    try:
        spec = importlib.util.find_spec(module)
        source = spec.loader.get_source(module) if spec and spec.loader else None  # type: ignore[attr-defined]
        return ast.parse(source) if source else None
    except (ImportError, AttributeError, SyntaxError, ValueError):
        return None


def _fields(module: str, name: str, *, base: bool = False) -> dict[str, str] | None:
    """{option: its type} of the class `name`, those of its bases first; None where they cannot be seen.

    Args:
        module: that defines the class.
        name: of the class.
        base: it is the base of a plugin's class; without being a dataclass itself it adds no options.
    """
    tree = _source(module)
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)} if tree else {}
    node = classes.get(name)
    if tree is None or node is None:
        return None
    fields: dict[str, str] = {}
    for parent in node.bases:
        short = ast.unparse(parent).split("[")[0].rsplit(".", 1)[-1]
        if short in _PROTOCOLS:
            continue
        inherited = _fields(module if short in classes else _origin(tree, short), short, base=True)
        if inherited is None:
            return None
        fields |= inherited
    if not any("dataclass" in ast.unparse(d) for d in node.decorator_list):
        return fields if base else None
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and _is_option(line):
            fields[line.target.id] = ast.unparse(line.annotation)
    return fields


def _origin(tree: ast.Module, name: str) -> str:
    """The module that `name` is imported from."""
    imported = (line for line in tree.body if isinstance(line, ast.ImportFrom) and line.module and not line.level)
    return next((str(line.module) for line in imported if name in [alias.name for alias in line.names]), "")


def _is_option(line: ast.AnnAssign) -> bool:
    hidden = "ClassVar" in ast.unparse(line.annotation)
    return not hidden and not (line.value is not None and "init=False" in ast.unparse(line.value))


@cache
def _light(module: str) -> bool:
    """Whether importing `module` brings in no torch, Ray or Optuna, and no other unknown library."""
    return _all_light(module, {module})


def _all_light(module: str, seen: set[str]) -> bool:
    tree = _source(module)
    if tree is None:
        return False
    family = ("automl", module.split(".")[0])
    for name in _imports(tree.body):
        if name.split(".")[0] in {*sys.stdlib_module_names, *_LIGHT} or name in seen:
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
    if name.split(".")[0] in {*sys.stdlib_module_names, *_LIGHT} or name.startswith("."):
        return False
    package, _, _ = name.rpartition(".")
    if package.split(".")[0] not in ("automl",) and package not in sys.modules:
        return False
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, AttributeError, ValueError):
        return False
