"""The states of trials that were paused in this worker, in memory: those that go on here need not read them from disk.

Their checkpoints are written all the same, for workers that die and for other workers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from automl.fused.lane import LaneState
from automl.worker.trial import Trial

MOST_BYTES = 2**28
"""The maximum memory of all states; those that were parked first are dropped first."""


@dataclass(frozen=True)
class Parked:
    """A trial that was paused, its state, and that of `BestEpoch`."""

    trial: Trial
    state: LaneState
    best: Mapping[str, Any]

    @property
    def bytes(self) -> int:
        """What the state takes."""
        tensors = (*self.state.rows.values(), *self.state.buffers.values())
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@dataclass
class Parking:
    """By trial, what was parked; a state is never changed, as heirs may begin with it too."""

    places: dict[int, Parked] = field(default_factory=dict)
    most_bytes: int = MOST_BYTES

    def put(self, trial: Trial, state: LaneState, best: Mapping[str, Any]) -> None:
        """Keep the state of a trial that was paused after its last report."""
        self.places.pop(trial.number, None)
        self.places[trial.number] = Parked(trial, state, best)
        taken = sum(parked.bytes for parked in self.places.values())
        while taken > self.most_bytes:
            taken -= self.places.pop(next(iter(self.places))).bytes

    def of(self, trial: Trial) -> Parked | None:
        """With what a new attempt goes on, or an heir begins; None where it is not here.

        The attempt is at the step of the state afterwards.
        """
        parent = trial.parent
        parked = self.places.get(trial.number)
        if parked is not None and trial.go_on_from(parked.trial):
            return parked
        parked = None if parent is None else self.places.get(parent.number)
        return parked if parked is not None and trial.begin_with(parked.trial) else None
