"""How many lanes of one signature to run: decided while they train, so that almost no time goes into measuring.

A few steps alone and together tell whether training together pays at all, and from how many lanes on. Then the real
epochs are timed: the number of lanes doubles as long as that makes a lane's step at least 15 % cheaper, and as long as
the search can wait for a full trial. Among many lanes a trial ends later, and what the strategy suggests next is based
on its result.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from automl.fused.report import EpochCost

FIRST, LEAST, FEWEST = 16, 4, 3
"""Lanes of a first group: FIRST (few enough not to run far ahead of the results known), down to LEAST where epochs are
long. Fewer than FEWEST lanes run alone."""
START = {"cpu": 8, "cuda": 32}  # lanes whose first steps are timed
FIRST_ON_GPU = 64  # lanes of a first group there: twice as many take hardly longer
KNEE = 1.15  # by what factor a doubled bucket must make a step cheaper
WORTH = 1.2  # by what factor a step must be cheaper than alone
PATIENT = 1.3  # how much more a step may cost among half as many lanes where a full trial would end late
NO_LONGER = 1.1  # times as long, which delays no trial
WAIT_S, WAIT_SHARE = 3.0, 0.25  # limits of a full trial: seconds, or a share of the time trained so far
SETTLED = 2  # epochs of a bucket before it can be given up: the first is slower, as its memory is new
KEYS = {"probed_at": "probed_lanes", "solo": "solo_s", "probed": "probed_s", "mixed": "mixed", "first": "first_lanes",
        "lane_s": "lane_s"}  # fmt: skip
"""Key in the file of measurements -> attribute."""


@dataclass
class BucketTiming:
    """`step_s`: least seconds for one step of one lane; `epochs`: how many were timed."""

    step_s: float
    epochs: int = 1


def growth(alone_s: float, among_s: float, lanes: int) -> float:
    """How much longer an epoch of twice as many lanes takes (1..2), from those of one lane and of `lanes`."""
    ratio = max(1.0, among_s / max(alone_s, 1e-12))
    return min(2.0, 2.0 ** (math.log2(ratio) / math.log2(lanes))) if lanes > 1 else 2.0


def growing(doubling: float, times: float) -> float:
    """How much longer an epoch of `times` as many lanes takes."""
    return times if doubling >= 2 else 2.0 ** (math.log2(doubling) * math.log2(times))


@dataclass
class LaneCountController:
    """What is known of how fast lanes of one signature train together, and how many there should be.

    Attributes:
        max_lanes: never more.
        solo_s, probed_s: seconds for one step of one lane, alone and among `probed_lanes`.
        mixed: lanes differ in size and batch. They run in the program that also runs one alone, so they always pay.
        first_lanes: how many to begin with.
        epochs: of a full trial; 0: it does not matter how long one takes.
        lane_s: seconds that one lane adds to an epoch of all.
        doubling: how much longer an epoch of twice as many lanes takes, as far as is known: 2 where lanes only share
            the calls, near 1 while they fill an idle GPU.
        spent_s: seconds of all epochs so far.
        lanes: those of the epoch that was recorded last; 0: none was.
        timings: bucket -> what its epochs took; the work of mixed lanes is weighted (see `EpochCost`).
    """

    max_lanes: int
    probed_lanes: int = 8
    solo_s: float = 0.0
    probed_s: float = 0.0
    mixed: bool = False
    first_lanes: int = FIRST
    epochs: int = 0
    lane_s: float = 0.0
    spent_s: float = 0.0
    timings: dict[int, BucketTiming] = field(default_factory=dict)
    doubling: float = 2.0
    lanes: int = 0

    @classmethod
    def measured(cls, step_s: Callable[[int], float], steps_per_epoch: int, max_lanes: int, epochs: int = 0,
                 start: int = START["cpu"], flat: bool = False) -> "LaneCountController":  # fmt: skip
        """From timing one lane and a small bucket.

        Args:
            step_s: measures the seconds per step and lane at a number of lanes; inf where memory ran out.
            steps_per_epoch: of one lane.
            max_lanes, epochs: see above.
            start: lanes of the small bucket.
            flat: lanes fill an idle GPU, so the time that more of them take is not proportional to their number.
        """
        bucket = min(start, 1 << (max(1, max_lanes).bit_length() - 1))
        alone, among = step_s(1), step_s(bucket)
        while math.isinf(among) and bucket > 1:
            max_lanes = bucket = bucket // 2
            among = step_s(bucket) if bucket > 1 else among
        controller = cls(max_lanes, bucket, alone, among, epochs=epochs)
        if math.isinf(among):
            return controller
        controller.lane_s = controller.probed_s * steps_per_epoch
        if flat:
            controller.first_lanes = FIRST_ON_GPU
            controller.doubling = growth(alone, bucket * among, bucket)
        while controller.first_lanes > controller.probed_lanes and not controller.may_wait(controller.first_lanes):
            controller.first_lanes //= 2
        half = bucket // 2
        if half >= LEAST and not controller.may_wait(bucket):
            among_half = step_s(half)
            if among_half <= min(PATIENT * controller.probed_s, controller.solo_s / WORTH):
                controller.first_lanes, controller.probed_lanes, controller.probed_s = half, half, among_half
        return controller

    @classmethod
    def from_json(cls, max_lanes: int, kept: Mapping[str, Any], epochs: int = 0) -> "LaneCountController | None":
        """From what `to_json` gave; None where another version wrote it."""
        if not {*KEYS, "costs"} <= kept.keys():
            return None
        timings = {int(bucket): BucketTiming(float(step_s), SETTLED) for bucket, step_s in kept["costs"].items()}
        return cls(max_lanes, epochs=epochs, timings=timings, **{name: kept[key] for key, name in KEYS.items()})

    def to_json(self) -> dict[str, Any]:
        """What the next worker or the resumed search needs."""
        costs = {bucket: timing.step_s for bucket, timing in self.timings.items()}
        return {"lanes": self.target, **{key: getattr(self, name) for key, name in KEYS.items()}, "costs": costs}

    def pays(self, lanes: int) -> bool:
        """Whether that many lanes are faster together than one after the other."""
        if self.mixed:
            return lanes > 1
        if lanes < FEWEST or math.isinf(self.probed_s):
            return False
        together = self.probed_s * max(lanes, self.probed_lanes)  # fewer lanes cost as much as the whole bucket
        return lanes * self.solo_s >= WORTH * together

    @property
    def too_large(self) -> bool:
        """Whether memory ran out with two lanes already."""
        return math.isinf(self.probed_s)

    @property
    def never_pays(self) -> bool:
        """Whether no number of lanes is likely to pay: a full bucket does not."""
        return not self.pays(self.probed_lanes)

    def record(self, cost: EpochCost) -> bool:
        """Take note of an epoch; returns whether it was the first of its bucket.

        An epoch of a half-empty bucket says nothing about the cost of a lane's step.
        """
        self.spent_s += cost.seconds
        if cost.lanes <= cost.bucket // 2 or cost.work <= 0:
            return False
        self.lane_s, self.lanes = cost.seconds / cost.lanes, cost.lanes
        step_s, timing = cost.seconds / cost.work, self.timings.get(cost.bucket)
        if timing is None:
            self.timings[cost.bucket] = BucketTiming(step_s)
            return True
        timing.step_s, timing.epochs = min(step_s, timing.step_s), timing.epochs + 1
        half = self.timings.get(cost.bucket // 2)
        if self.doubling < 2 and half is not None:
            self.doubling = min(2.0, max(1.0, 2 * timing.step_s / half.step_s))
        return False

    def may_wait(self, bucket: int) -> bool:
        """Whether a full trial at `bucket` lanes would end soon enough, or hardly later than at the present number."""
        known = max(1, self.lanes or self.probed_lanes)
        longer = growing(self.doubling, bucket / known)
        no_later = self.doubling < 2 and longer <= NO_LONGER
        return no_later or self.epochs * known * self.lane_s * longer <= max(WAIT_S, WAIT_SHARE * self.spent_s)

    @property
    def target(self) -> int:
        """How many lanes there should be now."""
        bucket = min(self.first_lanes, self.max_lanes)
        while bucket in self.timings:
            timing, half = self.timings[bucket], self.timings.get(bucket // 2)
            if half is not None and half.step_s / timing.step_s < KNEE:
                if timing.epochs < SETTLED:
                    break
                return bucket // 2  # more lanes would delay each trial and gain next to nothing
            if bucket * 2 > self.max_lanes or not self.may_wait(bucket * 2):
                break
            bucket *= 2
        return bucket
