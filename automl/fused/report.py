"""Results of one epoch of a group of lanes: a row of numbers for each trial, which trials ended, and what it cost.

Shape letters: K lanes (or trials), S steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from automl.fused.lane import Lane


@dataclass(frozen=True)
class EpochReport:
    """One epoch of every lane; entry i of each tuple, and of each metric, belongs to `trials[i]`.

    Attributes:
        epochs: epochs done so far.
        metrics: name -> float64 `[K]`: train_loss, val_loss, val_accuracy, ...
        status: running, done or diverged.
        messages: a sentence for each diverged trial.
        lanes: rows that were computed, free ones included.
        lane_steps: optimizer updates of all trials in this epoch.
        held: where there are folds, by trial the outputs [m, units] for what its fold holds out; then `metrics` are
            but the training loss.
    """

    trials: tuple[int, ...]
    epochs: tuple[int, ...]
    metrics: dict[str, npt.NDArray[np.float64]]
    status: tuple[str, ...]
    messages: dict[int, str]
    lanes: int = 0
    lane_steps: int = 0
    held: Mapping[int, Tensor] = field(default_factory=dict)

    def ended(self) -> list[int]:
        """Trials that are done or diverged."""
        return [t for t, s in zip(self.trials, self.status, strict=True) if s != "running"]


@dataclass(frozen=True)
class EpochCost:
    """What one epoch of a group took, for the lane-count controller.

    Attributes:
        bucket: the size class of the group, a power of two.
        lanes: lanes that trained.
        seconds: CPU seconds on a CPU, wall seconds on a GPU; evaluation included.
        work: the number of updates of all lanes; in a mixed group weighted by the size of each model.
    """

    bucket: int
    lanes: int
    seconds: float
    work: float


def loss_summary(log: Tensor) -> tuple[Tensor, Tensor]:
    """Of the losses `log` `[S, K]`: the first step whose loss is not finite (-1: none), and the mean; `[K]` each."""
    bad = (~torch.isfinite(log)).to(torch.float64)
    return torch.where(bad.any(0), bad.argmax(0), -1).double(), log.double().mean(0)


def epoch_report(slots: Sequence[Lane | None], live: Sequence[int], steps: Sequence[int], bad: Tensor, loss: Tensor,
                 metrics: Mapping[str, Tensor], rows: int,
                 held: Mapping[int, Tensor] | None = None) -> EpochReport:  # fmt: skip
    """The report of the lanes in the slots `live`; counts the epoch in them and sets their `status`.

    Args:
        slots: of the group.
        live: slots that trained.
        steps: updates in this epoch, by slot.
        bad, loss: see `loss_summary`, by slot.
        metrics: name -> values by slot, on the validation samples.
        rows: rows that were computed.
        held: see `EpochReport`, by slot; it stands in the place of `metrics`.
    """
    if held is not None:
        finite = torch.full_like(loss, torch.nan)
        for slot, outputs in held.items():
            finite[slot] = torch.where(outputs.isfinite().all(), 0.0, torch.nan)
        metrics = {"loss": finite}
    table = torch.stack([bad, loss, *(v.double() for v in metrics.values())]).cpu().numpy()  # the only copy to the host
    names = ["train_loss", *(f"val_{n}" for n in metrics if held is None)]
    columns = {n: table[i, live] for i, n in enumerate(names, 1)}
    messages, lanes = {}, [lane for j in live if (lane := slots[j]) is not None]
    for j, lane in zip(live, lanes, strict=True):
        lane.epoch += 1
        lane.status, message = _status(lane, j, table[:, j], steps[j])
        if message:
            messages[lane.trial] = message
    return EpochReport(
        trials=tuple(lane.trial for lane in lanes),
        epochs=tuple(lane.epoch for lane in lanes),
        metrics=columns,
        status=tuple(lane.status for lane in lanes),
        messages=messages,
        lanes=rows,
        lane_steps=sum(steps[j] for j in live),
        held={lane.trial: held[j] for j, lane in zip(live, lanes, strict=True)} if held is not None else {},
    )


def _status(lane: Lane, slot: int, row: npt.NDArray[np.float64], steps: int) -> tuple[str, str]:
    """(status, message) of a lane after its epoch; `row`: first bad step, training loss, validation loss, ..."""
    if row[0] >= 0:
        at = lane.step - steps + int(row[0]) + 1
        return "diverged", f"trial {lane.trial} (lane {slot}): the training loss is not finite at step {at}"
    if not np.isfinite(row[2]):
        place = f"trial {lane.trial} (lane {slot})"
        return "diverged", f"{place}: the validation loss is not finite after epoch {lane.epoch}"
    return ("done" if lane.epoch >= lane.epochs else "running"), ""


def merged(reports: Sequence[EpochReport]) -> EpochReport:
    """The reports of several groups as one."""
    if not reports:
        return EpochReport((), (), {}, (), {})
    return EpochReport(
        trials=tuple(t for r in reports for t in r.trials),
        epochs=tuple(e for r in reports for e in r.epochs),
        metrics={n: np.concatenate([r.metrics[n] for r in reports]) for n in reports[0].metrics},
        status=tuple(s for r in reports for s in r.status),
        messages={t: m for r in reports for t, m in r.messages.items()},
        lanes=sum(r.lanes for r in reports),
        lane_steps=sum(r.lane_steps for r in reports),
        held={trial: outputs for r in reports for trial, outputs in r.held.items()},
    )
