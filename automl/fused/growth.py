"""How many lanes of one signature to run: decided while they train, so that next to nothing is spent on measuring.

A few steps of one and of eight lanes, on throw-away cohorts, tell whether fusing pays at all, and from how many lanes
on. Then the real rounds are timed: the number of lanes doubles while that makes a lane at least 15 % cheaper.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .capacity import KNEE, START, WORTH, lane_seconds
from .cohort import Blueprint
from .loop import Part

FIRST, FEWEST = 16, 3
"""Lanes of a first cohort, few enough that they do not run far ahead of what is known; fewer than FEWEST run alone."""


@dataclass
class Growth:
    """`solo`, `probed`: seconds for a lane and step, alone and in a bucket of `START`; `costs`: the same by bucket."""

    most: int
    probed_at: int = 8
    solo: float = 0.0
    probed: float = 0.0
    costs: dict[int, float] = field(default_factory=dict)

    @classmethod
    def measured(cls, blueprint: Blueprint, config: Mapping[str, Any], kind: str, data: Part, most: int) -> "Growth":
        """Time one lane and a small bucket on real data."""
        bucket = min(START.get(blueprint.device.type, 8), 1 << max(1, most).bit_length() - 1)
        found = cls(most, bucket)
        found.solo = lane_seconds(blueprint, config, kind, data, 1)
        found.probed = lane_seconds(blueprint, config, kind, data, bucket)
        return found

    def pays(self, lanes: int) -> bool:
        """Whether that many lanes are faster together than one after the other."""
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

    def saw(self, bucket: int, lanes: int, seconds: float, steps: int) -> None:
        """A round of `steps` steps took that long; rounds of half-empty buckets tell nothing."""
        if lanes > bucket // 2 and steps:
            cost = seconds / (steps * lanes)
            self.costs[bucket] = min(cost, self.costs.get(bucket, cost))

    @property
    def target(self) -> int:
        """How many lanes to hold now."""
        bucket = min(FIRST, self.most)
        while bucket in self.costs:
            half = self.costs.get(bucket // 2)
            if half is not None and half / self.costs[bucket] < KNEE:
                return bucket if self.costs[bucket] <= half else bucket // 2
            if bucket * 2 > self.most:
                break
            bucket *= 2
        return bucket
