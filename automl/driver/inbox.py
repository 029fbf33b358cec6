"""What the driver does about the inbox: requests become changes of the study, and are answered."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from automl.errors import SpecError
from automl.study.live import inbox
from automl.study.live.requests import Request
from automl.study.study import Study

LOOK_S = 0.1
"""Between two looks into the inbox."""


@dataclass
class Inbox:
    """Carries out the requests in a study's inbox, between two events of the search.

    Attributes:
        study: that of the driver.
        say: shows a sentence to the user.
        changed: called after requests were carried out: there may be trials to begin.
        later: requests that have to wait until the study has got far enough, by their files.
    """

    study: Study
    say: Callable[[str], None]
    changed: Callable[[], None]
    later: dict[Path, Request] = field(default_factory=dict)
    _looked_s: float = -LOOK_S
    _idle_s: float | None = None  # since when nothing runs because of a pause

    def check(self) -> None:
        """Carry out what is due."""
        if self.study.path is None:
            return
        now_s = time.monotonic()  # people ask in the real time, whatever the study's clock
        if now_s - self._looked_s >= LOOK_S:
            self._looked_s = now_s
            self._read(self.study.path)
        for file, request in [entry for entry in self.later.items() if entry[1].due(self.study.history)]:
            del self.later[file]
            self._carry_out(file, request)

    def _read(self, path: Path) -> None:
        for file, content in inbox.waiting(path):
            if file in self.later:
                continue
            try:
                if isinstance(content, SpecError):
                    raise content
                self.later[file] = Request.of(content, file.stem)
            except SpecError as error:
                self._refuse(file, error)

    def _carry_out(self, file: Path, request: Request) -> None:
        try:
            done = self.study.carry_out(request)
        except SpecError as error:
            return self._refuse(file, error)
        inbox.reply(file, {"ok": True, "done": done})
        for sentence in done:
            self.say(f"{request.by}: {sentence}")
        return self.changed()

    def _refuse(self, file: Path, error: SpecError) -> None:
        inbox.reply(file, {"ok": False, "error": str(error)})
        self.say(f"a request was refused: {error}")

    def idle(self, running: bool) -> None:
        """Called often: the time in which nothing runs because of a pause is no time of the budget."""
        now_s = self.study.clock()
        if not self.study.paused or running:
            self._idle_s = None
            return
        if self._idle_s is not None:
            self.study.budget.leave_out(now_s - self._idle_s)
        self._idle_s = now_s
