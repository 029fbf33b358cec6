"""The live screen: one region at the end of the terminal, redrawn at most twice a second; scrollback is kept."""

import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from automl.core.messages import WorkerStatus
from automl.core.trial import TrialRecord
from automl.leaderboard import words
from automl.study.reader import Readable
from automl.view.screens.hardware import Hardware
from automl.view.screens.render import render
from automl.view.screens.screens import print_final
from automl.view.screens.snapshot import Snapshot, Tracker

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

FRAME_S = 0.5


class LiveScreen:
    """Draws on `progress` (a terminal, normally stderr); the final block goes to `results` (None: nowhere)."""

    def __init__(
        self,
        progress: "Console",
        results: "Console | None",
        *,
        unicode: bool = True,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = datetime.now,
        hardware: Hardware | None = None,
    ) -> None:
        self._progress, self._results, self._unicode = progress, results, unicode
        self._clock, self._now = clock, now
        self._hardware = hardware or Hardware(clock)
        self._live: Live | None = None
        self._tracker: Tracker | None = None
        self._drawn_at = -FRAME_S
        self._drawn: object = None
        self._widths: list[int] = []  # of the lines of the last frame
        self._notes: deque[str] = deque()
        self._wraps = wraps(os.environ)

    def begin(self, study: Readable) -> None:
        """The search begins (or goes on)."""
        from rich.live import Live
        from rich.text import Text

        self._tracker = Tracker.of(study)
        self._live = Live(
            Text(""), console=self._progress, auto_refresh=False, transient=True, vertical_overflow="crop"
        )
        self._live.start()

    def ended(self, study: Readable, record: TrialRecord) -> None:
        """A trial ended."""
        assert self._tracker is not None, "begin() comes first"
        self._tracker.add(record)

    def tick(self, study: Readable, workers: Sequence[WorkerStatus]) -> None:
        """Draw, if something changed and the last frame is old enough. Cheap when called often."""
        self._print_notes()
        now = self._clock()
        if now - self._drawn_at < FRAME_S or self._live is None or self._tracker is None:
            return
        state = (study.history.version, tuple(workers), int(study.elapsed_s), self._progress.size)
        if state == self._drawn:
            return
        self._drawn_at, self._drawn = now, state
        self._draw(self._tracker.snapshot(study, workers, now=self._now(), hardware=self._hardware.read()))

    def note(self, text: str) -> None:
        """A line above the region at the next tick (a signal handler may call this in the middle of a frame)."""
        self._notes.append(text)

    def finish(self, study: Readable, outcome: str) -> None:
        """Take the region away and print what stays: the top of the table, and the final block."""
        self._print_notes()
        if self._live is None:
            return
        self._live.stop()
        self._live = None
        if self._tracker is not None and self._results is not None:
            board = self._tracker.snapshot(study).board
            if board.rows:
                from automl.leaderboard.table import lines, to_text

                width, best = self._progress.size.width, study.winner
                rows = [replace(row, best=best is not None and row.trial == best.number) for row in board.rows[:8]]
                self._progress.print(to_text(lines(board, rows, width, unicode=self._unicode, digits=3)))
                self._progress.print()
        print_final(self._results, study, outcome)

    def _print_notes(self) -> None:
        while self._notes:
            self._progress.print(words.clean(self._notes.popleft()), style="yellow", markup=False, highlight=False)

    def _draw(self, snapshot: Snapshot) -> None:
        assert self._live is not None
        size = self._progress.size
        # one column and one line less: writing into the last cell makes some terminals scroll
        made = render(snapshot, max(size.width - 1, 10), max(size.height - 1, 1), unicode=self._unicode)
        if self._wraps:
            self._erase(wrapped(self._widths, size.width), size.height)
        self._widths = [words.cells(line) for line in made.plain.split("\n")]
        self._live.update(made, refresh=True)

    def _erase(self, lines: int, height: int) -> None:
        """Go up by what the terminal has made of the last frame in excess of its own lines."""
        from rich.control import Control
        from rich.segment import ControlType

        up = ((ControlType.ERASE_IN_LINE, 2), (ControlType.CURSOR_UP, 1))
        if lines:
            self._progress.control(Control(*up * min(lines, height), (ControlType.ERASE_IN_LINE, 2)))


def wrapped(widths: Sequence[int], width: int) -> int:
    """How many lines more than before a frame has in a terminal that is `width` wide now and wraps what is there."""
    return sum(max(0, (one - 1) // width) for one in widths)


def wraps(environ: Mapping[str, str]) -> bool:
    """Whether the terminal wraps lines that are there when it gets narrower: most do, these cut them off."""
    if environ.get("TMUX"):
        return True
    return not (environ.get("XTERM_VERSION") or environ.get("STY") or environ.get("TERM") in ("linux", "dumb"))
