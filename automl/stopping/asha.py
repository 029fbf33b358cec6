"""Asynchronous successive halving, by stopping or by promotion.

Li et al., "A System for Massively Parallel Hyperparameter Tuning" (MLSys 2020). Workers never wait: each trial is
judged against those that happen to have got as far.
"""

import bisect
from dataclasses import dataclass
from typing import Literal

from automl.core.history import History
from automl.core.stopper import CONTINUE, Kind, Stopper, Verdict
from automl.core.trial import State
from automl.errors import SpecError
from automl.stopping.rungs import compare


@dataclass(frozen=True)
class Asha(Stopper):
    """At steps `min_steps * eta^k` a trial continues only if it is among the best 1/eta of all that reached it.

    `mode: stop` ends the others for good (no checkpoints needed); `mode: promote` pauses all and continues each one
    as soon as it belongs to the best (better early on, when few have been seen).
    """

    eta: int = 3  # one in eta continues
    min_steps: int = 1  # the first rung
    mode: Literal["stop", "promote"] = "stop"

    def __post_init__(self) -> None:
        if self.eta < 2:
            raise SpecError(f"asha: eta must be at least 2, got {self.eta}")
        if self.min_steps < 1:
            raise SpecError(f"asha: min_steps must be at least 1, got {self.min_steps}")
        if self.mode not in ("stop", "promote"):
            raise SpecError(f"asha: mode is stop or promote, got {self.mode!r}")

    def verdict(self, history: History, trial: int) -> Verdict:
        step = history.trials[trial].step
        if not self.is_rung(step):
            return CONTINUE
        loss, losses = history.standing(trial), history.sorted_at(step)
        best = len(losses) // self.eta
        keep = best if self.mode == "promote" else max(1, best)
        rank = bisect.bisect_left(losses, loss) + 1
        if rank <= keep:
            return CONTINUE
        place = f"rank {rank} of {len(losses)} at rung {step} (top {keep} go on)"
        if self.mode == "promote":
            return Verdict(Kind.PAUSE, place)
        return Verdict(Kind.STOP, f"{compare(history, loss, losses[keep - 1])}, {place}")

    def promote(self, history: History) -> list[int]:
        at: dict[int, list[int]] = {}
        for record in history.paused:
            at.setdefault(record.step, []).append(record.number)
        found: list[int] = []
        for step in sorted(at, reverse=True):
            losses = history.losses_at(step)
            best = sorted(losses, key=lambda n: (losses[n], n))[: len(losses) // self.eta]
            found += [n for n in best if history.trials[n].state is State.PAUSED and history.trials[n].step == step]
        return found or self._last(history)

    def _last(self, history: History) -> list[int]:
        """The best paused trial, if all trials have begun, none is running and none has run its full length."""
        trials = history.plan.trials
        if trials is None or len(history) < trials or history.running or history.done or not history.paused:
            return []
        return [min(history.paused, key=lambda t: (-t.step, history.standing(t.number), t.number)).number]

    def is_rung(self, step: int) -> bool:
        """Whether trials are compared at `step`: one of `min_steps * eta^k`."""
        rung = self.min_steps
        while rung < step:
            rung *= self.eta
        return rung == step
