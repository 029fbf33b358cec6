"""By which validation rows the lanes of a group are measured: a sample of them, and all of them at a lane's end."""

from collections.abc import Callable, Sequence

from torch import Tensor

from automl.data.prepared import Part
from automl.fused.lane import Lane
from automl.fused.problem import Problem

Metrics = dict[str, Tensor]
"""Name -> a value for each slot of the group."""


def measured(slots: Sequence[Lane | None], problem: Problem, evaluate: Callable[[Part], Metrics]) -> Metrics:
    """What `evaluate` finds for the lanes in `slots` after the epoch that they have just trained.

    All lanes are evaluated at once; where the last epoch of some is measured on all rows, all lanes are evaluated
    once more, which happens once in a trial.
    """
    last = [k for k, lane in enumerate(slots) if lane and lane.status == "running" and lane.epoch + 1 >= lane.epochs]
    if problem.sample is None:
        return evaluate(problem.val)
    found = evaluate(problem.sample)
    if last and problem.at_end:
        found = {name: values.clone() for name, values in found.items()}
        for name, values in evaluate(problem.val).items():
            found[name][last] = values[last]
    return found
