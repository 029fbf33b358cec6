"""Imports the user's own code, which a specification names as `package.module:name`."""

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from automl.errors import TaskError, did_you_mean


def import_object(reference: str, folder: Path | None = None) -> Any:
    """Import the object that `package.module:name` names.

    The folder and the current folder are searched last, after the standard library and all installed packages, and
    stay on `sys.path`. So a file of the user's cannot take the place of a module that other code needs (a `colorsys.py`
    beside the user's module leaves `import colorsys` as it is).

    Args:
        reference: module and name, such as "mydata:load".
        folder: where the user's module may lie, usually that of the specification.

    Raises:
        TaskError: the reference has another form, the module cannot be imported, or it has no such name (the message
            then has the nearest one).

    Example:
        >>> import_object("math:sqrt")(4.0)
        2.0
    """
    module_name, _, name = reference.partition(":")
    if not module_name or not name:
        raise TaskError(f"{reference!r}: write it as package.module:function")
    make_importable(folder)
    importlib.invalidate_caches()  # the file may be younger than the list of files that Python has read
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name + ".").startswith(error.name + "."):
            where = f" (looked in {folder} too)" if folder else ""
            raise TaskError(f"{reference}: no module {module_name!r}{where}") from error
        missing = error.name or error
        raise TaskError(f"{reference}: {module_name} needs a module that is not installed: {missing}") from error
    except Exception as error:
        raise TaskError(f"{reference}: cannot import {module_name} ({type(error).__name__}: {error})") from error
    try:
        return getattr(module, name)
    except AttributeError as error:
        hint = _other_file(module, folder) or did_you_mean(name, dir(module))
        raise TaskError(f"{reference}: {module_name} has no {name!r}{hint}") from error


def make_importable(folder: Path | None) -> None:
    """Search `folder` and the current folder for modules, after everything else."""
    for entry in ([str(folder.absolute())] if folder else []) + [""]:
        if entry not in sys.path:
            sys.path.append(entry)


def _other_file(module: ModuleType, folder: Path | None) -> str:
    """A hint where `folder` has a file for this module, but another file of that name was imported."""
    own = (folder or Path()).joinpath(*module.__name__.split(".")).with_suffix(".py")
    source = getattr(module, "__file__", None)  # modules built into Python have none
    if not own.is_file() or (source and own.samefile(source)):
        return ""
    return f"; it was imported from {source or 'Python itself'}, not from {own}: give your file another name"
