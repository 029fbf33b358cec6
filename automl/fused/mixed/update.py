"""What follows a backward pass for one lane of a mixed cohort: clipping, one optimizer step, the averaged weights.

Shape letters: S steps, P parameters of the lane.
"""

import numpy as np
import torch
from torch import Tensor

from automl.fused.mixed.cohort import MixedLane
from automl.fused.optim import rules, tables
from automl.fused.optim.param_groups import Scale
from automl.training.schedules import F64


class MixedUpdate:
    """One lane's update on its own rows; call it with the number of the step after each backward pass."""

    def __init__(self, member: MixedLane, gradient: Tensor, updates_done: Tensor, rates: F64) -> None:
        """
        Args:
            member: the lane.
            gradient: `[P]`.
            updates_done: scalar, which counts the lane's updates, the one that is being done included.
            rates: `[S, 1]`: learning rates by the lane's schedule.
        """
        h, rows = member.lane.hypers, member.rows
        self.gradient, self.row, self.averaged = gradient, rows["param"], rows.get("ema")
        self.clip = torch.tensor([h.clip], dtype=gradient.dtype) if h.clip > 0 else None
        numbers = tables.counts([member.lane.step], len(rates))
        self.moves = tables.moves(np.asarray([h.ema]), numbers)[:, 0].tolist()
        self.steps: list[KernelStep | RuleStep] = [
            RuleStep(scale, member, gradient, rates) if rules.rule(h.optimizer).native is None
            else KernelStep(scale, member, gradient, updates_done, rates)
            for scale in member.scales
        ]  # fmt: skip

    def __call__(self, s: int) -> None:
        """Do the update of step `s` of the epoch."""
        if self.clip is not None:
            rules.clip_rows(self.gradient.unsqueeze(0), self.clip)
        for step in self.steps:
            step(s)
        if self.averaged is not None:
            self.averaged.lerp_(self.row, self.moves[s])


class KernelStep:
    """torch's own fused kernel of the optimizer on the parameters of one scale (a muP group)."""

    def __init__(self, scale: Scale, member: MixedLane, gradient: Tensor, updates_done: Tensor, rates: F64) -> None:
        """See `MixedUpdate`."""
        rule, rows = rules.rule(member.lane.hypers.optimizer), member.rows
        assert rule.native is not None
        self.kernel, self.hypers, self.updates_done = rule.native, scale.of(member.lane.hypers), updates_done
        self.rates = (rates[:, 0] * scale.factors.lr).tolist()
        self.columns = (
            [rows["param"][c] for c in scale.columns], [gradient[c] for c in scale.columns],
            {name: [rows[name][c] for c in scale.columns] for name in rule.states},
        )  # fmt: skip

    def __call__(self, s: int) -> None:
        """Step `s`."""
        self.kernel(*self.columns, self.updates_done, self.hypers, self.rates[s])


class RuleStep:
    """The optimizer's rule (`optim.rules`) on the parameters of one scale."""

    def __init__(self, scale: Scale, member: MixedLane, gradient: Tensor, rates: F64) -> None:
        """See `MixedUpdate`."""
        self.rule, steps, rows = rules.rule(member.lane.hypers.optimizer), len(rates), member.rows
        numbers = tables.counts([member.lane.step], steps)
        coefficients = self.rule.tables([scale.of(member.lane.hypers)], rates * scale.factors.lr, numbers)
        self.coefficients = {name: torch.from_numpy(np.array(v)).to(gradient.dtype).view(steps, 1, 1)
                             for name, v in coefficients.items()}  # fmt: skip
        scratch = torch.empty_like(gradient)
        self.columns = [
            (rows["param"][None, c], gradient[None, c], {name: rows[name][None, c] for name in self.rule.states},
             scratch[None, c])
            for c in scale.columns
        ]  # fmt: skip

    def __call__(self, s: int) -> None:
        """Step `s`."""
        now = {name: table[s] for name, table in self.coefficients.items()}
        for row, gradient, state, scratch in self.columns:
            self.rule.update(row, gradient, state, now, scratch)
