"""How many lanes of one signature to run: decided while they train, so that next to nothing is spent on measuring.

A few steps alone and together, on throw-away cohorts, tell whether fusing pays at all, and from how many lanes on. Then
the real rounds are timed: the number of lanes doubles while that makes a lane at least 15 % cheaper, and as long as
the search can wait for a full trial: among many lanes it ends later, and what follows learns from it later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from automl.data.prepared import Part
from automl.fused.modules.blueprint import Blueprint
from automl.fused.optim.tables import steps_per_epoch
from automl.fused.sizing.timing import KNEE, START, WORTH, lane_seconds
from automl.training import hyperparameters

FIRST, LEAST, FEWEST = 16, 4, 3
"""Lanes of a first cohort, few enough that they do not run far ahead of what is known: FIRST, or down to LEAST where
rounds are long; fewer than FEWEST run alone."""
HASTE = 1.3  # how much more a lane may cost among half as many, where a full trial would end late
WAIT_S, WAIT_SHARE = 3.0, 0.25  # a full trial may take so long, or such a share of the time trained so far
SETTLED = 2  # rounds of a bucket before it is given up: the first one is slower, as its memory is new
FACTS = ("probed_at", "solo", "probed", "mixed", "first", "lane_s")
HEAVY = 25_000  # parameters whose arithmetic costs about as much as the calls of a step (digits, batches of 32 to 128)


@dataclass
class Growth:
    """`solo`, `probed`: seconds for a lane and step, alone and among `probed_at`; `costs`: the same by bucket.

    `mixed`: lanes differ in size and batch (see `work`). Whether they pay is not asked: they run in the program that
    runs one alone, and what is too big to gain stands alone in its piece (`mixed_loop.pieces`). `epochs` of a full
    trial (0: waiting does not matter); `lane_s`: what one lane adds to a round; `spent_s`: all rounds so far; `timed`:
    how many of each bucket.
    """

    most: int
    probed_at: int = 8
    solo: float = 0.0
    probed: float = 0.0
    costs: dict[int, float] = field(default_factory=dict)
    mixed: bool = False
    first: int = FIRST
    epochs: int = 0
    lane_s: float = 0.0
    spent_s: float = 0.0
    timed: dict[int, int] = field(default_factory=dict)

    @classmethod
    def measured(
        cls, blueprint: Blueprint, config: Mapping[str, Any], kind: str, data: Part, most: int, epochs: int = 0
    ) -> "Growth":
        """Time one lane and a small bucket on real data."""

        def cost(lanes: int) -> float:
            return lane_seconds(blueprint, config, kind, data, lanes)

        bucket = min(START.get(blueprint.device.type, 8), 1 << max(1, most).bit_length() - 1)
        found = cls(most, bucket, cost(1), cost(bucket), epochs=epochs)
        found.lane_s = found.probed * steps_per_epoch(len(data), hyperparameters.read(config).batch_size)
        while found.first > found.probed_at and not found.may_wait(found.first):
            found.first //= 2
        half = bucket // 2
        if half >= LEAST and not found.may_wait(bucket):
            fewer = cost(half)
            if fewer <= min(HASTE * found.probed, found.solo / WORTH):
                found.first, found.probed_at, found.probed = half, half, fewer
        return found

    @classmethod
    def remembered(cls, most: int, kept: Mapping[str, Any], epochs: int = 0) -> "Growth | None":
        """From what `kept` gave; None where that is of another version."""
        if not {*FACTS, "costs"} <= kept.keys():
            return None
        costs = {int(bucket): float(cost) for bucket, cost in kept["costs"].items()}
        timed = dict.fromkeys(costs, SETTLED)
        return cls(most, costs=costs, epochs=epochs, timed=timed, **{name: kept[name] for name in FACTS})

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
        nothing of costs. True when it was the first of its bucket."""
        self.spent_s += seconds
        if lanes <= bucket // 2 or work <= 0:
            return False
        self.lane_s = seconds / lanes
        cost, new = seconds / work, bucket not in self.costs
        self.costs[bucket] = min(cost, self.costs.get(bucket, cost))
        self.timed[bucket] = self.timed.get(bucket, 0) + 1
        return new

    def may_wait(self, bucket: int) -> bool:
        """Whether a full trial among so many lanes would end soon enough."""
        return self.epochs * bucket * self.lane_s <= max(WAIT_S, WAIT_SHARE * self.spent_s)

    @property
    def target(self) -> int:
        """How many lanes to hold now."""
        bucket = min(self.first, self.most)
        while bucket in self.costs:
            half = self.costs.get(bucket // 2)
            if half is not None and half / self.costs[bucket] < KNEE:
                if self.timed.get(bucket, 0) < SETTLED:
                    break
                return bucket // 2  # more lanes would cost each trial time and gain next to nothing
            if bucket * 2 > self.most or not self.may_wait(bucket * 2):
                break
            bucket *= 2
        return bucket
