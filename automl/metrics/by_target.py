"""The metrics of each of several targets, where a model predicts more than one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from automl.metrics import registry

if TYPE_CHECKING:
    from torch import Tensor


def by_target(
    kind: str, names: Sequence[str], outputs: "Tensor", y: "Tensor", weight: "Tensor | None", scale: "Tensor | None"
) -> dict[str, float]:
    """`rmse of NAME` and so on for each target, over the rows that have it; in the unit of the data.

    Args:
        kind: of the task.
        names: [D] of the targets.
        outputs: [N, D], as y in standard units; or the same number of units for each target.
        y: [N, D], NaN where a value is missing.
        weight: [N] or None.
        scale: [D] the units of the targets, or None.

    Example:
        >>> by_target("regression", ["height"], torch.zeros(3, 1), torch.ones(3, 1), None, None)["rmse of height"]
        1.0
    """
    found: dict[str, float] = {}
    for k, name in enumerate(names):
        there, units = ~y[:, k].isnan(), outputs.shape[1] // len(names)
        if bool(there.any()):
            own = None if weight is None else weight[there]
            unit = None if scale is None else scale[[k]]
            mine = outputs[there][:, k * units : (k + 1) * units]
            values = registry.compute(kind, mine, y[there][:, [k]], own, scale=unit)
            found |= {f"{metric} of {name}": value for metric, value in values.items()}
    return found
