"""Models, metrics and options that suit one kind of data and not another."""

import math
from collections.abc import Mapping
from typing import Any, Literal

from automl import metrics
from automl.data.preparing.options import values_or_classes, variant
from automl.errors import did_you_mean
from automl.metrics.kinds.kind import Kind as Task
from automl.specfile.rules import families
from automl.specfile.yaml.explain import shown
from automl.specfile.yaml.places import Places
from automl.training import strengths

Kind = Literal["table", "series", "text", "sentences", "array", "unknown"]

_TABLES = ("breast_cancer", "diabetes", "iris", "wine")
"""Data sets of scikit-learn that are tables."""
_SUITED: dict[str, tuple[tuple[Kind, ...], str]] = {
    "mlp": (("table", "series", "array"), "tokens need a transformer or an lstm"),
    "sparse_mlp": (("table", "series", "array"), "tokens need a transformer or an lstm"),
    "tabm": (("table", "series", "array"), "for a text take bag, transformer or lstm"),
    "linear": (("table", "series", "array"), "for a text take bag, transformer or lstm"),
    "bag": (("sentences",), "it classifies sentences (prepare: {text: COLUMN})"),
    "trees": (("table", "series", "array"), "for a text take bag, transformer or lstm"),
    "convnet": (("array",), "needs images"),
    "lstm": (
        ("series", "text", "sentences", "array"),
        "needs sequences; for a table take mlp or transformer, or say what makes it a sequence: prepare: {window: 24} "
        "or {text: COLUMN}",
    ),
}
"""Family -> the kinds of data that suit it, and what to do with others."""
_MEASURED: dict[Kind, str] = {"series": "regression", "text": "next_token", "sentences": "classification"}


def kind_of(tree: Mapping[str, Any], *, table: bool) -> Kind:
    """What kind of data the specification names, as far as it can be told without reading them.

    Args:
        tree: the whole specification as plain data.
        table: they are a table in a file.
    """
    source, prepare = tree.get("data"), tree.get("prepare")
    given = prepare if isinstance(prepare, dict) else {}
    if not isinstance(source, str) or ":" in source:
        return "unknown"
    if given.get("text") or given.get("form") == "sentences":
        return "sentences" if given.get("text") and table else "unknown"
    if table or source in _TABLES:
        return "series" if given.get("window") else "unknown" if given.get("form") else "table"
    if source.endswith((".txt", ".txt.gz")):
        return "text"
    return "array" if source == "digits" else "unknown"


def check(tree: Mapping[str, Any], kind: Kind, names: list[str] | None, places: Places) -> None:
    """Complain about what does not suit this kind of data.

    Args:
        tree: the whole specification as plain data.
        kind: of the data.
        names: columns of the table, if it is one in a file.
        places: takes complaints.
    """
    if kind == "unknown":
        return
    pixels = (
        kind == "table" and names is not None and len(names) > 2 and math.isqrt(len(names) - 1) ** 2 == len(names) - 1
    )
    for name in families.builtin_names(tree):
        suited, remedy = _SUITED.get(name, ((), ""))
        if suited and kind not in suited and not (pixels and name == "convnet"):
            renamed = (
                "; if the file is a table, let its name end in .csv" if kind == "text" and "target" in tree else ""
            )
            places.complain(("model",), f"{name} does not suit {_WORDS[kind]}", f"; {remedy}{renamed}")
    _metric(tree, kind, places)
    augment = tree.get("augment")
    for name in augment if isinstance(augment, dict) else ():
        if (name in strengths.IMAGES_ONLY and kind != "array" and not pixels) or (
            name in strengths.LIMITS and kind in ("text", "sentences")
        ):
            places.complain(("augment", name), f"{_WORDS[kind]} cannot be augmented in this way; remove it", key=True)
    scale = (tree.get("prepare") or {}).get("scale")
    if kind == "array" and scale not in (None, "standard", "none"):
        places.complain(("prepare", "scale"), f"arrays take standard or none, got {shown(scale)}")


_WORDS: dict[Kind, str] = {
    "table": "a table", "series": "a time series", "text": "a text", "sentences": "sentences", "array": "arrays",
}  # fmt: skip


def _metric(tree: Mapping[str, Any], kind: Kind, places: Places) -> None:
    """Complain about a metric that is not measured on this kind of data, where the kind alone decides that."""
    prepare, metric = tree.get("prepare") or {}, tree.get("metric")
    more = variant(prepare)
    task = _MEASURED.get(kind) or values_or_classes(prepare)
    name = metric.get("name") if isinstance(metric, dict) else metric
    if task not in ("classification", "regression", "next_token") or not isinstance(name, str):
        return
    if kind == "sentences" and prepare.get("task") not in (None, "classification"):
        return
    measured = ["train_loss", *(f"val_{one}" for one in metrics.ranking(Task.of_target(task, more)))]
    if name not in measured:
        near = did_you_mean(name, measured) or f"; measured are {', '.join(measured)}"
        of = str(more.get("variant", task)).replace("_", " ")
        places.complain(("metric",), f"{name!r} is not measured for {of}", near)
