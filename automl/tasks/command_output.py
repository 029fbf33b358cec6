"""What a command prints, read as it comes: reports, and everything else for the log.

A report is a JSON object that has the study's metric as a number: `{"step": 3, "val_loss": 0.41}`, on one line or on
several, also behind a progress bar. With a pattern (`report: 'val_acc=(?P<val_acc>[0-9.]+)'`) lines of plain text are
reports, too.
"""

import ast
import json
import math
import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

STEPS = ("step", "epoch")  # names of the step in a report
MOST_LINES, LONGEST = 200, 100_000  # of an object on several lines; characters of a line that is looked at
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_WRAPPED = re.compile(r"\b(?:(?:np|numpy)\.\w+|tensor|array)\(([^(),]*)(?:, \w+=[^(),]*)*\)")
_NOT_FINITE = re.compile(r"(?<=[:\s])(-?(?:nan|inf))(?=[,}\s])")
KEPT = 10  # last lines for the message about a program that never reports


@dataclass(frozen=True, slots=True)
class Report:
    """One report of a program. `step`: None where it was not given."""

    step: int | None
    metrics: Mapping[str, float]


class CommandOutput:
    """Reads the lines of one program.

    Args:
        metric: the study's metric.
        pattern: named groups are metrics, and `step` or `epoch`; None: only JSON.

    Attributes:
        last: the last lines that were no reports.
        reports: how many reports there were.
    """

    def __init__(self, metric: str, pattern: str | None = None) -> None:
        self.metric = metric
        self.pattern = re.compile(pattern) if pattern else None
        self.last: deque[str] = deque(maxlen=KEPT)
        self.reports = 0
        self._open: list[str] = []  # lines of an object that is not complete yet

    def read(self, line: str) -> Iterator[Report | str]:
        """Take one line.

        Yields:
            reports, and text that belongs into the log.
        """
        if self._open and line.lstrip().startswith("{") and (found := self._of_line(line)) is not None:
            yield from self.end()  # the brace before it was none of an object
            yield found
        elif self._open:
            self._open.append(line)
            whole = "".join(self._open)
            if (found := self._report(_parsed(whole))) is not None:
                self._open = []
                yield found
            elif _parsed(whole) is not None or len(self._open) > MOST_LINES or len(whole) > LONGEST:
                yield from self.end()
        elif (found := self._of_line(line)) is not None:
            yield found
        elif line.strip() == "{":
            self._open = [line]
        else:
            yield self._text(line)

    def end(self) -> Iterator[Report | str]:
        """The lines of an object that was never completed; one of them may be a report by itself."""
        lines, self._open = self._open, []
        for line in lines:
            yield self._of_line(line) or self._text(line)

    def _text(self, line: str) -> str:
        if line.strip():
            self.last.append(line.rstrip())
        return line

    def _of_line(self, line: str) -> Report | None:
        if len(line) > LONGEST:
            return None
        line = _COLOURS.sub("", line) if "\x1b" in line else line
        if self.pattern and (match := self.pattern.search(line)):
            return self._report({name: _number(text) for name, text in match.groupdict().items() if text is not None})
        start = line.find("{")
        return self._report(_parsed(line[start:])) if start >= 0 and line.rstrip().endswith("}") else None

    def _report(self, values: Mapping[str, Any] | None) -> Report | None:
        """The report where the values hold the metric as a number, one level down too."""
        if values is None:
            return None
        inner = [value for value in values.values() if isinstance(value, Mapping) and self.metric in value]
        if self.metric not in values and len(inner) == 1:
            values = {**{k: v for k, v in values.items() if not isinstance(v, Mapping)}, **inner[0]}
        if not isinstance(_number(values.get(self.metric)), int | float):
            return None
        metrics = {str(name): _number(value) for name, value in values.items()}
        step = next((metrics.pop(name) for name in STEPS if name in metrics and name != self.metric), None)
        if not (isinstance(step, int | float) and math.isfinite(step) and step >= 0 and step == int(step)):
            step = None
        self.reports += 1
        return Report(
            None if step is None else int(step), {k: v for k, v in metrics.items() if isinstance(v, int | float)}
        )


def _parsed(text: str) -> Mapping[str, Any] | None:
    """The object in a text: JSON, or a printed Python dict; None for anything else."""
    for read in (json.loads, _printed):
        try:
            value = read(text.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
        return value if isinstance(value, dict) and value else None
    return None


def _printed(text: str) -> Any:
    """The value of a printed Python object; numbers may be `nan`, `inf`, `np.float64(0.5)` or `tensor(0.5)`.

    Raises:
        ValueError, SyntaxError: it is none.
    """
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return ast.literal_eval(_NOT_FINITE.sub(r"'\1'", _WRAPPED.sub(r"\1", text)))


def _number(value: Any) -> Any:
    """A number for a text that is one, also for `93.5%` (0.935); anything else unchanged. Truth values are none."""
    if not isinstance(value, str):
        return None if isinstance(value, bool) else value
    text = value.strip()
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        return value
