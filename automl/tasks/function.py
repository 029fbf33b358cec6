"""A task that is the user's own training function, `train(trial)`."""

import importlib
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle

from automl.errors import TaskError, did_you_mean
from automl.tasks import OneByOne

if TYPE_CHECKING:
    from automl.worker import Trial


class FunctionSession(OneByOne):
    """Calls the function for each trial."""

    def __init__(self, function: Callable[["Trial"], object]) -> None:
        self.function = function

    def run(self, trial: "Trial") -> None:
        self.function(trial)


@dataclass(frozen=True)
class FunctionTask:
    """`pickled`: the function itself, by value where it lives in a script or a notebook."""

    pickled: bytes
    name: str

    @classmethod
    def of(cls, function: Callable[["Trial"], object]) -> "FunctionTask":
        """
        Raises:
            TaskError: it holds something that cannot be sent to another process.
        """
        name = getattr(function, "__qualname__", repr(function))
        try:
            return cls(cloudpickle.dumps(function), name)
        except (TypeError, pickle.PicklingError, AttributeError) as error:
            raise TaskError(
                f"{name} cannot be sent to a worker process ({error}); create such objects inside the function, "
                "or use executor='inline'"
            ) from error

    def open(self, devices: tuple[str, ...]) -> FunctionSession:
        return FunctionSession(pickle.loads(self.pickled))


@dataclass(frozen=True)
class ReferencedTask:
    """A function named in a spec as `package.module:function`; `folder` (of the spec) is added to the import path."""

    reference: str
    folder: Path | None = None

    def open(self, devices: tuple[str, ...]) -> FunctionSession:
        return FunctionSession(imported(self.reference, self.folder))


def imported(reference: str, folder: Path | None = None) -> Any:
    """The object that `package.module:name` names; `folder` is searched after everything else.

    Raises:
        TaskError: the module cannot be imported or has no such name (with the nearest one).
    """
    module_name, _, name = reference.partition(":")
    if not module_name or not name:
        raise TaskError(f"{reference!r}: write it as package.module:function")
    for entry in (str(folder) if folder else "", ""):
        if entry not in sys.path:
            sys.path.append(entry)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise TaskError(f"{reference}: cannot import {module_name} ({type(error).__name__}: {error})") from error
    if not hasattr(module, name):
        raise TaskError(f"{reference}: {module_name} has no {name!r}{did_you_mean(name, dir(module))}")
    return getattr(module, name)
