"""The process that `automl start` leaves behind: one search, whose progress goes to a file in the study's folder."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from automl.errors import EnvironmentProblem, LedgerError, SearchFailed
from automl.study import paths
from automl.study.reader import StudyView

LOG = "driver.log"
"""What the driver prints, in the study's folder."""
BEGIN_S = 120.0
"""How long a search may take to begin."""


def start(folder: Path, search: Mapping[str, Any]) -> int:
    """Start a process that runs `automl.search(**search, path=folder)`; returns its number once the study has begun.

    Raises:
        SearchFailed: it ended before the study began; the message is what it printed last.
        EnvironmentProblem: it has not begun after two minutes, and was ended.
    """
    log = folder / LOG
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "automl.cli.detached", json.dumps({**search, "path": str(folder)})],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # it outlives this process, and its terminal
        )
    until = time.monotonic() + BEGIN_S
    while not _has_begun(folder):
        if process.poll() is not None and not _has_begun(folder):
            said = log.read_text(errors="replace").strip().splitlines()[-8:]
            raise SearchFailed("the search did not begin: " + ("\n".join(said) or f"exit code {process.returncode}"))
        if time.monotonic() > until:
            process.terminate()
            raise EnvironmentProblem(f"the search has not begun after {BEGIN_S:.0f} s; see {log}")
        time.sleep(0.05)
    process.returncode = 0  # it goes on without us: no warning that it still runs
    return process.pid


def _has_begun(folder: Path) -> bool:
    """Whether the study can be read."""
    if not (folder / paths.LEDGER).is_file():
        return False
    try:
        StudyView(folder).close()
    except LedgerError:  # its first facts are not written yet
        return False
    return True


def main() -> None:
    """Run the search that the first argument describes."""
    from automl.api import doors
    from automl.cli.error_text import describe_error
    from automl.view.screens import choose

    try:
        doors.search(**json.loads(sys.argv[1]), screen=choose.screen(block=True))
    except Exception as error:
        text, code = describe_error(error)
        print(text, file=sys.stderr)
        sys.exit(code)


if __name__ == "__main__":
    main()
