"""The live screen: one region at the end of the terminal, redrawn at most twice a second; the scrollback is kept."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from automl.core.messages import WorkerStatus
from automl.core.trial import TrialRecord
from automl.leaderboard import words
from automl.leaderboard.importance import steady_order
from automl.study.reader import Readable
from automl.view.pages.data import INDENT, labelled
from automl.view.pages.final import print_final
from automl.view.screens.hardware import Hardware
from automl.view.screens.news import DataNews
from automl.view.screens.render import render
from automl.view.screens.snapshot import Snapshot
from automl.view.screens.tracker import Tracker

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

FRAME_S = 0.5


class LiveScreen:
    """A `Screen` for terminals.

    Args:
        progress: where frames are drawn (a terminal, normally stderr).
        results: where the final block goes; None: nowhere.
        unicode: whether characters beyond ASCII may be used.
        rewraps: whether the terminal wraps existing lines when it gets narrower, see `rewraps`.
        clock: seconds, from any zero.
        now: the time of day.
        hardware: gives samples of the machine; None: of this one, see `Hardware.read`.
    """

    def __init__(
        self,
        progress: "Console",
        results: "Console | None",
        *,
        unicode: bool = True,
        rewraps: bool = True,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = datetime.now,
        hardware: Callable[[], Sequence[str]] | None = None,
    ) -> None:
        self._progress, self._results, self._unicode, self._rewraps = progress, results, unicode, rewraps
        self._clock, self._now = clock, now
        self._hardware = hardware or Hardware(clock).read
        self._live: Live | None = None
        self._tracker: Tracker | None = None
        self._news: DataNews | None = None
        self._drawn_at = -FRAME_S
        self._drawn: object = None
        self._widths: list[int] = []  # of the lines of the last frame
        self._notes: deque[str] = deque()

    def begin(self, study: Readable) -> None:
        """The search begins or continues: open the region."""
        from rich.live import Live
        from rich.text import Text

        self._tracker, self._news = Tracker.of(study), DataNews(study)
        self._live = Live(
            Text(""), console=self._progress, auto_refresh=False, transient=True, vertical_overflow="crop"
        )
        self._live.start()

    def ended(self, study: Readable, record: TrialRecord) -> None:
        """Count a trial that ended; it is drawn at the next tick."""
        assert self._tracker is not None, "begin() comes first"
        self._tracker.add(record)

    def tick(self, study: Readable, workers: Sequence[WorkerStatus]) -> None:
        """Draw if something has changed and the last frame is at least half a second old."""
        self._print_notes()
        self._print_data(study)
        now = self._clock()
        if now - self._drawn_at < FRAME_S or self._live is None or self._tracker is None:
            return
        driven = study.stage.study if study.stage else study
        state = (driven.history.version, tuple(workers), int(study.elapsed_s), self._progress.size)
        if state == self._drawn:
            return
        self._drawn_at, self._drawn = now, state
        self._draw(self._tracker.snapshot(study, workers, now=self._now(), hardware=self._hardware()))

    def note(self, text: str) -> None:
        """Print a line above the region at the next tick (a signal handler may call this while a frame is drawn)."""
        self._notes.append(text)

    def finish(self, study: Readable, outcome: str) -> None:
        """Remove the region and print the top of the leaderboard and the final block."""
        self._print_notes()
        if self._live is None:
            return
        self._live.stop()
        self._live = None
        if self._results is not None:
            self._print_table(study)
        print_final(self._results, study, outcome)

    def _print_table(self, study: Readable) -> None:
        """The best eight rows, and the winner's where it is none of them; they stay on the screen."""
        from automl.leaderboard.table import lines, to_text

        board = replace(study.leaderboard(None), columns=steady_order(study.space))
        rows = [row for k, row in enumerate(board.rows) if k < 8 or row.best]
        if rows:
            width = self._progress.size.width
            self._progress.print(to_text(lines(board, rows, width, unicode=self._unicode, digits=3, legend=True)))
            self._progress.print()

    def _print_notes(self) -> None:
        while self._notes:
            self._progress.print(words.clean(self._notes.popleft()), style="yellow", markup=False, highlight=False)

    def _print_data(self, study: Readable) -> None:
        """Print above the region what was decided about the data, once."""
        from rich.text import Text

        for label, sentence in self._news.lines(study) if self._news else ():
            style = "yellow" if label in ("warning", "guessed") else ""
            for line in labelled(label, sentence, min(self._progress.size.width - 1, 100)):
                shown = Text(line, style)
                shown.stylize("dim", 0, INDENT)
                self._progress.print(shown, soft_wrap=True)

    def _draw(self, snapshot: Snapshot) -> None:
        assert self._live is not None
        size = self._progress.size
        # one column and one line less: writing into the last cell makes some terminals scroll
        frame = render(snapshot, max(size.width - 1, 10), max(size.height - 1, 1), unicode=self._unicode)
        if self._rewraps:
            self._erase(wrapped(self._widths, size.width), size.height)
        self._widths = [words.cells(line) for line in frame.plain.split("\n")]
        self._live.update(frame, refresh=True)

    def _erase(self, lines: int, height: int) -> None:
        """Erase the extra lines that the terminal made by wrapping the last frame."""
        from rich.control import Control
        from rich.segment import ControlType

        up = ((ControlType.ERASE_IN_LINE, 2), (ControlType.CURSOR_UP, 1))
        if lines:
            self._progress.control(Control(*up * min(lines, height), (ControlType.ERASE_IN_LINE, 2)))


def wrapped(widths: Sequence[int], width: int) -> int:
    """How many extra lines a frame takes whose lines have these widths, in a terminal that wraps at `width` cells."""
    return sum(max(0, (one - 1) // width) for one in widths)


def rewraps(environ: Mapping[str, str]) -> bool:
    """Whether the terminal wraps existing lines when it gets narrower. Most do; xterm, screen and linux crop them."""
    if environ.get("TMUX"):
        return True
    return not (environ.get("XTERM_VERSION") or environ.get("STY") or environ.get("TERM") in ("linux", "dumb"))
