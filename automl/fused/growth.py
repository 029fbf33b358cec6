"""How many lanes of one signature to run: decided while they train, so that next to nothing is spent on measuring.

A few steps alone and together, on throw-away cohorts, tell whether fusing pays at all, and from how many lanes on. Then
the real rounds are timed: the number of lanes doubles while that makes a lane at least 15 % cheaper.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .capacity import KNEE, START, WORTH, lane_seconds
from .cohort import Blueprint
from .loop import Part

FIRST, FEWEST = 16, 3
"""Lanes of a first cohort, few enough that they do not run far ahead of what is known; fewer than FEWEST run alone."""
FACTS = ("probed_at", "solo", "probed", "mixed")
HEAVY = 25_000  # parameters whose arithmetic costs about as much as the calls of a step (digits, batches of 32 to 128)


@dataclass
class Growth:
    """`solo`, `probed`: seconds for a lane and step, alone and among `probed_at`; `costs`: the same by bucket.

    `mixed`: lanes differ in size and batch (see `work`). Whether they pay is not asked: they run in the program that
    runs one alone, and what is too big to gain stands alone in its piece (`mixed_loop.pieces`).
    """

    most: int
    probed_at: int = 8
    solo: float = 0.0
    probed: float = 0.0
    costs: dict[int, float] = field(default_factory=dict)
    mixed: bool = False

    @classmethod
    def measured(cls, blueprint: Blueprint, config: Mapping[str, Any], kind: str, data: Part, most: int) -> "Growth":
        """Time one lane and a small bucket on real data."""
        bucket = min(START.get(blueprint.device.type, 8), 1 << max(1, most).bit_length() - 1)
        found = cls(most, bucket)
        found.solo = lane_seconds(blueprint, config, kind, data, 1)
        found.probed = lane_seconds(blueprint, config, kind, data, bucket)
        return found

    @classmethod
    def remembered(cls, most: int, kept: Mapping[str, Any]) -> "Growth | None":
        """From what `kept` gave; None where that is of another version."""
        if not {*FACTS, "costs"} <= kept.keys():
            return None
        costs = {int(bucket): float(cost) for bucket, cost in kept["costs"].items()}
        return cls(most, costs=costs, **{name: kept[name] for name in FACTS})

    def kept(self) -> dict[str, Any]:
        """As JSON."""
        return {"lanes": self.target, **{name: getattr(self, name) for name in FACTS}, "costs": dict(self.costs)}

    def pays(self, lanes: int) -> bool:
        """Whether that many lanes are faster together than one after the other."""
        if self.mixed:
            return lanes > 1
        if lanes < FEWEST:
            return False
        together = self.probed * max(lanes, self.probed_at)  # fewer lanes are taken to cost as much as the bucket
        return lanes * self.solo >= WORTH * together

    @property
    def hopeless(self) -> bool:
        """Whether no number of lanes is likely to pay: a full bucket does not."""
        return not self.pays(self.probed_at)

    @property
    def speedup(self) -> float:
        """Over one lane after the other, at the best bucket known."""
        return self.solo / min([self.probed, *self.costs.values()]) if self.solo else 1.0

    @staticmethod
    def work(steps: Sequence[int], sizes: Sequence[int]) -> float:
        """Steps of lanes of so many parameters in steps of the smallest, roughly: to compare buckets of mixed lanes."""
        return sum(s * (1.0 + p / HEAVY) for s, p in zip(steps, sizes, strict=True))

    def saw(self, bucket: int, lanes: int, seconds: float, work: float) -> bool:
        """A round of `work` (lanes times steps; mixed: see `work`) took that long; one of a half-empty bucket tells
        nothing. True when it was the first of its bucket."""
        if lanes <= bucket // 2 or work <= 0:
            return False
        cost, new = seconds / work, bucket not in self.costs
        self.costs[bucket] = min(cost, self.costs.get(bucket, cost))
        return new

    @property
    def target(self) -> int:
        """How many lanes to hold now."""
        bucket = min(FIRST, self.most)
        while bucket in self.costs:
            half = self.costs.get(bucket // 2)
            if half is not None and half / self.costs[bucket] < KNEE:
                return bucket // 2  # more lanes would cost each trial time and gain next to nothing
            if bucket * 2 > self.most:
                break
            bucket *= 2
        return bucket
