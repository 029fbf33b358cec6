"""What a round of lanes tells: one row of numbers for each trial, and which of them ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from automl.fused.lane import Lane


@dataclass(frozen=True)
class Round:
    """One epoch of every lane: row i is about `trials[i]`.

    `epochs`: epochs done; `metrics`: name -> float64 `[K]` (train_loss, val_...); `status`: running, done or diverged;
    `messages`: a sentence for each diverged trial; `lanes`: rows that computed, `lane_steps`: updates of all trials.
    """

    trials: tuple[int, ...]
    epochs: tuple[int, ...]
    metrics: dict[str, npt.NDArray[np.float64]]
    status: tuple[str, ...]
    messages: dict[int, str]
    lanes: int = 0
    lane_steps: int = 0

    def ended(self) -> list[int]:
        """Trials that are done or diverged."""
        return [t for t, s in zip(self.trials, self.status, strict=True) if s != "running"]


def summary(log: Tensor) -> tuple[Tensor, Tensor]:
    """Of the training losses `log` `[S, K]`: the first step whose loss is not finite (-1: none), and the mean."""
    bad = (~torch.isfinite(log)).to(torch.float64)
    return torch.where(bad.any(0), bad.argmax(0), -1).double(), log.double().mean(0)


def told(slots: Sequence[Lane | None], live: Sequence[int], steps: Sequence[int], bad: Tensor, loss: Tensor,
         values: Mapping[str, Tensor], rows: int) -> Round:  # fmt: skip
    """The round of the lanes in the slots `live`, which are counted on.

    By slot: `steps`: updates of the epoch; `bad`, `loss`: see `summary`; `values`: metrics by name. `rows` computed.
    """
    table = torch.stack([bad, loss, *(v.double() for v in values.values())]).cpu().numpy()  # the one copy
    metrics = {n: table[i, live] for i, n in enumerate(["train_loss", *(f"val_{n}" for n in values)], 1)}
    status, messages = [], {}
    for j in live:
        lane = slots[j]
        assert lane is not None
        lane.epoch += 1
        lane.fate, message = _fate(lane, j, table[:, j], steps[j])
        if message:
            messages[lane.trial] = message
        status.append(lane.fate)
    found = [lane for j in live if (lane := slots[j]) is not None]
    return Round(tuple(x.trial for x in found), tuple(x.epoch for x in found), metrics, tuple(status), messages,
                 rows, sum(steps[j] for j in live))  # fmt: skip


def _fate(lane: Lane, slot: int, row: npt.NDArray[np.float64], steps: int) -> tuple[str, str]:
    """(status, message) of a lane after its epoch; `row` is first bad step, train loss, val loss, ..."""
    if row[0] >= 0:
        at = lane.step - steps + int(row[0]) + 1
        return "diverged", f"trial {lane.trial} (lane {slot}): the training loss is not finite at step {at}"
    if not np.isfinite(row[2]):
        return (
            "diverged",
            f"trial {lane.trial} (lane {slot}): the validation loss is not finite after epoch {lane.epoch}",
        )
    return ("done" if lane.epoch >= lane.epochs else "running"), ""


def merged(rounds: Sequence[Round]) -> Round:
    """Several cohorts' rounds as one."""
    if not rounds:
        return Round((), (), {}, (), {})
    names = rounds[0].metrics
    return Round(
        tuple(t for r in rounds for t in r.trials),
        tuple(e for r in rounds for e in r.epochs),
        {n: np.concatenate([r.metrics[n] for r in rounds]) for n in names},
        tuple(s for r in rounds for s in r.status),
        {t: m for r in rounds for t, m in r.messages.items()},
        sum(r.lanes for r in rounds),
        sum(r.lane_steps for r in rounds),
    )
