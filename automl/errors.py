"""Every error that automl raises on purpose, and the exit code of the command line for it.

    AutoMLError
    ├── SpecError (ValueError)        space.yaml, a Space or an option is wrong           exit code 2
    ├── UnknownPlugin (LookupError)   no strategy, stopper, ... of that name              exit code 2
    ├── DataError (ValueError)        the data cannot be read, split or learned from      exit code 2
    ├── TaskError                     the training function cannot be found or sent       exit code 2
    ├── LedgerError                   the study's ledger is locked, corrupt or foreign    exit code 3
    ├── BundleError                   a saved model is damaged or not trusted             exit code 3
    ├── SearchFailed                  trials failed before any succeeded                  exit code 4
    └── EnvironmentProblem            no disk, no device, a missing extra                 exit code 5

A failed *trial* is not one of these errors: the search goes on, and the leaderboard has the reason (`trial.Failure`).
"""

import difflib
from collections.abc import Iterable


class AutoMLError(Exception):
    """Base of all errors raised on purpose; `exit_code` is what the command line ends with."""

    exit_code = 1


class SpecError(AutoMLError, ValueError):
    """A specification, a space or an option is wrong; the message names place, value and rule."""

    exit_code = 2


class UnknownPlugin(AutoMLError, LookupError):
    """No plugin of that name is installed, or it cannot be loaded."""

    exit_code = 2


class DataError(AutoMLError, ValueError):
    """The data cannot be read, split or learned from."""

    exit_code = 2


class TaskError(AutoMLError):
    """The training function, or what a command is to run, cannot be found, imported or sent to a worker."""

    exit_code = 2


class NoReport(TaskError):
    """A trial ended without a report; the message says how to report."""


class LedgerError(AutoMLError):
    """The ledger is locked by another driver, corrupt, or of a version this program does not know."""

    exit_code = 3


class BundleError(AutoMLError):
    """A saved model is damaged, incomplete or would need code that is not trusted."""

    exit_code = 3


class SearchFailed(AutoMLError):
    """The search ended because trials failed before any succeeded; the message has the most frequent cause."""

    exit_code = 4


class EnvironmentProblem(AutoMLError):
    """The machine lacks something: disk space, permissions, a device, an optional dependency."""

    exit_code = 5


class NoRoom(Exception):
    """Memory ran out where a trial was to join others; nothing has changed, and the error it comes from says more."""


OUT_OF_MEMORY = ("_STATUS_ALLOC_FAILED", "CUDA out of memory", "CUDA error: out of memory", "DefaultCPUAllocator",
                 "Triton Error [CUDA]: out of memory")  # fmt: skip
"""Parts of messages of libraries that have no error class of their own for memory that ran out."""


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of this machine or of a GPU; the classes of libraries are known by their names."""
    if isinstance(error, MemoryError | NoRoom) or type(error).__name__ == "OutOfMemoryError":
        return True
    return any(part in text_of(error) for part in OUT_OF_MEMORY)


def text_of(error: BaseException) -> str:
    """The message of an error; empty if its `__str__` raises, as one of user code may."""
    try:
        return str(error)
    except Exception:
        return ""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the most similar of `known`, or an empty string where none is similar."""
    spelled = {str(k).casefold(): str(k) for k in known}
    near = difflib.get_close_matches(str(name).casefold(), spelled, n=1, cutoff=0.6)
    return f"; did you mean {spelled[near[0]]!r}?" if near else ""


class NothingToDraw(Exception):
    """There is nothing to draw; the message says why."""
