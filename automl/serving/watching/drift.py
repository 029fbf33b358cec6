"""Whether new rows are still like the training set: PSI and Kolmogorov-Smirnov's distance for each input.

The rows are tested in windows of, say, 1,000. A window of a model whose inputs have not changed raises an alarm with a
probability of at most `false_alarms`, over all of its inputs together: each test of each input gets an equal share of
it (Bonferroni). The limits respect that the training part is a sample too.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIMULATIONS = 2000
RARE = 8
"""Bins in which a window is expected to have fewer rows than this are joined."""
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Reference:
    """An input in the training part.

    Attributes:
        name: of the input.
        edges: of its bins, for numbers; empty for categories, whose bins are their codes from 1.
        shares: of the training rows in each bin; then of those with another value; then of those with none.
        rows: of the training part.
        ordered: whether the bins have an order, so that a distance of distributions means something.
    """

    name: str
    edges: NDArray[np.float64]
    shares: NDArray[np.float64]
    rows: int
    ordered: bool = field(default=True)

    @property
    def bins(self) -> int:
        """How many bins there are, those for other values and for none included."""
        return len(self.shares)

    def counted(self, values: NDArray[np.float64]) -> Counts:
        """[bins] how many of `values` lie in each."""
        gone = np.isnan(values)
        present = values[~gone]
        if self.ordered:
            index = np.searchsorted(self.edges, present, side="left")
        else:
            index = np.where(present >= 1, present - 1, self.bins - 2).astype(np.intp)
        counts = np.bincount(index, minlength=self.bins)
        counts[-1] = int(gone.sum())
        return counts

    @cached_property
    def joined(self) -> NDArray[np.float64]:
        """The shares without zeros, as a window is compared with."""
        return np.maximum(self.shares, 0.5 / max(self.rows, 1))


def reference_of(column: Mapping[str, Any]) -> Reference | None:
    """The reference of a preparation's column; None where it does not say what training has shown."""
    seen = column.get("seen", {})
    if "edges" in seen:
        present = 1 - seen["missing"]
        shares = [present * share for share in seen["shares"]]
        return Reference(column["name"], np.array(seen["edges"]), np.array([*shares, 0.0, seen["missing"]]),
                         int(seen["rows"]))  # fmt: skip
    if "shares" not in seen:
        return None
    values = list(column["values"])
    gone = [share for value, share in zip(values, seen["shares"], strict=True) if value.startswith("\x00")]
    shares = [0.0 if v.startswith("\x00") else s for v, s in zip(values, seen["shares"], strict=True)]
    other = max(0.0, 1 - sum(seen["shares"]))
    return Reference(column["name"], np.zeros(0), np.array([*shares, other, sum(gone)]), int(seen["rows"]), False)


def references_of(preparation: Mapping[str, Any]) -> list[Reference | None]:
    """A reference for each column of raw values that `Served.prepare` gives."""
    if preparation["form"] == "table":
        return [reference_of(column) for column in preparation["columns"]]
    seen = preparation.get("seen", {})
    if preparation["form"] != "array" or not seen:
        return []
    features = seen.get("features")
    if features is None:
        return [reference_of({"name": "mean of the sample", "seen": seen.get("mean", {})})]
    return [reference_of({"name": f"x{k}", "seen": one}) for k, one in enumerate(features)]


def psi(counts: Counts, reference: Reference) -> float:
    """The population stability index: sum of (p - q) ln(p / q) over the bins; 0.1 is small, 0.25 is large."""
    p, q = _smoothed(counts, reference)
    return float(((p - q) * np.log(p / q)).sum())


def _smoothed(counts: Counts, reference: Reference) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows = int(counts.sum())
    groups = _groups(reference.joined, rows)
    q = np.bincount(groups, weights=reference.joined)
    p = np.bincount(groups, weights=counts) + 0.5
    return p / p.sum(), q / q.sum()


def _groups(shares: NDArray[np.float64], rows: int) -> NDArray[np.intp]:
    """The group of each bin: rare ones are together in the last."""
    common = shares * rows >= RARE
    groups = np.cumsum(common) - 1
    return np.where(common, groups, int(common.sum())).astype(np.intp)


def distance(counts: Counts, reference: Reference) -> float | None:
    """The largest difference of the two distributions at the edges of the bins; None for categories."""
    if not reference.ordered:
        return None
    p, q = counts[:-2] / max(counts[:-2].sum(), 1), reference.shares[:-2] / max(reference.shares[:-2].sum(), 1e-12)
    return float(np.abs(np.cumsum(p) - np.cumsum(q)).max(initial=0.0))


def psi_limit(reference: Reference, rows: int, level: float) -> float:
    """What the PSI of `rows` rows like the training part exceeds with probability `level`.

    Both samples are redrawn a few thousand times; the tail is that of the gamma distribution with the same mean and
    variance, as PSI times a constant is nearly chi-square (Yurdakul and Naranjo, 2020).
    """
    from scipy.stats import gamma

    rng = np.random.default_rng(0)
    q = np.bincount(_groups(reference.joined, rows), weights=reference.joined)
    q = q / q.sum()
    drawn = rng.multinomial(rows, q, SIMULATIONS) + 0.5
    trained = rng.multinomial(max(reference.rows, 1), q, SIMULATIONS) + 0.5
    p, r = drawn / drawn.sum(axis=1, keepdims=True), trained / trained.sum(axis=1, keepdims=True)
    made = ((p - r) * np.log(p / r)).sum(axis=1)
    mean, variance = float(made.mean()), float(made.var())
    return mean if variance <= 0 else float(gamma.isf(level, mean**2 / variance, scale=variance / mean))


def distance_limit(reference: Reference, rows: int, level: float) -> float:
    """What the distance of `rows` rows like the training part exceeds with at most probability `level`.

    Massart's constant for the Dvoretzky-Kiefer-Wolfowitz inequality; at the edges alone it is on the safe side.
    """
    return math.sqrt(-0.5 * math.log(level / 2) * (1 / max(rows, 1) + 1 / max(reference.rows, 1)))


@dataclass(frozen=True)
class Finding:
    """One input in one window: the two numbers, their limits, and whether one is exceeded."""

    name: str
    rows: int
    psi: float
    psi_limit: float
    distance: float | None
    distance_limit: float | None

    @property
    def alarm(self) -> bool:
        """Whether the input has changed."""
        far = self.distance is not None and self.distance_limit is not None and self.distance > self.distance_limit
        return self.psi > self.psi_limit or far

    def to_json(self) -> dict[str, Any]:
        """For programs and the page."""
        return {
            "name": self.name, "rows": self.rows, "psi": self.psi, "psi_limit": self.psi_limit,
            "ks": self.distance, "ks_limit": self.distance_limit, "alarm": self.alarm,
        }  # fmt: skip


class Drift:
    """Compares windows of one model's inputs with its training part; limits are computed once for each size.

    Args:
        references: of the inputs; None where nothing is known of one.
        false_alarms: see the module.
    """

    def __init__(self, references: Sequence[Reference | None], false_alarms: float) -> None:
        self.references = list(references)
        tests = sum(1 + one.ordered for one in self.references if one is not None)
        self.level = false_alarms / max(tests, 1)
        self._limits: dict[tuple[int, int], tuple[float, float | None]] = {}
        self._warm = False

    def warm(self, rows: int) -> bool:
        """Compute the limits for windows of `rows` rows; False where that was done already."""
        if self._warm:
            return False
        self._warm = True
        for k, one in enumerate(self.references):
            if one is not None:
                self._limit(k, one, rows)
        return True

    def empty(self) -> list[list[int]]:
        """Counts of no rows."""
        return [[0] * (one.bins if one else 0) for one in self.references]

    def counted(self, raw: NDArray[np.float64]) -> list[list[int]]:
        """Counts of rows. raw: [rows, inputs] what stands in the cells."""
        pairs = zip(self.references, raw.T, strict=True)
        return [[] if one is None else one.counted(np.ascontiguousarray(v)).tolist() for one, v in pairs]

    def findings(self, counts: Sequence[Sequence[int]]) -> list[Finding]:
        """What a window shows of each input that something is known of."""
        found = []
        for k, (one, numbers) in enumerate(zip(self.references, counts, strict=True)):
            array = np.asarray(numbers, dtype=np.int64)
            if one is None or not array.sum():
                continue
            rows = int(array.sum())
            psi_at_most, distance_at_most = self._limit(k, one, rows)
            found.append(Finding(one.name, rows, psi(array, one), psi_at_most, distance(array, one), distance_at_most))
        return found

    def _limit(self, k: int, one: Reference, rows: int) -> tuple[float, float | None]:
        if (k, rows) not in self._limits:
            if len(self._limits) > 4096:
                self._limits.clear()
            far = distance_limit(one, rows, self.level) if one.ordered else None
            self._limits[k, rows] = (psi_limit(one, rows, self.level), far)
        return self._limits[k, rows]
