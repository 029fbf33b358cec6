"""Charts of the winner: the finalists' scores on fresh seeds, and the winner's errors on the validation rows."""

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from automl.core.trial import State
from automl.errors import AutoMLError, NothingToDraw
from automl.leaderboard import words
from automl.study import paths
from automl.study.reader import Readable
from automl.view.figures.style import BEST, COLOURS, dots, figure, score_axis

if TYPE_CHECKING:
    import torch

MOST_CLASSES = 40  # of a confusion matrix
NUMBERED = 16  # classes up to which the counts are written into the cells
MOST_ROWS = 1500  # points of the residual plot


def seeds(study: Readable) -> Figure:
    """Each finalist's scores on fresh seeds, their mean with its 95 % interval, and the search's own value."""
    verdict = study.verdict
    if verdict is None or verdict.get("pack"):
        raise NothingToDraw("there were no finalists")
    finalists = verdict["finalists"]
    chart = figure(7.0, 1.3 + 0.4 * len(finalists))
    axes = chart.subplots()
    everything: list[float] = []
    for row, f in enumerate(finalists):
        dots(axes, f["values"], [row] * len(f["values"]), COLOURS[State.DONE], 5)
        if f["interval"]:
            axes.plot(f["interval"], [row, row], color=BEST, linewidth=1.2)
            everything += f["interval"]
        axes.plot([f["mean"]], [row], marker="|", markersize=14, color=BEST)
        axes.plot([f["found"]], [row], marker="x", markersize=6, color=COLOURS[State.FAILED], linestyle="")
        everything += [*f["values"], f["found"]]
    test = verdict["test"]
    if (
        test is not None
        and test["interval"]
        and test["metric"].removeprefix("test_") == study.metric.name.removeprefix("val_")
    ):
        axes.axvspan(*test["interval"], color=COLOURS[State.PAUSED], alpha=0.18, linewidth=0)
        axes.axvline(test["value"], color=COLOURS[State.PAUSED], linewidth=1.2)
        everything += test["interval"]
    axes.set_yticks(range(len(finalists)), [words.trial(f["trial"]) for f in finalists])
    axes.set_ylim(len(finalists) - 0.5, -0.5)
    score_axis(axes, everything, study.metric, which="x")
    room = 0.05 * (max(everything) - min(everything)) or 0.01
    axes.set_xlim(min(everything) - room, max(everything) + room)
    return chart


def errors(study: Readable) -> Figure:
    """Confusion matrix of the winner, or its residuals, on the validation rows.

    Loads torch, the model and the data again; user code that the spec names (a model or a data function) is not run.
    """
    outputs, truth, model = _predicted(study)
    if model.kind == "classification":
        return _confusion(outputs.argmax(-1).numpy(), truth.numpy(), [words.short(c) for c in model.classes])
    target = model.preparation["target"]
    scale, center = np.asarray(target["scale"]), np.asarray(target["center"])
    true = truth.double().numpy() * scale + center
    predicted = model.decoded(outputs).reshape(len(true), -1)[:, len(model.kind.levels) // 2]  # the middle quantile
    there = np.isfinite(true[:, 0])
    return _residuals(predicted[there], true[there, 0])


def _predicted(study: Readable) -> "tuple[torch.Tensor, torch.Tensor, Any]":
    """(outputs, targets, model) on the validation rows."""
    kept = study.facts.get("spec")
    best = study.path / "best" if study.path is not None else None
    if not kept or best is None or not (best / "manifest.json").is_file():
        raise NothingToDraw("there is no saved model")
    from automl import specfile
    from automl.bundle.io import load_model
    from automl.tasks.builtin import BuiltinTask
    from automl.tasks.from_spec import task_of

    try:
        folder, _ = paths.project(best.parent, kept)
        task = task_of(specfile.from_json(kept["tree"], name=study.name, folder=folder))
        if not isinstance(task, BuiltinTask) or ":" in task.model or ":" in task.data:
            raise NothingToDraw("the model or the data come from your own code, which a report does not run")
        model = load_model(best)
        prepared = task.load(model.config)
    except (AutoMLError, OSError) as error:
        raise NothingToDraw(f"the model or the data cannot be loaded: {error}") from None
    if prepared.kind == "next_token":
        raise NothingToDraw("language models have no classes or residuals")
    if prepared.fingerprint != model.manifest["data"]:
        raise NothingToDraw("the data have changed since the search")
    import torch

    from automl.bundle.outputs import of_validation

    with torch.no_grad():
        outputs = of_validation(model.module, prepared, "cpu")
    return outputs, prepared.val.y, model


def _confusion(predicted: "np.ndarray[Any, Any]", true: "np.ndarray[Any, Any]", classes: list[str]) -> Figure:
    n = len(classes)
    if n > MOST_CLASSES:
        raise NothingToDraw(f"{n} classes are too many to draw (at most {MOST_CLASSES})")
    counts = np.zeros((n, n), dtype=np.int64)
    np.add.at(counts, (true, predicted), 1)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = 2.2 + 0.32 * min(n, 20)
    chart = figure(side + 1.0, side)
    axes = chart.subplots()
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(n if n <= NUMBERED else 0):
        for column in range(n):
            if counts[row, column]:
                colour = "white" if shares[row, column] > 0.6 else "black"
                axes.annotate(
                    str(counts[row, column]), (column, row), ha="center", va="center", fontsize=7, color=colour
                )
    names = [words.fit(name, 12) for name in classes]
    axes.set_xticks(range(n), names, rotation=90 if max(map(len, names)) > 3 else 0)
    axes.set_yticks(range(n), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.grid(visible=False)
    axes.set_title(f"{(predicted != true).sum()} of {len(true)} validation rows are predicted wrongly", loc="left")
    chart.colorbar(shown, ax=axes, shrink=0.7, label="share of the row")
    return chart


def _residuals(predicted: "np.ndarray[Any, Any]", true: "np.ndarray[Any, Any]") -> Figure:
    keep = np.arange(len(true)) if len(true) <= MOST_ROWS else np.linspace(0, len(true) - 1, MOST_ROWS).astype(int)
    chart = figure(9.0, 3.6)
    left, right = chart.subplots(1, 2)
    ends = [float(min(true.min(), predicted.min())), float(max(true.max(), predicted.max()))]
    dots(left, true[keep].tolist(), predicted[keep].tolist(), COLOURS[State.DONE], 2.5)
    left.plot(ends, ends, color=BEST, linewidth=0.8)
    left.set_xlabel("true")
    left.set_ylabel("predicted")
    right.hist(predicted - true, bins=40, color=COLOURS[State.DONE])
    right.axvline(0.0, color=BEST, linewidth=0.8)
    right.set_xlabel("predicted minus true")
    right.set_ylabel("validation rows")
    return chart
