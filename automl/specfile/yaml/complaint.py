"""Complaints about a specification: place, value, rule and nearest valid name, shown with the line and a caret."""

import bisect
from dataclasses import dataclass

from automl.errors import SpecError

SHOWN = 20  # complaints in one error message
WINDOW = 110  # characters of a source line that are shown

Path = tuple[str | int, ...]


def dotted(path: Path) -> str:
    """`("space", "optimizer", "lr", "float", 0)` -> `space.optimizer.lr.float[0]`."""
    out = ""
    for part in path:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else str(part)
    return printable(out, 120)


def printable(text: str, most: int = 0) -> str:
    """`text` without control characters, so that a hostile file cannot drive the terminal; cut to `most` characters."""
    clean = "".join(c if c.isprintable() else " " if c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in text)
    return clean if not most or len(clean) <= most else clean[: most - 3] + "..."


@dataclass(frozen=True, slots=True)
class Complaint:
    """One mistake. `line` and `column` count from 1; line 0: it is not in the file but in an override."""

    file: str
    line: int
    column: int
    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{printable(self.file)}:{self.line}:{self.column}" if self.line else printable(self.file)
        return f"{place}: {self.path + ': ' if self.path else ''}{self.message}{self.hint}"


class Source:
    """A text and its lines: turns an offset into line and column, and shows the place of a complaint."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        breaks = [k + 1 for k, c in enumerate(text) if c == "\n" or (c == "\r" and text[k + 1 : k + 2] != "\n")]
        self._starts = [0, *breaks]

    def place(self, offset: int) -> tuple[int, int]:
        """(line, column) of a character offset, counted from 1."""
        line = bisect.bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def complain(self, offset: int, path: Path, message: str, hint: str = "") -> Complaint:
        """A complaint about what stands at `offset`."""
        return Complaint(self.file, *self.place(offset), dotted(path), printable(message, 400), printable(hint, 200))

    def excerpt(self, complaint: Complaint) -> str:
        """The line and a caret below it, indented by two; empty when the complaint has no place in this text."""
        if complaint.file != self.file or not 0 < complaint.line <= len(self._starts):
            return ""
        start = self._starts[complaint.line - 1]
        end = self._starts[complaint.line] if complaint.line < len(self._starts) else len(self.text)
        line, column = self.text[start:end].rstrip("\r\n"), complaint.column - 1
        if not line.strip():
            return ""
        skip = max(0, column - WINDOW // 2) if len(line) > WINDOW else 0
        return f"  {printable(line[skip : skip + WINDOW])}\n  {' ' * (column - skip)}^"


class InvalidSpec(SpecError):
    """A specification with mistakes: the message shows up to 20 of them, `complaints` has all."""

    def __init__(self, text: str, complaints: list[Complaint]) -> None:
        super().__init__(text)
        self.complaints = complaints


def error(complaints: list[Complaint], source: Source) -> InvalidSpec:
    """All complaints as one error, in the order of their places."""
    unique = sorted(dict.fromkeys(complaints), key=lambda c: (c.line, c.column))
    blocks = []
    for complaint in unique[:SHOWN]:
        excerpt = source.excerpt(complaint)
        blocks.append(f"{complaint}\n{excerpt}" if excerpt else str(complaint))
    if len(unique) > SHOWN:
        blocks.append(f"... and {len(unique) - SHOWN} more")
    return InvalidSpec("\n".join(blocks), unique)
