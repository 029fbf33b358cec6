"""Which saved models make up the ensemble: chosen greedily on the validation rows, scored on the test rows.

The choice is that of Caruana et al. 2004 ("Ensemble selection from libraries of models"): again and again the model is
added, with replacement, that makes the average of all so far best on the validation rows. Where an ensemble is asked
for, the search's best trials keep their models and their outputs on the validation rows (see `automl.study.winner`),
so that choosing needs to load only the models that are chosen; the finalists' models are added to them.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from automl import metrics
from automl.evaluation.holdout import Holdout, Split
from automl.metrics import intervals
from automl.study import paths

if TYPE_CHECKING:
    from torch import Tensor

    from automl.metrics.rows import Sample


def make(folder: Path, bundles: Mapping[str, Path], holdout: Holdout, size: int, single: Path) -> dict[str, Any]:
    """Choose among saved models and write the ensemble.

    Args:
        folder: where the ensemble is written.
        bundles: the models to choose from, by name.
        holdout: the rows.
        size: at most so many models together, one that is taken twice counted twice.
        single: the bundle of the winner, which the ensemble is compared with.

    Returns:
        What is reported of it: `models` (how many different ones), `among` (how many to choose from), `weights` (how
        often each one counts), `metric`, `val` and `test` (its scores), `gain` (the test score's improvement over
        `single`; above 0 is better, whatever the metric's direction) and `sure` (the share of bootstrap draws of the
        test rows in which it is better). The last three are None where the metric has no value on test rows.
    """
    from automl.bundle import ensemble

    classes = holdout.kind == "classification"
    sign = -1.0 if metrics.direction(holdout.name) == "minimize" else 1.0
    outputs = {name: _validation_outputs(path, holdout) for name, path in bundles.items()}
    outputs = {name: one for name, one in outputs.items() if bool(one.isfinite().all())}

    def loss(averaged: "Tensor") -> float:
        return -sign * holdout.sample_of(averaged, "val").value

    weights = select(loss, list(outputs.values()), size, classes=classes)
    chosen = {name: weight for name, weight in zip(outputs, weights, strict=True) if weight}
    members = {name: bundles[name] for name in chosen}
    ensemble.write(folder, members, chosen)
    report: dict[str, Any] = {
        "models": len(chosen),
        "among": len(outputs),
        "weights": chosen,
        "metric": f"test_{holdout.name}",
        "val": _scored(holdout, members, chosen, "val").value,
        "test": None,
        "gain": None,
        "sure": None,
    }
    if holdout.test_rows and not holdout.undefined("test"):
        together, alone = _scored(holdout, members, chosen, "test"), holdout.sample(single, "test")
        report["test"] = together.value
        report["gain"] = sign * (together.value - alone.value)
        report["sure"] = intervals.better([together], [alone], sign=sign)
    return report


def select(loss: Callable[["Tensor"], float], outputs: "Sequence[Tensor]", size: int, *, classes: bool) -> list[int]:
    """How often each model is taken.

    Args:
        loss: of averaged outputs [N, units] on the validation rows; lower is better.
        outputs: [N, units] of each model on these rows.
        size: at most so many models together.
        classes: whether outputs are logits of classes, which are averaged as probabilities.

    Returns:
        [len(outputs)] numbers: those of the best average that was passed on the way, of equals the smallest.
    """
    from automl.bundle.ensemble import from_average, to_average

    members = [to_average(one, classes=classes) for one in outputs]
    weights, best, best_loss = [0] * len(members), [0] * len(members), float("inf")
    total = members[0] * 0
    for count in range(1, size + 1):
        losses = [loss(from_average((total + one) / count, classes=classes)) for one in members]
        k = int(np.argmin(losses))
        total = total + members[k]
        weights[k] += 1
        if losses[k] < best_loss:
            best, best_loss = list(weights), losses[k]
    return best


def _validation_outputs(bundle: Path, holdout: Holdout) -> "Tensor":
    """Those that were kept beside the bundle, where they fit; else computed."""
    from automl.bundle.outputs import stored

    kept = stored(bundle.parent / paths.OUTPUTS, len(holdout.prepared.val))
    return holdout.outputs(bundle, "val") if kept is None else kept


def _scored(holdout: Holdout, bundles: Mapping[str, Path], weights: Mapping[str, int], split: Split) -> "Sample":
    from automl.bundle.ensemble import average

    outputs = (holdout.outputs(bundle, split) for bundle in bundles.values())
    return holdout.sample_of(average(outputs, list(weights.values()), holdout.kind), split)
