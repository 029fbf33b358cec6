"""The median rule: a trial that is worse than most at the same step ends.

Golovin et al., "Google Vizier" (KDD 2017), section 3.2.1.
"""

import bisect
from dataclasses import dataclass

from automl.core.history import History
from automl.core.stopper import CONTINUE, Kind, Stopper, Verdict
from automl.errors import SpecError
from automl.stopping.rungs import compare


@dataclass(frozen=True)
class Median(Stopper):
    """Stop a trial whose best value so far is worse than the median of the others at the same step.

    Gentle: keeps about half of the trials at each step, needs no checkpoints and no budget.
    """

    warmup: int = 1  # steps of each trial that are not judged
    min_trials: int = 5  # others that must have reached the step

    def __post_init__(self) -> None:
        if self.warmup < 0 or self.min_trials < 1:
            raise SpecError(f"median: needs warmup >= 0 and min_trials >= 1, got {self.warmup}, {self.min_trials}")

    def verdict(self, history: History, trial: int) -> Verdict:
        record = history.trials[trial]
        losses = history.sorted_at(record.step)
        others = len(losses) - 1
        if record.step <= self.warmup or others < self.min_trials:
            return CONTINUE
        mine = bisect.bisect_left(losses, history.standing(trial))
        low, high = (losses[k + (k >= mine)] for k in ((others - 1) // 2, others // 2))
        plain, middle = history.objectives.plain, (low + high) / 2
        best = min(loss for _, loss in record.curve) if plain else history.standing(trial)  # places differ by step
        if best <= middle:
            return CONTINUE
        return Verdict(Kind.STOP, f"{compare(history, best, middle)}, the median of {others} at step {record.step}")
