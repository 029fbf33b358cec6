"""The audit log: a line of JSON for each request, with who, when, which version and how it ended; never with a key."""

import json
import logging
import logging.handlers
import os
from pathlib import Path
from typing import Any

BYTES, FILES = 64 * 2**20, 5
LONGEST_BODY = 4096


class Audit:
    """Collects lines and writes them together, into a file for each worker process.

    Args:
        folder: `audit/` of the state.
        bodies: whether the beginnings of bodies are kept too.
    """

    def __init__(self, folder: Path, *, bodies: bool = False) -> None:
        self.bodies = bodies
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"audit-{os.getpid()}.jsonl"
        self._handler = logging.handlers.RotatingFileHandler(path, maxBytes=BYTES, backupCount=FILES, delay=True)
        self._waiting: list[dict[str, Any]] = []

    def add(self, entry: dict[str, Any], body: bytes = b"") -> None:
        """Remember a line; it is written with the next `flush`."""
        if self.bodies and body:
            entry["body"] = body[:LONGEST_BODY].decode("utf-8", errors="replace")
        self._waiting.append(entry)

    def flush(self) -> None:
        """Write what was collected."""
        waiting, self._waiting = self._waiting, []
        for entry in waiting:
            line = json.dumps(entry, default=str)
            self._handler.emit(logging.LogRecord("audit", logging.INFO, "", 0, line, None, None))

    def close(self) -> None:
        """Write the rest and close the file."""
        self.flush()
        self._handler.close()
