"""What is kept of an error in user code."""

import errno
import traceback

from automl.core import files
from automl.core.trial import Failure
from automl.errors import AutoMLError, NoReport
from automl.worker.trial import Trial

MESSAGE_CHARS = 2000
TRACEBACK_CHARS = 200_000
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)


def failure_of(error: BaseException, trial: Trial) -> Failure:
    """What is kept of an error: kind, message, step, and its traceback in a file of the trial."""
    file = ""
    if trial.folder is not None:
        path = trial.folder / f"traceback-{trial.attempt}.txt"
        try:
            trial.folder.mkdir(parents=True, exist_ok=True)
            files.write(path, shortened("".join(traceback.format_exception(error))).encode(errors="backslashreplace"))
            file = str(path.relative_to(trial.folder.parent.parent))
        except OSError:  # a full disk: the message must do
            path.unlink(missing_ok=True)
    message = str(error) if isinstance(error, NoReport) else in_words(error)
    return Failure(kind_of(error), message[:MESSAGE_CHARS], trial.step, file)


def shortened(text: str, most: int = TRACEBACK_CHARS) -> str:
    """`text`, or its first and last characters where it has more than `most`."""
    if len(text) <= most:
        return text
    return f"{text[: most // 2]}\n... {len(text) - most} characters left out ...\n{text[-most // 2 :]}"


def kind_of(error: BaseException) -> str:
    """The kind of failure.

    Returns:
        "oom", "disk" or "device" for the machine's; "metric" for a task that reported nothing; else "exception".
    """
    if isinstance(error, NoReport):
        return "metric"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "oom"
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        return "disk"
    text = in_words(error)
    if "CUDA error" in text and "device-side assert" not in text:
        return "device"
    return "exception"


def in_words(error: BaseException) -> str:
    """The error as `ValueError: no luck`, also if its `__str__` raises."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return f"{type(error).__name__}: (its message cannot be made)"


def sendable(error: Exception) -> Exception:
    """The error itself if it is one of ours, else one of ours with its text: its class may be unknown elsewhere."""
    if isinstance(error, AutoMLError):
        return error
    return AutoMLError("".join(traceback.format_exception(error)))
