"""Code, programs and studies that a specification names: whether they are there. Nothing is imported or run."""

import ast
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path as File
from typing import Any

from automl.errors import did_you_mean
from automl.specfile.yaml.places import Places

_MODELS = ("manifest.json", "best/manifest.json", "ensemble/manifest.json")
"""Where a saved model, or a study that has one, has a file."""
_ARGUMENTS = {"train": ("trial",), "model": ("config", "inputs", "outputs"), "data": ()}
"""Key -> what its function is called with."""


def check(tree: Mapping[str, Any], folder: File, places: Places) -> None:
    """Complain about modules, functions, programs and earlier studies that do not exist.

    Args:
        tree: the whole specification as plain data.
        folder: that of the specification.
        places: takes complaints.
    """
    for key, arguments in _ARGUMENTS.items():
        reference = tree.get(key)
        if isinstance(reference, str) and reference.count(":") == 1 and not (folder / reference).exists():
            message, hint = _problem(reference, folder, arguments)
            if message:
                places.complain((key,), message, hint)
    _warm(tree, folder, places)
    command = tree.get("command")
    if isinstance(command, list) and command:
        lacking = missing([str(word) for word in command], folder)
        if lacking is not None:
            places.complain(("command", lacking[0]), *lacking[1:])


def _warm(tree: Mapping[str, Any], folder: File, places: Places) -> None:
    given = tree.get("warm")
    for k, source in enumerate(given if isinstance(given, list) else [given]):
        at = ("warm", k) if isinstance(given, list) else ("warm",)
        study = source.get("study") if isinstance(source, dict) else source
        if isinstance(study, str) and not (folder / study / "ledger.sqlite").is_file():
            places.complain(at, f"{study} is no study: it has no ledger.sqlite", _near(folder / study))
        weights = source.get("weights") if isinstance(source, dict) and source.get("trial") is None else None
        if isinstance(weights, str) and not any((folder / weights / name).is_file() for name in _MODELS):
            places.complain(at, f"{weights} has no saved model", _near(folder / weights))


def _near(study: File) -> str:
    return did_you_mean(study.name, [path.parent.name for path in study.parent.glob("*/ledger.sqlite")])


def _problem(reference: str, folder: File, arguments: Sequence[str]) -> tuple[str, str]:
    """(message, hint) about `package.module:name`, which is called with `arguments`; both empty: nothing is wrong."""
    module, _, name = reference.partition(":")
    file, known = _file_of(module, folder)
    if not known:
        return f"there is no module {module!r}", f" in {folder}, the current folder or the installed packages"
    names = _names_in(file) if file is not None else None
    if file is None or names is None:
        return "", ""
    if name.split(".")[0] in names:
        return (_wrong_arguments(file, name, arguments) if names.count(name) == 1 else ""), ""
    return f"{file} has no {name!r}", did_you_mean(name, names)


def _wrong_arguments(file: File, name: str, arguments: Sequence[str]) -> str:
    """What a function that is defined at the top level of a file should take; empty where it can be called."""
    functions = [line for line in ast.parse(file.read_bytes()).body if isinstance(line, ast.FunctionDef)]
    found = next((one for one in functions if one.name == name and not one.decorator_list), None)
    if found is None:
        return ""
    most = len(found.args.posonlyargs) + len(found.args.args)
    least = most - len(found.args.defaults)
    fits = least <= len(arguments) and (found.args.vararg is not None or len(arguments) <= most)
    if fits and None not in found.args.kw_defaults:
        return ""
    return f"{name} is called as {name}({', '.join(arguments)}), which its definition in {file} does not allow"


def _file_of(module: str, folder: File) -> tuple[File | None, bool]:
    """(the file of a module where it is one of the user's, whether the module may exist).

    Installed packages come first, as they do when it is imported; of them, only the topmost name is looked for.
    """
    top, *rest = module.split(".")
    try:
        found = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        found = None
    if found is not None and not _of_the_user(found.origin):
        return None, True
    first = [File(found.origin).parent] if found is not None and found.origin and not rest else []
    for base in (*first, folder.absolute(), File.cwd()):
        path = base.joinpath(top, *rest)
        if path.with_suffix(".py").is_file():
            return path.with_suffix(".py"), True
        if path.is_dir():
            init = path / "__init__.py"
            return (init if init.is_file() else None), True
    return None, found is not None


def _of_the_user(origin: str | None) -> bool:
    """Whether a module's file is one of the user's, and not of Python or of an installed package."""
    homes = {File(home).resolve() for home in (sys.prefix, sys.base_prefix, sys.exec_prefix)}
    return origin is not None and origin.endswith(".py") and not homes & {*File(origin).resolve().parents}


def _names_in(file: File) -> list[str] | None:
    """Names that a module defines at its top level; None where that cannot be seen without running it."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None  # the search says what is wrong with the code
    names = list(_bound(tree.body))
    return None if {"*", "__getattr__", "globals"} & {*names} else names


def _bound(lines: list[ast.stmt]) -> Iterator[str]:
    for line in lines:
        if isinstance(line, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield line.name
            continue
        if isinstance(line, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name.split(".")[0] for alias in line.names)
        for node in ast.walk(line):
            if isinstance(node, ast.Name) and (isinstance(node.ctx, ast.Store) or node.id == "globals"):
                yield node.id
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield node.name  # inside `if` or `try`
            elif isinstance(node, ast.Import | ast.ImportFrom):
                yield from (alias.asname or alias.name.split(".")[0] for alias in node.names)


def missing(command: Sequence[str], folder: File) -> tuple[int, str, str] | None:
    """What a command needs and does not have: its program, or the script of a Python program.

    Returns:
        (which of the words it is, a message, a hint); None: nothing is known to be missing.
    """
    program, *words = command
    if "{" in program:
        return None
    if program != "python" and not _found(program, folder):
        return 0, f"there is no program {program!r}", f" in {folder} or on the PATH"
    if File(program).name.startswith("python") and words and words[0].endswith(".py"):
        script = words[0]
        if "{" not in script and not (folder / script).is_file():
            near = did_you_mean(script, [p.name for p in folder.glob("*.py")])
            return 1, f"there is no file {script!r} in {folder}", near
    return None


def _found(program: str, folder: File) -> bool:
    if os.sep in program:
        return (folder / program).is_file()
    return shutil.which(program) is not None
