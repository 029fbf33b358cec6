"""A JSON file that several processes share: read again when, and only when, it has changed."""

import json
from pathlib import Path
from typing import Any


class JsonFile:
    """Reads a JSON object from a file that is replaced by renaming, never written in place."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._seen: tuple[int, int] | None = None  # time of change and inode of what was read
        self._known: dict[str, Any] = {}

    def read(self) -> dict[str, Any]:
        """The content; empty where there is no file."""
        try:
            stat = self.file.stat()
        except FileNotFoundError:
            return {}
        if (stamp := (stat.st_mtime_ns, stat.st_ino)) != self._seen:
            self._known, self._seen = json.loads(self.file.read_text(encoding="utf-8")), stamp
        return self._known

    def forget(self) -> None:
        """Read it again next time: two changes may come within the clock's resolution."""
        self._seen = None
