"""The front of the finalists: all their objectives over fresh seeds, and who beats whom by the means."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from automl import metrics
from automl.core.objectives.goals import Objectives
from automl.evaluation.candidates import Finalist
from automl.metrics import intervals


def entries(finalists: Sequence[Finalist], objectives: Objectives) -> list[dict[str, Any]]:
    """What the verdict says of each finalist about several objectives and limits; nothing where one loss says all.

    Args:
        finalists: with their runs.
        objectives: of the study.

    Returns:
        One mapping for each of `finalists`: `front`, the number of its front among them by the means (0: it breaks a
        limit, or a run failed), and `objectives`, {name: {found, mean, interval, values}} with `found` from the search
        and the others over fresh seeds. The best trial of many was lucky in every objective, so fronts move too.
    """
    if objectives.plain:
        return [{} for _ in finalists]
    complete = [f for f in finalists if f.complete and f.runs]
    fronts = dict(
        zip((f.trial.number for f in complete), objectives.places(f.vector for f in complete)[1], strict=True)
    )
    return [
        {"front": fronts.get(f.trial.number, 0), "objectives": _spread(f, objectives)} for f in finalists
    ]  # fmt: skip


def _spread(finalist: Finalist, objectives: Objectives) -> dict[str, Any]:
    found = objectives.values(finalist.trial.vector)
    runs = [objectives.values(run.vector) for run in finalist.runs]
    spread = {}
    for name in objectives.names:
        values = [run[name] for run in runs]
        interval, (low, high) = intervals.mean_interval(values), metrics.bounds(name)
        spread[name] = {
            "found": found[name],
            "mean": float(np.mean(values)) if values else None,
            "interval": None if interval is None else [max(interval[0], low), min(interval[1], high)],
            "values": values,
        }
    return spread
