"""A small file that keeps what was measured for each signature, so that a resumed search does not measure again."""

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from automl.core import files


@dataclass
class MeasurementCache:
    """JSON objects by signature, for this machine and model of device; with `file` None they are kept in memory only.

    The workers of a study share the file. A write replaces the whole file, so two workers that write at the same time
    may lose one entry: it is then measured again.
    """

    file: Path | None
    device: str
    own: dict[str, Any] = field(default_factory=dict)

    def _key(self, signature: str) -> str:
        return f"{platform.node()} {self.device} {signature}"

    def get(self, signature: str) -> Mapping[str, Any] | None:
        """What was measured, or None."""
        entry = {**self._read(), **self.own}.get(self._key(signature))
        return entry if isinstance(entry, dict) else None

    def put(self, signature: str, value: Mapping[str, Any]) -> None:
        """Keep `value`, which must be JSON."""
        self.own[self._key(signature)] = dict(value)
        if self.file is None or not self.file.parent.is_dir():
            return
        text = json.dumps({**self._read(), **self.own}, indent=1)
        files.write(self.file, text.encode())

    def _read(self) -> dict[str, Any]:
        if self.file is None or not self.file.is_file():
            return {}
        try:
            content = json.loads(self.file.read_text())
        except (OSError, ValueError):  # another program's file, or half a file of a full disk: measure again
            return {}
        return content if isinstance(content, dict) else {}
