"""Which saved models make up the ensemble: chosen greedily on the validation rows, scored on the test rows.

The choice is that of Caruana et al. 2004 ("Ensemble selection from libraries of models"): again and again the model is
added, with replacement, that makes the average of all so far best on the validation rows. Where an ensemble is asked
for, the search's best trials keep their models and their outputs on the validation rows (see `automl.study.winner`),
so that choosing needs to load only the models that are chosen; the finalists' models are added to them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl import metrics
from automl.evaluation.holdout import Holdout, Split
from automl.metrics import intervals
from automl.study import paths

if TYPE_CHECKING:
    from torch import Tensor

    from automl.metrics.rows import Sample

VALUES = 2**22
"""The maximum number of outputs that are scored at once."""


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes:
        weights: how often each chosen model counts, by name.
        among: how many models there were to choose from.
        value: of the metric, on the validation rows.
    """

    weights: dict[str, int]
    among: int
    value: float


def make(folder: Path, bundles: Mapping[str, Path], holdout: Holdout, size: int, single: Path) -> dict[str, Any]:
    """Choose among saved models and write the ensemble.

    Args:
        folder: where the ensemble is written.
        bundles: the models to choose from, by name.
        holdout: the rows.
        size: the maximum size of the ensemble; a model that is taken twice counts twice.
        single: the bundle of the winner, which the ensemble is compared with.

    Returns:
        What is reported of it: `models` (how many different ones), `among` (how many to choose from), `weights` (how
        often each one counts), `metric`, `val` and `test` (its scores), `gain` (the test score's improvement over
        `single`; above 0 is better, whatever the metric's direction) and `sure` (the share of bootstrap draws of the
        test rows in which it is better). The last three are None where the metric has no value on test rows.
    """
    sign = -1.0 if metrics.direction(holdout.name) == "minimize" else 1.0
    outputs = {name: validation_outputs(path, holdout) for name, path in bundles.items()}
    choice = choose(outputs, holdout, size)
    members = write(folder, bundles, choice)
    report = described(holdout, choice, scored(holdout, members, choice.weights, "val").value)
    if holdout.test_rows and not holdout.undefined("test"):
        together, alone = scored(holdout, members, choice.weights, "test"), holdout.sample(single, "test")
        report["test"] = together.value
        report["gain"] = sign * (together.value - alone.value)
        report["sure"] = intervals.better([together], [alone], sign=sign)
    return report


def write(folder: Path, bundles: Mapping[str, Path], choice: Choice) -> dict[str, Path]:
    """Write the ensemble into `folder`; returns the bundles of its members, by name."""
    from automl.bundle import ensemble

    members = {name: bundles[name] for name in choice.weights}
    ensemble.write(folder, members, choice.weights)
    return members


def described(holdout: Holdout, choice: Choice, val: float) -> dict[str, Any]:
    """What is reported of an ensemble (see `make`) before the test rows are looked at; `val`: its value."""
    return {
        "models": len(choice.weights), "among": choice.among, "weights": choice.weights,
        "metric": f"test_{holdout.name}", "val": val, "test": None, "gain": None, "sure": None,
    }  # fmt: skip


def choose(outputs: "Mapping[str, Tensor]", holdout: Holdout, size: int) -> Choice:
    """Choose an ensemble of at most `size` models by their `outputs` [N, units] on the validation rows, by name.

    Of models with equal values of the metric, such as an accuracy on few rows, the one with the lower loss is better.
    Outputs that are not finite are not among them.
    """
    import torch

    sign = -1.0 if metrics.direction(holdout.name) == "maximize" else 1.0
    finite = {name: one for name, one in outputs.items() if bool(one.isfinite().all())}

    def losses(averaged: "Tensor") -> list[tuple[float, ...]]:
        found = holdout.values_of(averaged, "val")
        found[:, 0] *= sign
        return [tuple(row) for row in found.nan_to_num(torch.inf).tolist()]

    weights, best = select(losses, torch.stack(list(finite.values())), size, classes=holdout.kind == "classification")
    chosen = {name: weight for name, weight in zip(finite, weights, strict=True) if weight}
    return Choice(chosen, len(finite), sign * best[0])


def select(
    losses: Callable[["Tensor"], list[tuple[float, ...]]], outputs: "Tensor", size: int, *, classes: bool
) -> tuple[list[int], tuple[float, ...]]:
    """How often each model is taken.

    Args:
        losses: of K averages [K, N, units] on the validation rows; of two tuples the lower one is better.
        outputs: [models, N, units] of the models on these rows.
        size: the maximum size of the ensemble.
        classes: whether outputs are logits of classes, which are averaged as probabilities.

    Returns:
        [models] numbers: those of the best average that was passed on the way, of equals the smallest; and its losses.
    """
    import torch

    from automl.bundle.ensemble import from_average, to_average

    members = to_average(outputs, classes=classes).to(outputs.dtype)
    each = max(1, VALUES // members[0].numel())
    weights, total = [0] * len(members), members[0] * 0
    best = list(weights)
    best_losses: tuple[float, ...] = (float("inf"),)
    for count in range(1, size + 1):
        found: list[tuple[float, ...]] = []
        for some in torch.split(members, each):
            found += losses(from_average((total + some) / count, classes=classes))
        k = min(range(len(found)), key=found.__getitem__)
        total = total + members[k]
        weights[k] += 1
        if found[k] < best_losses:
            best, best_losses = list(weights), found[k]
    return best, best_losses


def validation_outputs(bundle: Path, holdout: Holdout) -> "Tensor":
    """The outputs [N, units] of a saved model: those kept beside the bundle, where they fit; else computed."""
    from automl.bundle.outputs import stored

    kept = stored(bundle.parent / paths.OUTPUTS, len(holdout.prepared.val))
    return holdout.outputs(bundle, "val") if kept is None else kept


def scored(holdout: Holdout, bundles: Mapping[str, Path], weights: Mapping[str, int], split: Split) -> "Sample":
    """The metric of an ensemble, row by row; arguments as for `outputs_of`."""
    return holdout.sample_of(outputs_of(holdout, bundles, weights, split), split)


def outputs_of(holdout: Holdout, bundles: Mapping[str, Path], weights: Mapping[str, int], split: Split) -> "Tensor":
    """The outputs [N, units] of an ensemble; `bundles` and `weights` of its members, by name."""
    from automl.bundle.ensemble import average

    names = sorted(weights)  # sums of one order: a resumed search has the same bits
    return average((holdout.outputs(bundles[name], split) for name in names), [weights[n] for n in names], holdout.kind)
