"""A small file that keeps what was measured of each signature, so that a resumed search does not measure again."""

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Known:
    """JSON objects by signature, for this machine and `device`; with `file` None they are kept in memory only.

    Workers of one study share the file. Each write is whole, and what two write at once one of them may lose: then it
    is measured again.
    """

    file: Path | None
    device: str
    own: dict[str, Any] = field(default_factory=dict)

    def _key(self, signature: str) -> str:
        return f"{platform.node()} {self.device.partition(':')[0]} {signature}"

    def get(self, signature: str) -> Mapping[str, Any] | None:
        """What is known, or None."""
        found = {**self._read(), **self.own}.get(self._key(signature))
        return found if isinstance(found, dict) else None

    def put(self, signature: str, value: Mapping[str, Any]) -> None:
        """Keep `value`."""
        self.own[self._key(signature)] = dict(value)
        if self.file is None or not self.file.parent.is_dir():
            return
        text = json.dumps({**self._read(), **self.own}, indent=1)
        draft = self.file.with_suffix(f".{os.getpid()}")
        draft.write_text(text)
        draft.replace(self.file)

    def _read(self) -> dict[str, Any]:
        if self.file is None or not self.file.is_file():
            return {}
        try:
            found = json.loads(self.file.read_text())
        except (OSError, ValueError):  # not ours, or half a file of a full disk: measure again
            return {}
        return found if isinstance(found, dict) else {}
