"""A task that is the user's own training function, `train(trial)`."""

import inspect
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cloudpickle

from automl.core import seeds
from automl.core.user_code import import_object
from automl.errors import SpecError, TaskError
from automl.study.packing.known import referred_to_by
from automl.tasks.function_result import completed, report_result
from automl.worker.process_state import KeptState
from automl.worker.randomness import seeded
from automl.worker.worker import Session, Task

if TYPE_CHECKING:
    from automl.worker.trial import Trial


class FunctionSession(Session):
    """Calls the function for each trial, with random numbers that begin at the trial's seed.

    Args:
        function: it may report, return its result, or yield one after another; it may be asynchronous.
        name: for messages.
    """

    def __init__(self, function: Callable[["Trial"], object], name: str = "the training function") -> None:
        self.function, self.name = function, name
        self.classes = referred_to_by(function)

    def run(self, trial: "Trial") -> None:
        """Call the function with `trial`; what it changes in the process is set back.

        Raises:
            NoReport: it ended without any result.
            TaskError: it ended the program with an exit code, or its result is no number.
        """
        trial.of_function(self.classes)
        with _own_state(trial):
            try:
                result = completed(self.function(trial), trial)
            except SystemExit as end:
                if end.code not in (None, 0):
                    raise TaskError(f"{self.name} ended the program with sys.exit({end.code!r})") from end
                result = None
            report_result(result, trial, self.name)


@contextmanager
def _own_state(trial: "Trial") -> Iterator[None]:
    """Seed the random numbers; set back what the block changes in the process, or note what could not be set back."""
    state = KeptState()
    try:
        with seeded(trial.seed, state.import_begins):
            yield
    finally:
        trial.lasting = state.restore()


def _check(function: object, name: str) -> None:
    """Check that `function` can be called with a trial.

    Raises:
        SpecError: it cannot.
    """
    if not callable(function):
        raise SpecError(f"what is to be trained must be a function, a spec file or its name; got {name}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # it is not written in Python
        return
    try:
        signature.bind(None)
    except TypeError as error:
        raise SpecError(f"{name} must take one argument, the trial ({error})") from None


@dataclass(frozen=True)
class FunctionTask(Task):
    """A Python function as it is sent to the workers.

    Attributes:
        pickled: the function; by value, where it is defined in a script or a notebook.
        name: for messages.
        alone: the function itself and why it cannot be sent: only a worker in this process can call it.
    """

    pickled: bytes
    name: str
    alone: tuple[Callable[["Trial"], object], str] | None = None

    def __reduce__(self) -> tuple[object, ...]:
        if self.alone is not None:
            raise TaskError(self.alone[1])
        return FunctionTask, (self.pickled, self.name)

    @classmethod
    def of(cls, function: Callable[["Trial"], object]) -> "FunctionTask":
        """The task that calls `function`.

        Raises:
            SpecError: it is no function of one argument.
        """
        name = getattr(function, "__qualname__", repr(function))
        _check(function, name)
        try:
            return cls(cloudpickle.dumps(function), name)
        except (TypeError, pickle.PicklingError, AttributeError) as error:
            remedy = "create such objects inside the function, or use executor='inline'"
            return cls(b"", name, (function, f"{name} cannot be sent to a worker process ({error}); {remedy}"))

    def open(self, devices: tuple[str, ...]) -> FunctionSession:
        """Unpickle the function; what its modules draw at random is the same in each worker."""
        with seeded(seeds.derive("open")):
            function = self.alone[0] if self.alone is not None else pickle.loads(self.pickled)
            return FunctionSession(function, self.name)


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
        """Import the function; what its module draws at random is the same in each worker."""
        with seeded(seeds.derive("open")):
            function = import_object(self.reference, self.folder)
            _check(function, self.reference)
            return FunctionSession(function, self.reference)
