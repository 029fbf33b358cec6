"""What the driver does about the inbox: requests become changes of the study, and are answered."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from automl.driver.order import EventOrder
from automl.driver.worker_table import WorkerTable
from automl.errors import SpecError
from automl.study.live import inbox
from automl.study.live.requests import Request
from automl.study.study import Study

LOOK_S = 0.1
"""Between two looks into the inbox."""
TOLD_AT = 10
"""Trials of full length after which it is said how far earlier studies agree with this one."""


@dataclass
class Inbox:
    """Carries out the requests in a study's inbox, between two events of the search.

    So the place of an edit among the other facts is the same after a crash: see `deterministic`.

    Attributes:
        study, workers, order: those of the driver.
        say: shows a sentence to the user.
        later: requests that have to wait until the study has got far enough, by their files.
        closed: whether requests wait for the next session, because this one ends.
    """

    study: Study
    workers: WorkerTable
    order: EventOrder
    say: Callable[[str], None]
    later: dict[Path, Request] = field(default_factory=dict)
    closed: bool = False
    _looked_s: float = -LOOK_S
    _told: bool = False  # whether the user knows how far earlier studies agree
    _idle_s: float | None = None  # since when nothing runs because of a pause

    def begin(self) -> None:
        """Carry out what is due before workers start; a deterministic search first restores where it was."""
        if self.study.path is not None:
            inbox.tidy(self.study.path)
        if not self.study.deterministic:
            self.check()

    def speak(self, say: Callable[[str], None]) -> None:
        """The screen is there: show what the study has noted up to here, and everything from now on."""
        for note in self.study.notes:
            say(note)
        self.say = say

    def check(self) -> None:
        """Carry out what is due."""
        self._idle()
        self._tell()
        if self.study.path is None or self.closed:
            return
        now_s = time.monotonic()  # people ask in the real time, whatever the study's clock
        if now_s - self._looked_s >= LOOK_S:
            self._looked_s = now_s
            self._read(self.study.path)
        for file, request in [entry for entry in self.later.items() if entry[1].due(self.study.history)]:
            del self.later[file]
            self._carry_out(file, request)

    def _tell(self) -> None:
        """Say once how far earlier studies agree with this one."""
        history = self.study.history
        if history.live.earlier and not self._told and len(history.done) >= TOLD_AT:
            self._told = True
            for sentence in self.study.earlier_studies():
                self.say(f"warm: {sentence}")

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
        return self.order.changed()

    def _refuse(self, file: Path, error: SpecError) -> None:
        inbox.reply(file, {"ok": False, "error": str(error)})
        self.say(f"a request was refused: {error}")

    def hold(self, tick: Callable[[], None]) -> None:
        """Wait for the end of a pause in which nothing runs: a worker in this process ends if it gets no answer.

        `tick` is called often.
        """
        while self.study.paused and not (self.closed or self.workers.any_training or self.order.busy()):
            time.sleep(LOOK_S / 2)
            tick()

    def _idle(self) -> None:
        """The time in which nothing runs because of a pause is no time of the budget."""
        now_s = self.study.clock()
        if not self.study.paused or self.workers.any_training:
            self._idle_s = None
            return
        if self._idle_s is not None:
            self.study.budget.leave_out(now_s - self._idle_s)
        self._idle_s = now_s
