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
    """Calls the function for each trial, with random numbers that begin at the trial's seed."""

    def __init__(self, function: Callable[["Trial"], object]) -> None:
        self.function = function

    def run(self, trial: "Trial") -> None:
        """Call the function with `trial`."""
        with _own_state(trial.seed):
            self.function(trial)


@contextmanager
def _own_state(seed: int) -> Iterator[None]:
    """Seed the global random numbers; undo what the function does to environment, current folder and default dtype.

    numpy and torch are seeded only if they are loaded already: a function that imports them has to seed them itself.
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
    """A Python function as it is sent to the workers.

    Attributes:
        pickled: the function; by value, where it is defined in a script or a notebook.
        name: for messages.
    """

    pickled: bytes
    name: str

    @classmethod
    def of(cls, function: Callable[["Trial"], object]) -> "FunctionTask":
        """The task that calls `function`.

        Raises:
            TaskError: the function refers to something that cannot be sent to another process.
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
        """Unpickle the function."""
        return FunctionSession(pickle.loads(self.pickled))


@dataclass(frozen=True)
class ReferencedTask(Task):
    """A function that a spec names.

    Attributes:
        reference: `package.module:function`.
        folder: of the spec, where the module may lie.
    """

    reference: str
    folder: Path | None = None

    def open(self, devices: tuple[str, ...]) -> FunctionSession:
        """Import the function."""
        return FunctionSession(import_object(self.reference, self.folder))
