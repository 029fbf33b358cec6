"""Finished runs of a benchmark as lines of JSON: an interrupted one goes on, and methods can be added later."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Cache:
    """What was computed for each key, kept in `path` (None: nowhere). A line that was cut off is left out."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.known: dict[str, Any] = {}
        for line in path.read_text().splitlines() if path and path.exists() else []:
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue
            self.known[_key(entry["key"])] = entry["value"]

    def get(self, key: dict[str, Any], compute: Callable[[], Any]) -> Any:
        """The value of `key`, computed (and written down) when it is not known. Both are plain JSON."""
        told = _key(key)
        if told not in self.known:
            self.known[told] = compute()
            if self.path is not None:
                with self.path.open("a") as file:
                    file.write(json.dumps({"key": key, "value": self.known[told]}) + "\n")
        return self.known[told]


def _key(key: dict[str, Any]) -> str:
    return json.dumps(key, sort_keys=True)
