"""Golden files: wording that users read, kept beside the tests and recorded anew by `pytest --record-wording`.

Tests assert what a message is about (line, column, key, exit code); the sentences themselves stand in files below
`golden/`, so that rewording a message costs one command and the difference is read in `git diff`.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

HEAD = "== "  # begins the name of an entry in a file with many


@dataclass(frozen=True)
class Golden:
    """The golden files of one test module, in the folder `golden` beside it."""

    folder: Path
    record: bool  # write instead of compare

    def text(self, name: str, text: str) -> None:
        """Compare `text` with the file `name`.txt, or write it there.

        Raises:
            AssertionError: they differ; the message shows the lines and how to record them.
        """
        self._settle(f"{name}.txt", self._read(f"{name}.txt"), text, text)

    def entry(self, name: str, key: str, text: str) -> None:
        """Compare `text` with the entry `key` of the file `name`.txt, or write it there.

        Raises:
            AssertionError: they differ.
        """
        entries = self.entries(name)
        before = entries.get(key)
        entries[key] = text
        self._settle(f"{name}.txt, {key}", before, text, _joined(entries))

    def only(self, name: str, keys: Iterable[str]) -> None:
        """The file `name`.txt has entries for these keys and no others; recording removes the others.

        Raises:
            AssertionError: an entry is left over.
        """
        entries, known = self.entries(name), set(keys)
        if self.record:
            self._write(f"{name}.txt", _joined({key: text for key, text in entries.items() if key in known}))
        else:
            assert set(entries) <= known, f"no test has these entries of {name}.txt; run: pytest --record-wording"

    def entries(self, name: str) -> dict[str, str]:
        """The entries of the file `name`.txt by key; empty where there is no file."""
        found: dict[str, list[str]] = {}
        for line in (self._read(f"{name}.txt") or "").split("\n")[:-1]:
            if line.startswith(HEAD):
                found[line.removeprefix(HEAD)] = lines = []
            else:
                lines.append(line)
        return {key: "\n".join(lines) for key, lines in found.items()}

    def _settle(self, where: str, before: str | None, text: str, content: str) -> None:
        if before == text:
            return
        if self.record:
            self._write(where.partition(",")[0], content)
            return
        lines = difflib.unified_diff((before or "").split("\n"), text.split("\n"), where, "now", lineterm="")
        message = "\n".join(lines)
        raise AssertionError(f"the wording has changed; if that is meant, run: pytest --record-wording\n{message}")

    def _read(self, file: str) -> str | None:
        path = self.folder / file
        return path.read_text(encoding="utf-8") if path.is_file() else None

    def _write(self, file: str, content: str) -> None:
        self.folder.mkdir(exist_ok=True)
        (self.folder / file).write_text(content, encoding="utf-8")


def _joined(entries: dict[str, str]) -> str:
    return "".join(f"{HEAD}{key}\n{text}\n" for key, text in entries.items())
