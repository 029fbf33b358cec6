"""The layout: who may import whom, how large a file, function or folder may be, and what needs a docstring.

Each test gathers everything that breaks its law, so that one run shows all of it.
"""

import ast
import importlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.layers import (
    LEVELS,
    PLUGIN_PACKAGES,
    ROOT_FILES,
    Import,
    circles,
    file_of,
    folder_of,
    imports,
    module_of,
    sources,
    tree,
    where,
)
from tests.support.paths import ROOT

pytestmark = pytest.mark.xdist_group("layers")  # one process reads all files, once

LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}
ROOT_MODULES = {"errors", "version", "moved"}
STRATEGIES_MAY_IMPORT = {"errors", "core", "automl_strategies"}

TORCH_FOLDERS = (
    *("automl/fused", "automl/models", "automl/training", "automl/bundle", "automl/data", "automl/compression"),
    *("automl/adapting", "automl/updating/challengers"),
    *("automl/metrics/batched.py", "automl/metrics/scores.py", "automl/metrics/kinds"),
    *("automl/serving/models", "automl/serving/traffic"),
)
AT_HOME = {
    "torch": TORCH_FOLDERS,
    "triton": ("automl/fused/optim",),
    "matplotlib": ("automl/view/figures",),
    "scipy": ("strategies",),
    "sklearn": ("automl/estimators", "strategies"),
    "deap": ("strategies",),
    "optuna": ("strategies/automl_strategies/bridges",),
    "skopt": (),
    "ray": (),
    "mlflow": (),
    "wandb": (),
}
"""Heavy libraries, and where a module may import them at its top; everywhere else they are imported when needed."""

MOST_FILES = 12  # in one folder, besides its __init__.py
LARGER_FOLDERS: dict[str, str] = {}
"""{folder: why it has more files}."""
MOST_LINES = 350  # of a file
MOST_FUNCTION_LINES = 50  # of a function, its docstring not counted


def check(law: str, broken: Iterator[str] | list[str]) -> None:
    """Fail with a list of everything that breaks the law."""
    found = set(broken)
    assert not found, "\n".join([f"breaks the law of {law}:", *sorted(found)])


# -- imports -------------------------------------------------------------------------------------------------------


def test_every_folder_has_its_level() -> None:
    here = {folder_of(path) for path in sources()} - set(ROOT_FILES) - set(PLUGIN_PACKAGES)
    assert here <= LEVEL.keys(), f"give these a level in tests/support/layers.py: {sorted(here - LEVEL.keys())}"
    assert LEVEL.keys() <= here, f"these are gone: {sorted(LEVEL.keys() - here)}"


def allowed(path: Path, one: Import) -> bool:
    """Whether the file may have this import."""
    assert one.file is not None
    me, other = folder_of(path), folder_of(one.file)
    if me == other:
        return True
    if me in PLUGIN_PACKAGES:
        return other in STRATEGIES_MAY_IMPORT and other not in ROOT_FILES
    if me in ROOT_FILES:
        return other not in PLUGIN_PACKAGES and (not one.at_top or one.typing_only or other in ROOT_MODULES)
    return other in LEVEL and LEVEL[other] < LEVEL[me]


def test_a_folder_imports_only_from_folders_below_it() -> None:
    ours = ((path, one) for path in sources() for one in imports(path) if one.file is not None)
    check("order", [f"{where(p)}:{i.line} imports {i.module}.{i.name}" for p, i in ours if not allowed(p, i)])


def test_no_files_import_one_another_in_a_circle() -> None:
    check("circles", [" <-> ".join(group) for group in circles()])


def test_nothing_in_automl_names_a_plugin_package() -> None:
    core = (path for path in sources() if folder_of(path) not in PLUGIN_PACKAGES)
    check("plugins", [f"{where(p)}:{i.line}" for p in core for i in imports(p) if _top_name(i) in PLUGIN_PACKAGES])


def test_heavy_libraries_are_imported_when_they_are_needed() -> None:
    check(
        "heavy",
        [
            f"{where(path)}:{one.line} imports {one.module}"
            for path in sources()
            for one in imports(path)
            if one.at_top and not one.typing_only and not _at_home(path, _top_name(one))
        ],
    )


def _top_name(one: Import) -> str:
    return one.module.split(".")[0]


def _at_home(path: Path, library: str) -> bool:
    homes = AT_HOME.get(library)
    return homes is None or any(path.is_relative_to(ROOT / home) for home in homes)


# -- sizes ---------------------------------------------------------------------------------------------------------


def test_no_folder_has_too_many_files() -> None:
    folders = {path.parent for path in sources()}
    counts = {where(folder): sum(file.name != "__init__.py" for file in folder.glob("*.py")) for folder in folders}
    too_many = {name for name, count in counts.items() if count > MOST_FILES}
    assert LARGER_FOLDERS.keys() <= too_many, "no exception is needed any more"
    check("folders", [name for name in too_many if name not in LARGER_FOLDERS])


def test_no_file_is_too_long() -> None:
    check("files", [where(path) for path in sources() if len(path.read_text().splitlines()) > MOST_LINES])


def test_no_function_is_too_long() -> None:
    check(
        "functions",
        [
            f"{where(path)}: {node.name}"
            for path in sources()
            for node in ast.walk(tree(path))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _lines(node) > MOST_FUNCTION_LINES
        ],
    )


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without the docstring."""
    first = function.body[0]
    doc = ast.get_docstring(function, clean=False)
    documented = (first.end_lineno or 0) - first.lineno + 1 if doc is not None else 0
    return (function.end_lineno or 0) - function.lineno + 1 - documented


# -- docstrings ----------------------------------------------------------------------------------------------------


def test_everything_public_has_a_docstring() -> None:
    check("docstrings", [f"{where(path)}: {name}" for path in sources() for name in undocumented(path)])


def undocumented(path: Path) -> Iterator[str]:
    """Names of a file's public functions, classes and methods without a docstring; the module's own is `module`."""
    if not ast.get_docstring(tree(path)):
        yield "module"
    for node in tree(path).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            overload = any(ast.unparse(d) == "overload" for d in node.decorator_list)
            if not ast.get_docstring(node) and not overload:
                yield node.name
            if isinstance(node, ast.ClassDef):
                yield from (f"{node.name}.{name}" for name in _undocumented_methods(path, node))


def _undocumented_methods(path: Path, cls: ast.ClassDef) -> Iterator[str]:
    inherited = documented_elsewhere(path, cls)
    for node in methods(cls):
        accessor = any(ast.unparse(d).endswith((".setter", "overload")) for d in node.decorator_list)
        public = not node.name.startswith(("_", "test_"))
        if public and not accessor and not ast.get_docstring(node) and node.name not in inherited:
            yield node.name


def methods(cls: ast.ClassDef) -> list[ast.FunctionDef]:
    """The methods that a class defines itself."""
    return [node for node in cls.body if isinstance(node, ast.FunctionDef)]


def documented_elsewhere(path: Path, cls: ast.ClassDef) -> set[str]:
    """Methods of a class that its base classes document, or a protocol of ours that it fulfils."""
    names: set[str] = set()
    own = set()
    for file, one in family(path, cls):
        own |= {m.name for m in methods(one)}
        names |= {m.name for m in methods(one) if ast.get_docstring(m)} if one is not cls else set()
        names |= {name for base in one.bases for name in _documented_by_library(file, base)}
    for protocol in protocols():
        if {m.name for m in methods(protocol) if _is_empty(m)} <= own:
            names |= {m.name for m in methods(protocol) if ast.get_docstring(m)}
    return names


def family(path: Path, cls: ast.ClassDef) -> Iterator[tuple[Path, ast.ClassDef]]:
    """The class and its bases that are ours, each with the file that defines it."""
    yield path, cls
    for base in cls.bases:
        found = _class(path, ast.unparse(base).partition("[")[0])
        if found is not None and found[1] is not cls:
            yield from family(*found)


@cache
def protocols() -> tuple[ast.ClassDef, ...]:
    """All protocols of ours that have methods."""
    classes = (node for path in sources() for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef))
    return tuple(c for c in classes if "Protocol" in map(ast.unparse, c.bases) and any(map(_is_empty, methods(c))))


def _is_empty(method: ast.FunctionDef) -> bool:
    """Whether the method has no default: its body is a docstring or `...`."""
    return all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in method.body)


def _class(path: Path, name: str) -> tuple[Path, ast.ClassDef] | None:
    """The class of ours behind a name in a file, and the file that defines it."""
    qualifier, _, own = name.rpartition(".")
    if not qualifier:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef) and node.name == own:
                return path, node
    for one in imports(path):
        if one.file is not None and one.file != path and one.name == (qualifier or own):
            return _class(one.file, own)
    return None


def _documented_by_library(path: Path, base: ast.expr) -> set[str]:
    """Methods that a base class of another package documents."""
    first, *rest = ast.unparse(base).partition("[")[0].split(".")
    for one in imports(path):
        if one.file is None and one.name == first:
            try:
                found = getattr(importlib.import_module(one.module), first)
            except (ImportError, AttributeError):  # an optional package
                continue
            for part in rest:
                found = getattr(found, part)
            return {name for name in dir(found) if getattr(getattr(found, name), "__doc__", None)}
    return set()


# -- the laws see what they should ---------------------------------------------------------------------------------


def test_relative_lazy_and_type_only_imports_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.support import layers

    package = tmp_path / "automl"
    (package / "core").mkdir(parents=True)
    for name, text in {
        "core/__init__.py": "",
        "core/a.py": "from . import b\nfrom .b import x\n",
        "core/b.py": "def f():\n    from ..core import a\n",
        "core/c.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import automl.core.a\n",
    }.items():
        (package / name).write_text(text)
    monkeypatch.setattr(layers, "PACKAGES", {"automl": package})
    a, b, c = (package / "core" / f"{name}.py" for name in "abc")
    assert [(i.file, i.at_top) for i in imports(a)] == [(b, True), (b, True)]
    assert [(i.file, i.at_top) for i in imports(b)] == [(a, False)]
    assert [(i.file, i.typing_only) for i in imports(c) if i.file] == [(a, True)]
    assert module_of(a) == "automl.core.a"
    assert file_of("automl.core") == package / "core" / "__init__.py"
