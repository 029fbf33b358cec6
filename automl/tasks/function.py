"""A task that is the user's own training function, `train(trial)`."""

import os
import pickle
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cloudpickle

from automl.core.user_code import import_object
from automl.errors import TaskError
from automl.worker.worker import Session, Task

if TYPE_CHECKING:
    from automl.worker.trial import Trial


class FunctionSession(Session):
    """Calls the function for each trial."""

    def __init__(self, function: Callable[["Trial"], object]) -> None:
        self.function = function

    def run(self, trial: "Trial") -> None:
        with _own_state(trial.seed):
            self.function(trial)


@contextmanager
def _own_state(seed: int) -> Iterator[None]:
    """Global random numbers begin at the trial's seed; what the function does to global state ends with it.

    Of numpy and torch only what is loaded already: a function that imports them seeds them itself.
    """
    folder, variables, random_state = os.getcwd(), dict(os.environ), random.getstate()
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    dtype = torch.get_default_dtype() if torch else None
    random.seed(seed)
    if numpy:
        numpy.random.seed(seed % 2**32)
    if torch:
        torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(random_state)
        if torch:
            torch.set_default_dtype(dtype)
        if os.environ != variables:
            os.environ.clear()
            os.environ.update(variables)
        os.chdir(folder)


@dataclass(frozen=True)
class FunctionTask(Task):
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
class ReferencedTask(Task):
    """A function named in a spec as `package.module:function`; `folder` (of the spec) is added to the import path."""

    reference: str
    folder: Path | None = None

    def open(self, devices: tuple[str, ...]) -> FunctionSession:
        return FunctionSession(import_object(self.reference, self.folder))
