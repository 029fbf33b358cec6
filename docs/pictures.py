"""Draws the pictures in docs/ from real searches: `python docs/pictures.py` (a minute or two).

The live screen in the middle of a search on the digits and of one whose trials fail, the final table, the log without a
terminal, and the pictures of the report.
"""

import contextlib
import io
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from automl.api import doors
from automl.core.messages import WorkerStatus
from automl.core.trial import TrialRecord
from automl.study.study import Study
from automl.view import figures
from automl.view.pages.final import final
from automl.view.pages.report import report
from automl.view.screens.plain import PlainScreen
from automl.view.screens.render import render
from automl.view.screens.snapshot import Snapshot
from automl.view.screens.tracker import Tracker

DOCS = Path(__file__).resolve().parent
FAILING = """\
def train(trial):
    if trial["width"] > 256:
        raise RuntimeError("CUDA out of memory: tried to allocate 20.00 GiB")
    for step in trial.steps(9):
        loss = (trial["lr"] * 30 - 1) ** 2 + 1.0 / step
        trial.report(loss=loss if trial["lr"] < 0.5 else float("nan"))
"""


class Recorder:
    """A screen that keeps the snapshot after `at` ended trials and writes the plain log."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.tracker: Tracker | None = None
        self.shot: Snapshot | None = None
        self.log = io.StringIO()
        self.plain = PlainScreen(Console(file=self.log, width=140, _environ={}), None)

    def begin(self, study: Study) -> None:
        self.tracker = Tracker.of(study)
        self.plain.begin(study)

    def ended(self, study: Study, record: TrialRecord) -> None:
        assert self.tracker is not None
        self.tracker.add(record)
        self.plain.ended(study, record)

    def tick(self, study: Study, workers: Sequence[WorkerStatus]) -> None:
        self.plain.tick(study, workers)
        if self.shot is None and study.counts.ended >= self.at and any(w.trials for w in workers):
            assert self.tracker is not None
            self.shot = self.tracker.snapshot(study, workers)

    def note(self, text: str) -> None:
        self.plain.note(text)

    def finish(self, study: Study, outcome: str) -> None:
        self.plain.finish(study, outcome)


def picture(text: Text | str, name: str, width: int, title: str) -> None:
    """Write docs/NAME.svg."""
    console = Console(
        record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor", _environ={}
    )
    console.print(text, soft_wrap=True, highlight=False)
    svg = re.sub(
        r"@font-face \{.*?\}", "", console.export_svg(title=title), flags=re.DOTALL
    )  # nothing from the network
    (DOCS / f"{name}.svg").write_text(re.sub(r"\n\s*\n", "\n", svg), encoding="utf-8")
    sys.stdout.write(f"docs/{name}.svg\n")


def searched(task: Any, at: int, **how: Any) -> tuple[Study, Recorder]:
    screen = Recorder(at)
    return doors.search(task, screen=screen, **how), screen


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        study, screen = searched("digits", 30, workers=2, overrides={"ensemble": 8})
        assert screen.shot is not None
        for width, height in ((100, 30), (80, 24)):
            picture(render(screen.shot, width, height), f"screen_{width}x{height}", width, "automl search digits")
        opened = Study.open(str(study.path))
        picture(opened.leaderboard(8).text(100), "leaderboard", 100, "automl top digits -n 8")
        picture(final(opened, "finished"), "final", 112, "the end of a search")
        head = "\n".join(screen.log.getvalue().splitlines()[:16])
        picture(head, "log", 140, "automl search digits | tee log")
        for kind in ("history", "curves", "seeds", "errors"):
            figures.save(figures.draw(kind, opened), DOCS / f"plot_{kind}.png")
            sys.stdout.write(f"docs/plot_{kind}.png\n")
        sys.stdout.write(f"the report has {len(report(opened)):,} characters\n")
        Path("failing.py").write_text(FAILING)
        space = "train: failing:train\nmetric: {name: loss, direction: minimize}\nbudget: {trials: 30}\nspace:\n"
        space += "  lr: {float: [1e-4, 1.0], log: true}\n  width: {int: [16, 512], log: true}\n"
        Path("failing.yaml").write_text(space)
        study, screen = searched("failing.yaml", 18, workers=2)
        assert screen.shot is not None
        picture(render(screen.shot, 80, 24), "screen_failing", 80, "a search some of whose trials fail")


if __name__ == "__main__":
    main()
