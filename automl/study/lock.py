"""One driver a study: a lock on a file, given back by the operating system however the driver ends."""

import fcntl
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from automl.errors import LedgerError


@dataclass(frozen=True)
class DriverLock:
    """Held while `file` is open; its content tells who holds it."""

    file: IO[str]

    @classmethod
    def take(cls, path: Path) -> Self:
        """
        Raises:
            LedgerError: another driver holds it; says which process, where and since when.
        """
        file = path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            file.close()
            raise LedgerError(f"{path.parent} is being driven by {holder}") from None
        file.truncate(0)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {since}")
        file.flush()
        return cls(file)

    def release(self) -> None:
        if not self.file.closed:
            self.file.truncate(0)
            self.file.close()
