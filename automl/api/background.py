"""A search in the background: `automl.search(..., block=False)` returns a handle on it, for notebooks."""

import contextvars
import html
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from automl.driver import signals
from automl.errors import AutoMLError
from automl.study.reader import StudyView

if TYPE_CHECKING:
    from automl.api.prepared import Search
    from automl.study.study import Study


class Running:
    """A search that runs in a thread of this process; shown in a notebook, it displays its leaderboard so far.

        running = automl.search("space.yaml", block=False)
        running                      # the board as it is now; run the cell again for the newest
        running.stop()
        study = running.result()

    Attributes:
        path: the study's folder; `automl.Study.open(running.path)` reads it while the search runs.
    """

    def __init__(self, search: "Search") -> None:
        self.path: Path | None = search.study.path
        self._search = search
        self._asked = threading.Event()
        self._error: BaseException | None = None
        self._study: Study | None = None
        context = contextvars.copy_context()
        context.run(signals.asked.set, self._asked)
        self._thread = threading.Thread(target=context.run, args=(self._run,), name=f"search {search.study.name}")
        self._thread.daemon = True  # a program that ends takes its search with it; it can be resumed
        self._thread.start()

    def _run(self) -> None:
        try:
            self._study = self._search.run()
        except BaseException as error:
            self._error = error

    @property
    def running(self) -> bool:
        """Whether the search still runs."""
        return self._thread.is_alive()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the search has ended, at most `timeout_s` seconds; returns whether it has."""
        self._thread.join(timeout_s)
        return not self.running

    def stop(self, wait_s: float = 60.0) -> bool:
        """Ask the search to stop, as Ctrl-C does: running epochs end, and all is saved for `automl.resume`.

        Args:
            wait_s: seconds to wait for that.

        Returns:
            whether it has ended.
        """
        self._asked.set()
        return self.wait(wait_s)

    def result(self, timeout_s: float | None = None) -> "Study":
        """Wait for the search and return the finished study.

        Raises:
            AutoMLError: what the search ended with (`Interrupted` where it was stopped), or it still runs after
                `timeout_s` seconds.
        """
        if not self.wait(timeout_s):
            raise AutoMLError(f"{self.path}: the search still runs after {timeout_s:g} s")
        if self._error is not None:
            raise self._error
        assert self._study is not None
        return self._study

    def __repr__(self) -> str:
        return f"<search in {self.path}: {self._state()}>"

    def _state(self) -> str:
        return "running" if self.running else f"ended: {self._error}" if self._error else "ended"

    def _repr_html_(self) -> str:
        """The state, and the leaderboard as it is now."""
        board = ""
        if self.path is not None:
            try:
                view = StudyView(self.path)
            except AutoMLError:  # it has not begun
                view = None
            if view is not None:
                board = view._repr_html_()
                view.close()
        return f"<p>{html.escape(self._state())}</p>{board}"
