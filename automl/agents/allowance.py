"""The allowance of an agent: runs and time that all its searches and judgements together may use.

What was granted is written down before anything begins, in `DIR/agent_allowance.json`, so that neither a new session of
the server nor two at once give more. The file counts grants, not what was used of them: a search that ends early gives
nothing back. A person who wants to grant more raises the limits, or deletes the file.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from automl.errors import EnvironmentProblem, SpecError

FILE = "agent_allowance.json"


@dataclass
class Granted:
    """What has been granted so far: runs (trials, finalists' runs, runs of judgements) and seconds of wall time."""

    runs: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Allowance:
    """How much an agent may train; what it has used is counted in a file in the studies' folder.

    Args:
        dir: the folder that holds the studies.
        runs: the maximum number of training runs, over all searches and judgements.
        seconds: the maximum wall time of all searches and judgements together.
    """

    dir: Path
    runs: int
    seconds: float

    def grant(self, runs: int, seconds: float) -> Granted:
        """Take runs and seconds from the allowance; returns all that has been granted so far.

        Raises:
            SpecError: less than that is left; the message says how much.
        """
        with self._file() as granted:
            left, left_s = self.runs - granted.runs, self.seconds - granted.seconds
            if runs > left or seconds > left_s:
                raise SpecError(
                    f"the allowance is not enough: {runs} runs and {seconds:.0f} s were asked for, {max(left, 0)} runs "
                    f"and {max(left_s, 0):.0f} s are left of {self.runs} runs and {self.seconds:.0f} s"
                )
            granted.runs += runs
            granted.seconds += seconds
        return granted

    def left(self) -> Granted:
        """What is left."""
        with self._file() as granted:
            return Granted(max(self.runs - granted.runs, 0), max(self.seconds - granted.seconds, 0.0))

    @contextmanager
    def _file(self) -> Iterator[Granted]:
        """What has been granted, locked while the block runs, and written down at its end."""
        path = self.dir / FILE
        try:
            import fcntl
        except ImportError as error:
            raise EnvironmentProblem("an allowance needs the file locks of Linux or macOS") from error
        try:
            self.dir.mkdir(parents=True, exist_ok=True)
            with path.open("a+", encoding="utf-8") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                file.seek(0)
                granted = _read(file.read(), path)
                before = asdict(granted)
                yield granted
                if asdict(granted) != before:
                    file.truncate(0)
                    file.write(json.dumps(asdict(granted)))
                    file.flush()
        except OSError as error:
            raise EnvironmentProblem(f"{path}: {error.strerror or error}") from error


def _read(text: str, path: Path) -> Granted:
    if not text.strip():
        return Granted()
    try:
        content = json.loads(text)
        return Granted(int(content["runs"]), float(content["seconds"]))
    except (ValueError, KeyError, TypeError):
        raise SpecError(f"{path}: is damaged; a person deletes it to grant the whole allowance again") from None
