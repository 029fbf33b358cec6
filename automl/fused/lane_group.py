"""What the engine asks of a group of lanes that train together, whatever their kind (`uniform`, `mixed`)."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from automl.fused.lane import Lane, LaneState
from automl.fused.report import EpochCost, EpochReport


class LaneGroup(Protocol):
    """The storage of lanes that train together. A lane stays in its slot from `admit` to `release`.

    `config`: that of the trial the group began with.
    """

    config: dict[str, Any]

    @property
    def slots(self) -> Sequence[Lane | None]:
        """The lane in each slot; None where it is free."""

    @property
    def lanes(self) -> list[Lane]:
        """The lanes that are in, by slot."""

    def admit(self, trial: int, config: Mapping[str, Any], seed: int, epochs: int, state: LaneState | None) -> int:
        """Put a trial into a free slot, newly initialized from `seed` or from `state`; returns the slot.

        Raises ValueError when its model does not fit in with the other lanes.
        """

    def find(self, trial: int) -> int:
        """The slot of `trial`. Raises KeyError when it is not here."""

    def release(self, trial: int) -> None:
        """Free the trial's slot."""

    def snapshot(self, trial: int) -> LaneState:
        """A copy of the trial's state on the CPU."""

    def weights(self, trials: Sequence[int]) -> dict[int, dict[str, Tensor]]:
        """By trial the `state_dict` of a plain module, on the CPU; with the averaged weights where it keeps them."""


class GroupRunner(Protocol):
    """Trains a group of lanes, an epoch of all at a time.

    `shared`: whether several lanes are meant to be in the group, so that more may join.
    """

    shared: bool

    @property
    def splits_when_small(self) -> bool:
        """Whether the last few lanes may be better trained one by one."""

    @property
    def group(self) -> LaneGroup:
        """Its lanes."""

    def reserve(self, lanes: int) -> None:
        """Make room for `lanes` lanes, those that are in included."""

    def run_epoch(self, *, auroc_every_epoch: bool) -> tuple[EpochReport, EpochCost]:
        """Train every running lane for one epoch, evaluate it, and count the epoch in the lanes' `epoch`.

        `auroc_every_epoch`: False measures AUROC after a trial's last epoch only; it is nan before.
        """


def auroc_slots(slots: Sequence[Lane | None], *, every_epoch: bool) -> list[int]:
    """The slots of lanes whose AUROC is wanted after the epoch that comes next."""
    return [k for k, lane in enumerate(slots) if lane and (every_epoch or lane.epoch + 1 >= lane.epochs)]


def power_of_two(n: int) -> int:
    """The least power of two that is at least `n`: the size class of a group of `n` lanes."""
    return 1 << max(0, n - 1).bit_length()
