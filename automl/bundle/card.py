"""The model card: `README.md` of a bundle, for people."""

from collections.abc import Mapping
from typing import Any

from automl.data.prepared import Prepared

LOADING = ("```python", "import automl", 'model = automl.load("path/to/this/folder")', "model.predict(rows)", "```", "")
"""Lines of a card: how the model is loaded."""


def card(manifest: Mapping[str, Any], prepared: Prepared) -> str:
    """What the model is, how it was trained, on what data, and how it is loaded; Markdown."""
    target = prepared.preparation["target"].get("name", prepared.kind)
    rows = f"{len(prepared.train)} training, {len(prepared.val)} validation and {len(prepared.test)} test rows"
    if (folds := prepared.folds) is not None:
        each = "each on those before the rows it is" if folds.ordered else "each on all but those it is"
        rows = f"{len(prepared.train)} training rows ({folds.count} models, {each} scored on)"
        rows += f"; {len(prepared.test)} test rows"
    lines = [
        f"# {manifest['model']} for {target}",
        "",
        f"Task: {prepared.kind}.",
        f"Trained on {rows}; {int(prepared.inputs)} input values, {int(prepared.outputs)} outputs.",
        "",
        *_table("metric", {name: f"{value:.6g}" for name, value in manifest["metrics"].items()}),
        *_table("hyperparameter", manifest["config"]),
        "How the data was read:",
        "",
        *(f"- {note}" for note in prepared.notes),
        "",
        *LOADING,
    ]
    return "\n".join(lines)


def scores(verdict: Mapping[str, Any]) -> str:
    """The part that is added after the final evaluation: how good the model is, and how certain that is.

    `verdict`: see `automl.evaluation.verdict`.
    """
    winner, metric = verdict["finalists"][0], verdict["metric"]
    lines = ["", "## How good it is", "", *tested(verdict["test"])]
    if verdict["refit"]:
        lines += ["- This model was trained on the validation rows too; the values below are of models that were not."]
    lines += [f"- {metric} {winner['found']:.6g} in the search: the best of many trials, so partly luck."]
    if winner["interval"]:
        low, high = winner["interval"]
        lines += [
            f"- {metric} {winner['mean']:.6g}, the mean of {winner['seeds']} fresh seeds"
            f" (95 % interval of the mean {low:.6g} to {high:.6g}), on the same validation rows."
        ]
    return "\n".join([*lines, ""])


def tested(test: Mapping[str, Any] | None) -> list[str]:
    """The score on the test rows, as the verdict's `test` has it; empty without any."""
    if not test:
        return []
    if test["value"] is None:
        return [f"- {test['metric']} is not defined on the {test['rows']} test rows: {test['undefined']}."]
    low, high = test["interval"]
    return [
        f"- {test['metric']} {test['value']:.6g}, 95 % interval {low:.6g} to {high:.6g}, on {test['rows']} test"
        " rows, which were used neither for training nor for the search."
    ]


def _table(title: str, values: Mapping[str, Any]) -> list[str]:
    return [f"| {title} | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in values.items()), ""]
