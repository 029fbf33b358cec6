"""One driver for each study: a lock on a file, which the operating system releases however the driver ends."""

import os
import re
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from automl.errors import EnvironmentProblem, LedgerError

_HOLDER = re.compile(r"process (\d+) on (\S+) since")


def is_driven(path: Path) -> bool:
    """Whether a process holds the lock at `path`, as its content says; a driver that was killed has left it there."""
    try:
        with path.open(errors="replace") as file:
            holder = _HOLDER.match(file.readline(1000))
    except OSError:
        return False
    if holder is None or holder[2] != socket.gethostname():
        return holder is not None
    try:
        os.kill(int(holder[1]), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        pass
    return True


def driver(path: Path) -> int | None:
    """The number of the process on this machine that holds the lock at `path` now; None where none does.

    Whether the lock is held is asked of the operating system: what the file says may be anybody's, or old.
    """
    import fcntl

    try:
        with path.open("r+", errors="replace") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = _HOLDER.match(file.readline(1000))
                return int(holder[1]) if holder and holder[2] == socket.gethostname() else None
    except OSError:
        return None
    return None


@dataclass(frozen=True)
class DriverLock:
    """Held while `file` is open; the file's content says who holds it."""

    file: IO[str]

    @classmethod
    def take(cls, path: Path) -> Self:
        """Lock the file at `path`, which is made if it does not exist.

        Raises:
            LedgerError: another driver holds it; the message says which process, where and since when.
            EnvironmentProblem: the operating system has no such locks (Windows).
        """
        try:
            import fcntl
        except ImportError as error:
            raise EnvironmentProblem(
                f"{path.parent}: studies on disk need the file locks of Linux or macOS; without a path a study works"
            ) from error
        file = path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.readline().strip() or "another process"
            file.close()
            raise LedgerError(f"{path.parent} is being driven by {holder}") from None
        file.truncate(0)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {since}")
        file.flush()
        return cls(file)

    def note(self, line: str) -> None:
        """Add a line to the file's content, which stays there if this process is killed."""
        self.file.write(f"\n{line}")
        self.file.flush()

    def clear(self) -> None:
        """Delete the file's content; the lock is still held."""
        self.file.truncate(0)

    def release(self) -> None:
        """Give the lock back; nothing happens if it was given back before."""
        if not self.file.closed:
            self.file.truncate(0)
            self.file.close()
