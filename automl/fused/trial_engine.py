"""What a worker's loop asks of an engine: trials in, one report per epoch out.

`Engine` trains each trial as one lane, `FoldedEngine` as one lane for each fold of the training part; their methods say
what they raise.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from automl.fused.lane import LaneState
from automl.fused.problem import Entry
from automl.fused.report import EpochReport


class TrialEngine(Protocol):
    """Trains trials of one problem, those that fit together side by side."""

    @property
    def joins_subgroups(self) -> bool:
        """Whether trials of one group but different subgroups (see `signature.group`) train together here."""

    @property
    def trials(self) -> list[int]:
        """Trials that are in."""

    def signature(self, config: Mapping[str, Any]) -> str:
        """Equal for configs whose trials may train together."""

    def reason_to_run_alone(self, configs: Sequence[Mapping[str, Any]], lanes: int | None = None) -> str | None:
        """Why trials like `configs` had better run one by one; None if together, "" if there are just too few of them.

        `lanes`: how many trials there will be; None: as many as `configs`.
        """

    def target_lanes(self, config: Mapping[str, Any]) -> int:
        """How many trials like `config` there should be now, those that are running included."""

    def runs_together(self, config: Mapping[str, Any]) -> bool:
        """Whether trials like `config` are running together now."""

    def num_lanes(self, trial: int) -> int:
        """How many lanes train in the group of `trial`, its own included."""

    def slot(self, trial: int) -> int:
        """The slot of its group that `trial` has; under folds that of its first lane."""

    def snapshot(self, trials: Iterable[int]) -> dict[int, LaneState]:
        """Copies on the CPU from which `admit` continues, here or in another process, together or alone."""

    def weights(self, trial: int) -> dict[str, Tensor]:
        """The `state_dict` of the model that the trial has trained."""

    def weights_of(self, trials: Iterable[int]) -> dict[int, dict[str, Tensor]]:
        """The weights of many trials at once, which takes few copies from a GPU."""

    def admit(self, entries: Sequence[Entry], together: bool | None = None) -> None:
        """Put trials into slots; they train from the next epoch on. What cannot be admitted leaves nothing behind."""

    def release(self, trials: Iterable[int]) -> None:
        """Free the slots of `trials`."""

    def free(self) -> None:
        """Let go of groups without lanes, and give cached memory of the GPU back."""

    def split_small_groups(self) -> None:
        """Let the last lanes of groups that have become too small to pay go on one by one."""

    def run_epoch(self) -> EpochReport:
        """Train and evaluate every trial that is in for one epoch."""
