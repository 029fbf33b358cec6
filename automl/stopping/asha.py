"""Asynchronous successive halving, by stopping.

Li et al., "A System for Massively Parallel Hyperparameter Tuning" (MLSys 2020), in the variant that stops trials
at a rung instead of promoting them later: no checkpoints needed, workers never wait.
"""

from dataclasses import dataclass

from automl.errors import SpecError
from automl.stopping import CONTINUE, Kind, Stopper, Verdict
from automl.trial import History


@dataclass(frozen=True)
class Asha(Stopper):
    """At steps `min_steps * eta^k` a trial goes on only if it is among the best 1/eta of all that got there."""

    eta: int = 3  # one in eta goes on
    min_steps: int = 1  # the first rung

    def __post_init__(self) -> None:
        if self.eta < 2:
            raise SpecError(f"asha: eta must be at least 2, got {self.eta}")
        if self.min_steps < 1:
            raise SpecError(f"asha: min_steps must be at least 1, got {self.min_steps}")

    def verdict(self, history: History, trial: int) -> Verdict:
        step, loss = history.trials[trial].curve[-1]
        if not self.is_rung(step):
            return CONTINUE
        losses = sorted(history.losses_at(step).values())
        keep = max(1, len(losses) // self.eta)
        cut = losses[keep - 1]
        if loss <= cut:
            return CONTINUE
        rank = sum(other < loss for other in losses) + 1
        show = history.metric.value
        beats = "<" if history.metric.direction == "maximize" else ">"
        reason = (
            f"{show(loss):.4g} {beats} {show(cut):.4g}, rank {rank} of {len(losses)} at rung {step} (top {keep} go on)"
        )
        return Verdict(Kind.STOP, reason)

    def is_rung(self, step: int) -> bool:
        rung = self.min_steps
        while rung < step:
            rung *= self.eta
        return rung == step
