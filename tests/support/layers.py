"""The order of the folders, and who imports whom, read from the source without running it."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.support.paths import ROOT

LEVELS: Sequence[Sequence[str]] = (
    ("errors", "version", "moved"),
    ("metrics",),
    ("core",),
    ("data", "leaderboard", "stopping"),
    ("models",),
    ("adapting",),
    ("training", "bundle"),
    ("specfile",),
    ("fused", "study", "serving"),
    ("worker",),
    ("driver",),
    ("tasks",),
    ("evaluation", "view", "integrations", "executors"),
    ("compression",),
    ("api",),
    ("estimators", "judging", "agents", "updating", "sweeping"),
    ("cli", "testing"),
)
"""The folders (and root modules) of automl/, the lowest first: each imports only from the levels above its own line."""

ROOT_FILES = ("__init__", "__main__", "callbacks")
"""Root files that only pass names on: they may import anything, but only when a name is asked for."""

PLUGIN_PACKAGES: Mapping[str, Path] = {
    "automl_strategies": ROOT / "strategies" / "automl_strategies",
    "automl_search_spaces": ROOT / "search_spaces" / "automl_search_spaces",
}
PACKAGES: Mapping[str, Path] = {"automl": ROOT / "automl", **PLUGIN_PACKAGES}


@dataclass(frozen=True)
class Import:
    """One imported name. `file` is the file of ours that it comes from, None for other packages."""

    module: str
    name: str
    line: int
    at_top: bool  # runs when the module is imported
    typing_only: bool  # inside `if TYPE_CHECKING:`
    file: Path | None


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(), filename=str(path))


@cache
def sources() -> tuple[Path, ...]:
    """All Python files of the packages."""
    return tuple(file for package in PACKAGES.values() for file in sorted(package.rglob("*.py")))


def where(path: Path) -> str:
    """The path as shown in messages."""
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    """The dotted name under which a file is imported."""
    package = next(p for p in PACKAGES.values() if path.is_relative_to(p))
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def folder_of(path: Path) -> str:
    """The folder (or root module) of automl/ that a file is in; the package's name for a plugin package."""
    parts = module_of(path).split(".")
    return parts[0] if parts[0] != "automl" else parts[1] if len(parts) > 1 else "__init__"


@cache
def file_of(module: str) -> Path | None:
    """The file behind a dotted name, None where it is not ours or no module."""
    first, *rest = module.split(".")
    if first not in PACKAGES:
        return None
    at = PACKAGES[first].joinpath(*rest)
    for file in (at.with_suffix(".py"), at / "__init__.py"):
        if file.exists():
            return file
    return None


@cache
def imports(path: Path) -> tuple[Import, ...]:
    """Every import of a file: at the top, inside functions, relative ones, and those for type checking."""
    return tuple(_imports(path, tree(path), at_top=True, typing_only=False))


def _imports(path: Path, node: ast.AST, *, at_top: bool, typing_only: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, "", child.lineno, at_top, typing_only, file_of(alias.name))
        elif isinstance(child, ast.ImportFrom):
            module = _absolute(path, child)
            for alias in child.names:
                file = file_of(f"{module}.{alias.name}") or file_of(module)
                yield Import(module, alias.name, child.lineno, at_top, typing_only, file)
        elif not isinstance(child, ast.expr):  # no expression holds an import
            guarded = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            inside = at_top and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(path, child, at_top=inside, typing_only=typing_only or guarded)


def _absolute(path: Path, node: ast.ImportFrom) -> str:
    """The module that `from module import ...` names, also where it is relative (`from . import ...`)."""
    if not node.level:
        return node.module or ""
    package = module_of(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    return ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])


def circles() -> list[list[str]]:
    """Groups of files that import one another in a circle (strongly connected components, Tarjan 1972)."""
    graph = {file: [i.file for i in imports(file) if i.file is not None and i.file != file] for file in sources()}
    index: dict[Path, int] = {}
    low: dict[Path, int] = {}
    stack: list[Path] = []
    found: list[list[str]] = []

    def visit(file: Path) -> None:
        index[file] = low[file] = len(index)
        stack.append(file)
        for other in graph[file]:
            if other not in index:
                visit(other)
                low[file] = min(low[file], low[other])
            elif other in stack:
                low[file] = min(low[file], index[other])
        if low[file] == index[file]:
            group = stack[stack.index(file) :]
            del stack[stack.index(file) :]
            if len(group) > 1:
                found.append(sorted(where(member) for member in group))

    for file in graph:
        if file not in index:
            visit(file)
    return found
