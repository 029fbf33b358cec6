"""Every error this project raises on purpose.

    AutoMLError
    ├── SpecError (ValueError)        space.yaml, a Space or an option is wrong           exit code 2
    ├── UnknownPlugin (LookupError)   no strategy, stopper, ... of that name              exit code 2
    ├── DataError (ValueError)        the data cannot be read, split or learned from      exit code 2
    ├── TaskError                     the training function cannot be found or sent       exit code 2
    ├── LedgerError                   the study's ledger is locked, corrupt or foreign    exit code 3
    ├── BundleError                   a saved model is damaged or not trusted             exit code 3
    ├── SearchFailed                  nothing but failures: the breaker ended the search  exit code 4
    └── EnvironmentProblem            no disk, no device, a missing extra                 exit code 5

A failed *trial* is not an error of this kind: it is a row of the leaderboard (`trial.Failure`).
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
    """What is to be trained cannot be found, imported or sent to a worker."""

    exit_code = 2


class LedgerError(AutoMLError):
    """The ledger is locked by another driver, corrupt, or of a version this program does not know."""

    exit_code = 3


class BundleError(AutoMLError):
    """A saved model is damaged, incomplete or would need code that is not trusted."""

    exit_code = 3


class SearchFailed(AutoMLError):
    """The search was ended because trials failed before any succeeded; the message has the commonest cause."""

    exit_code = 4


class EnvironmentProblem(AutoMLError):
    """The machine lacks something: disk space, permissions, a device, an optional dependency."""

    exit_code = 5


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the nearest of `known`, or an empty string when nothing is near."""
    near = difflib.get_close_matches(str(name), [str(k) for k in known], n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


class NothingToDraw(Exception):
    """There is nothing to draw; the message says why."""
