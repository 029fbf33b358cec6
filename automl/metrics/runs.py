"""Areas under ROC curves of more scores than memory should hold: sorted runs in a file, merged block by block.

The area is a function of the order of all scores alone. So scores are sorted in runs as they come, each distinct one
with the weight of its positives and of its negatives, and the runs are merged once, as an external sort does it (Knuth
1998, The Art of Computer Programming 3, sec. 5.4). What is in memory does not depend on how many scores there are.
"""

import os
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from automl.errors import EnvironmentProblem

Floats = NDArray[np.float64]
Block = tuple[Floats, Floats, Floats]
"""Scores, rising and distinct; the weight of the positives and that of the negatives with each."""
AT_ONCE = 1 << 18
"""Scores of all runs of a curve that are in memory while they are merged."""


def scratch() -> IO[bytes]:
    """A new file without a name on a disk, gone when it is closed: in TMPDIR, else in /var/tmp (/tmp may be memory)."""
    usual = Path("/var/tmp")
    folder = None if os.environ.get("TMPDIR") or not os.access(usual, os.W_OK) else usual
    return tempfile.TemporaryFile(dir=folder)


@dataclass
class Run:
    """A run in the file: its first byte, how many scores it has, and the type of its weights."""

    first: int
    count: int
    kind: type[Any]


@dataclass
class Runs:
    """Sorted runs of several curves.

    Attributes:
        curves: how many there are.
    """

    curves: int
    _file: IO[bytes] = field(default_factory=scratch)
    _runs: list[list[Run]] = field(default_factory=list)
    _sides: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._runs = [[] for _ in range(self.curves)]
        self._sides = [(0.0, 0.0) for _ in range(self.curves)]
        weakref.finalize(self, self._file.close)

    def add(self, curve: int, scores: Floats, positive: NDArray[np.bool_], weight: Floats) -> None:
        """Add some scores [n] of a curve.

        Raises:
            EnvironmentProblem: the disk is full.
        """
        distinct, place = np.unique(scores, return_inverse=True)
        up, down = (_summed(place, weight * side, len(distinct)) for side in (positive, ~positive))
        before = self._sides[curve]
        self._sides[curve] = before[0] + float(up.sum()), before[1] + float(down.sum())
        short = bool((up == up.astype(np.float32)).all() and (down == down.astype(np.float32)).all())
        kind = np.float32 if short else np.float64
        try:
            self._runs[curve].append(Run(self._file.seek(0, os.SEEK_END), len(distinct), kind))
            self._file.write(distinct.tobytes() + up.astype(kind).tobytes() + down.astype(kind).tobytes())
            self._file.flush()
        except OSError as error:
            raise EnvironmentProblem(
                f"scores for auroc do not fit on the disk of temporary files ({error.strerror}); TMPDIR names another"
            ) from error

    def areas(self, curve: int) -> tuple[float, float]:
        """The areas under the curves of ROC and of precision over recall, weighted; nan where a side is empty.

        - P(score of a positive > score of a negative) + P(equal) / 2
        - see `kinds.classes.average_precision`
        """
        won = precise = all_up = all_down = 0.0
        whole_up, whole_down = self._sides[curve]
        for up, down in self._merged(self._runs[curve]):
            won += float(up @ (all_down + down.cumsum() - down / 2))
            above = whole_up - all_up - up.cumsum() + up  # of positives with at least this score
            with np.errstate(invalid="ignore", divide="ignore"):
                share = above / (above + whole_down - all_down - down.cumsum() + down)
            precise += float(up @ np.nan_to_num(share))
            all_up, all_down = all_up + float(up.sum()), all_down + float(down.sum())
        nothing = float("nan")
        return won / (all_up * all_down) if all_up and all_down else nothing, precise / all_up if all_up else nothing

    def _merged(self, runs: Sequence[Run]) -> Iterator[tuple[Floats, Floats]]:
        """Weights of positives and of negatives by distinct score, in rising order, some at a time."""
        size = max(1, AT_ONCE // max(1, len(runs)))
        read, held = [0] * len(runs), [_empty()] * len(runs)
        while True:
            for k, run in enumerate(runs):
                if not len(held[k][0]) and read[k] < run.count:
                    held[k] = self._read(run, read[k], size)
                    read[k] += len(held[k][0])
            if not any(len(block[0]) for block in held):
                return
            going_on = [block[0][-1] for run, block, at in zip(runs, held, read, strict=True) if at < run.count]
            most = min(going_on, default=np.inf)  # all scores up to this one are in memory
            ends = [int(np.searchsorted(block[0], most, side="right")) for block in held]
            scores, up, down = (
                np.concatenate([block[j][:end] for block, end in zip(held, ends, strict=True)]) for j in range(3)
            )
            distinct, place = np.unique(scores, return_inverse=True)
            yield _summed(place, up, len(distinct)), _summed(place, down, len(distinct))
            held = [(s[end:], u[end:], d[end:]) for (s, u, d), end in zip(held, ends, strict=True)]

    def _read(self, run: Run, first: int, size: int) -> Block:
        size, begin, each = min(size, run.count - first), run.first, np.dtype(run.kind).itemsize
        scores = self._array(begin + 8 * first, size, np.float64)
        begin += 8 * run.count
        up = self._array(begin + each * first, size, run.kind)
        down = self._array(begin + each * (run.count + first), size, run.kind)
        return scores, up.astype(np.float64), down.astype(np.float64)

    def _array(self, begin: int, count: int, kind: type[Any]) -> NDArray[Any]:
        self._file.seek(begin)
        return np.frombuffer(self._file.read(count * np.dtype(kind).itemsize), kind)


def _summed(place: NDArray[np.intp], weight: Floats, count: int) -> Floats:
    """[count] the weights at each place, summed."""
    return np.bincount(place, weight, count).astype(np.float64, copy=False)


def _empty() -> Block:
    return np.empty(0), np.empty(0), np.empty(0)
