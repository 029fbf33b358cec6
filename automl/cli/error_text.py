"""What a user, or with `--json` a program, is told of an error: a text, an exit code and a stable name."""

import re
from typing import Any

import typer

from automl import errors
from automl.errors import AutoMLError, EnvironmentProblem

UsageError: Any = typer.BadParameter.__mro__[1]
"""The base of what typer raises for wrong options and arguments; it exports no name for it."""

POSITION = re.compile(r"^[^\n]*?:\d+:\d+: ")


def error_document(error: Exception, exit_code: int) -> dict[str, Any]:
    """What `--json` prints of an error."""
    message = _printable(_message(error))
    return {"schema": 1, "ok": False, "error": {"code": code_of(error), "message": message, "exit_code": exit_code}}


def code_of(error: Exception) -> str:
    """A stable name of the kind of an error: `spec_error`, `ledger_error`, ..., `interrupted`, `usage`, `unexpected`.

    Those of `automl.errors` have the names of their classes; `InvalidSpec`, a `SpecError`, is a `spec_error` too.
    """
    if isinstance(error, UsageError):
        return "usage"
    if isinstance(error, OSError):
        return "environment_problem"
    name = next((c.__name__ for c in type(error).__mro__ if c.__module__ == errors.__name__), "Unexpected")
    if name == "AutoMLError":
        name = type(error).__name__
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def describe_error(error: Exception) -> tuple[str, int]:
    """What the user reads about an error, and the exit code. Complaints about a file begin with their position."""
    if isinstance(error, UsageError):
        text, code = error.format_message(), error.exit_code
    elif isinstance(error, AutoMLError):
        text, code = str(error), error.exit_code
    elif isinstance(error, OSError):
        text, code = _message(error), EnvironmentProblem.exit_code
    else:
        text = f"unexpected {type(error).__name__}: {error}\nthis is a bug in automl; --debug shows where it happened"
        code = 1
    text = _printable(text)
    return text if POSITION.match(text) else f"automl: {text}", code


def _message(error: Exception) -> str:
    """The message of an error; of one of a file its name and what is wrong with it, without the error's number."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return errors.text_of(error)


def _printable(text: str) -> str:
    return "".join(c for c in text if c in "\n\t" or c.isprintable())
