"""Checks what trials report."""

import math
from collections.abc import Mapping

from automl.core.messages import Odd, as_number
from automl.core.trial import Failure, Metric
from automl.errors import did_you_mean


def checked(metric: Metric, metrics: Mapping[str, object], step: int) -> tuple[dict[str, float], Failure | None]:
    """The numbers of a report, or why the trial has failed with it.

    Args:
        metric: what the study ranks on; it must be among `metrics`, and finite.
        metrics: what was reported; other values that are no finite numbers are dropped.
        step: when.

    Returns:
        {name: number} and None; or an empty dict and the failure.
    """
    name = metric.name
    if name not in metrics:
        message = f"the task reported {', '.join(map(repr, metrics)) or 'nothing'}; the study ranks on {name!r}"
        return {}, Failure("metric", message + did_you_mean(name, metrics), step)
    numbers = {str(key): number for key, value in metrics.items() if (number := as_number(value)) is not None}
    if name not in numbers:
        value = metrics[name]
        kind = value.name if isinstance(value, Odd) else type(value).__name__
        return {}, Failure("metric", f"{name} must be a number, got {kind}", step)
    if not math.isfinite(numbers[name]):
        return {}, Failure("nan", f"{name} is {numbers[name]} at step {step}", step)
    return {key: number for key, number in numbers.items() if math.isfinite(number)}, None
