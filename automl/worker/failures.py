"""What is kept of an error in user code."""

import errno
import sys
import traceback
from collections.abc import Iterable

from automl.core import files
from automl.core.trial import Failure
from automl.errors import AutoMLError, NoReport, out_of_memory
from automl.worker.trial import Trial

MESSAGE_CHARS = 2000
TRACEBACK_CHARS = 200_000
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
GPU = ("CUDA error", "CUDA driver error", "CUDA kernel errors", "Triton Error [CUDA]", "cuDNN error", "CUDNN_STATUS_",
       "CUBLAS_STATUS_", "CUSOLVER_STATUS_", "CUFFT_", "NCCL error", "NVRTC error", "device-side assert")  # fmt: skip
"""Parts of messages of errors that come from a GPU or its libraries: its state in this process may be unusable."""
ASSERT = "device-side assert"
"""A kernel was given a wrong index or value: the trial's fault, but nothing runs on the GPU in that process again."""


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
    return Failure(kind_of(error), message[:MESSAGE_CHARS].replace("\0", "\ufffd"), trial.step, file)


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
    text = in_words(error)
    if out_of_memory(error):
        return "oom"
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        return "disk"
    if ASSERT in text:
        return "exception"
    return "device" if "CUDA error" in text or (_has(text, GPU) and gpu_is_lost()) else "exception"


def spoils_process(failure: Failure) -> bool:
    """Whether a process in which a trial failed like this cannot be trusted with another trial."""
    return failure.kind in ("oom", "device") or _has(failure.message, GPU)


def spoiled_by(error: BaseException) -> bool:
    """Whether no trial can train on the GPU in this process any more after `error`, whoever's fault it was."""
    text = in_words(error)
    return kind_of(error) == "device" or ASSERT in text or (_has(text, GPU) and gpu_is_lost())


def gpu_is_lost() -> bool:
    """Whether nothing runs on the GPU in this process any more: then waiting for its work raises an error, too."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return False
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False


def _has(text: str, parts: Iterable[str]) -> bool:
    return any(part in text for part in parts)


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
