"""The options of `prepare:`: their names and values, and which of them a search may choose. No torch, no pandas.

A search may choose options that leave rows, targets and weights as they are, so that scores of different preparations
can be compared. They are parameters called `prepare_scale`, `prepare_pca` and so on.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from automl.errors import DataError, did_you_mean

PREFIX = "prepare_"
SCALES = ("standard", "robust", "robust_clip", "quantile", "minmax", "none")
IMPUTES = ("median", "mean", "most_frequent", "zero", "none")
ENCODINGS = ("onehot", "embed")
TARGET_SCALES = ("standard", "log", "quantile")
GAPS = ("split", "fill", "ignore")
SEARCHABLE: dict[str, tuple[Any, ...]] = {
    "impute": IMPUTES, "indicators": (True, False), "scale": SCALES, "categorical": ENCODINGS, "max_categories": (),
    "pca": (), "crosses": (), "target_scale": TARGET_SCALES,
}  # fmt: skip
"""Option that a search may choose -> its values; empty where it is a number."""
TASKS = ("classification", "regression", "counts", "labels")
OPTIONS = {
    "task": "classification, regression, counts (values of 0 and above, learned by the Poisson loss), or labels (a row "
    "may have several of them); default: from the target's values",
    "label_separator": "what stands between two labels in a cell of the target (default: ;)",
    "order": "the classes of the target in their order, the lowest first, e.g. [low, middle, high]",
    "quantiles": "predict these quantiles of values in the place of means, e.g. [0.1, 0.5, 0.9]",
    "impute": "value that replaces a missing number: median, mean, zero, most_frequent; none: it stays missing (trees)",
    "indicators": "whether a column with missing numbers gets a second one that marks them",
    "scale": "standard, robust, robust_clip (large values are bent towards a limit), quantile (normal), "
    "minmax, none; arrays and images: standard or none",
    "categorical": "onehot, or embed: codes for the model's own embeddings",
    "categories": "columns of numbers that are read as categories",
    "max_categories": "most values kept of a column; rarer ones are treated as unseen",
    "pca": "number of principal components, or (below 1) the share of the variance to keep",
    "crosses": "number of products of two columns to add, those that help most with the target",
    "target_scale": "of values to predict: standard, log, quantile (normal); what models learn, while scores stay "
    "those of the values",
    "weight": "column of sample weights",
    "class_weight": "balanced, none",
    "separator": "what separates the cells of a file, one character or tab (default: found in the file)",
    "decimal": 'the decimal mark, "." or "," (default: found in each column)',
    "encoding": "of a file that is neither UTF-8 nor has a mark, e.g. cp1250",
    "missing": 'further words for a missing value, e.g. ["-999", unknown]',
    "dayfirst": "whether 05/06/2021 is the fifth of June (default: found in each column)",
    "types": "columns with what they are: {zip: category}; one of category, number, date, time",
    "drop": "columns that are no inputs, e.g. one that is known only after the target: [result, total]",
    "rows": "number of rows to use, drawn at random",
    "form": "how the source is read where it can be read in several ways, e.g. sentences",
    "text": "column that holds sentences",
    "tokens": "texts: char, byte, word, ngrams (words, pairs and pieces of words); ids: the file holds token numbers",
    "max_tokens": "size of the vocabulary",
    "window": "length of a sample: steps of a series, tokens of a text",
    "series": "column, or a list of columns, that tells the series of a table apart; a window lies in one of them "
    "(default: `split.group`, or what makes times unique)",
    "gaps": "where steps of a series are missing: split, no window spans a gap (default); fill, rows with missing "
    "inputs are inserted; ignore",
    "horizon": "number of steps after the window that are predicted",
    "stride": "steps between the beginnings of two windows",
    "memory": "a table that would take more, e.g. 2GB, is streamed from disk (default: half of the free memory)",
}
"""Option of `prepare:` -> what it means."""


def check(options: Mapping[str, Any]) -> None:
    """Check the names of options, and the encoding.

    Raises:
        DataError: an option does not exist; the message has the nearest one.
    """
    for name in options:
        if name not in OPTIONS:
            hint = did_you_mean(name, OPTIONS) or f"; options: {', '.join(OPTIONS)}"
            raise DataError(f"prepare: unknown option {name!r}{hint}")
    encoding = options.get("categorical", "onehot")
    if encoding not in ENCODINGS:
        raise DataError(
            f"prepare.categorical: expected onehot or embed, got {encoding!r}{did_you_mean(encoding, ENCODINGS)}"
        )
    gaps = options.get("gaps")
    if gaps is not None and gaps not in GAPS:
        raise DataError(f"prepare.gaps: expected {', '.join(GAPS)}, got {gaps!r}{did_you_mean(str(gaps), GAPS)}")
    if options.get("impute") == "none":
        for name in ("pca", "crosses"):
            if options.get(name):
                raise DataError(
                    f"prepare.{name}: it needs a number in every cell, but impute is none; set impute: median"
                )
    _check_drop(options.get("drop"))
    _check_target(options)
    for name in ("series", "gaps"):
        if options.get(name) is not None and not options.get("window"):
            raise DataError(
                f"prepare.{name}: only a time series has it; set `window`, the steps that a model looks back"
            )


def dropped(options: Mapping[str, Any]) -> list[str]:
    """The columns of `drop`: one name, or several."""
    drop = options.get("drop")
    if drop is None:
        return []
    return [str(drop)] if isinstance(drop, str | int | float) else [str(name) for name in drop]


def _check_drop(drop: Any) -> None:
    several = isinstance(drop, list | tuple) and all(isinstance(name, str | int | float) for name in drop)
    if drop is not None and not isinstance(drop, str | int | float) and not several:
        raise DataError(f"prepare.drop: expected a column or a list of columns, such as [result, total], got {drop!r}")


def _check_target(options: Mapping[str, Any]) -> None:
    """Check what is said of the target, as far as it can be told without its values."""
    task = options.get("task")
    if task not in (None, *TASKS):
        raise DataError(f"prepare.task: expected {', '.join(TASKS)}, got {task!r}{did_you_mean(str(task), TASKS)}")
    if options.get("quantiles") is not None:
        if problem := of_quantiles(options["quantiles"]):
            raise DataError(f"prepare.quantiles: {problem}, got {options['quantiles']!r}")
        if task not in (None, "regression"):
            raise DataError(f"prepare.quantiles: they are of values, and task is {task}; take out one of the two")
    if options.get("order") is not None:
        if problem := of_order(options["order"]):
            raise DataError(f"prepare.order: {problem}, got {options['order']!r}")
        if task not in (None, "classification") or options.get("quantiles") is not None:
            raise DataError("prepare.order: it is of classes, and values are asked for; take out one of the two")
    if task in ("counts", "labels") and options.get("target_scale", "standard") != "standard":
        how = "counts are learned as logarithms of rates already" if task == "counts" else "labels are no values"
        raise DataError(f"prepare.target_scale: {how}; leave it out")
    if options.get("label_separator") is not None and task != "labels":
        raise DataError("prepare.label_separator: it separates labels; add task: labels")


def of_quantiles(levels: Any) -> str:
    """What quantiles have to be, where these are not that; else empty."""
    ok = isinstance(levels, list | tuple) and len(levels) > 0
    ok = ok and all(isinstance(one, int | float) and not isinstance(one, bool) and 0 < one < 1 for one in levels)
    if ok and all(low < high for low, high in pairwise(levels)):
        return ""
    return "needs rising numbers between 0 and 1, such as [0.1, 0.5, 0.9]"


def of_order(classes: Any) -> str:
    """What an order of classes has to be, where this is not that; else empty."""
    ok = isinstance(classes, list | tuple) and all(isinstance(one, str | int | float) for one in classes)
    if ok and len(classes) > 1 and len(set(map(str, classes))) == len(classes):
        return ""
    return "needs two or more different classes, the lowest first, such as [low, middle, high]"


def values_or_classes(options: Mapping[str, Any]) -> str | None:
    """What the options say that a target is: "classification" or "regression"; None where they leave it open."""
    special = variant(options).get("variant")
    return {"ordinal": "classification", None: options.get("task")}.get(special, "regression")


def variant(options: Mapping[str, Any]) -> dict[str, Any]:
    """What the options add to the entry of a target in the preparation, see `automl.metrics.kinds.kind`."""
    levels = options.get("quantiles")
    if levels is not None and not of_quantiles(levels):
        return {"variant": "quantiles", "quantiles": [float(level) for level in levels]}
    if options.get("order") is not None and not of_order(options["order"]):
        return {"variant": "ordinal"}
    return {"variant": options["task"]} if options.get("task") in ("counts", "labels") else {}


def answers_differ(options: Mapping[str, Any]) -> bool:
    """Whether the answers of networks are made of their outputs, see `automl.models.answers.curved` and `links`."""
    standard = options.get("target_scale", "standard") == "standard"
    return not standard or bool(variant(options))


def series_columns(options: Mapping[str, Any], split: Mapping[str, Any]) -> list[str]:
    """The columns that were named to tell several series of a table apart."""
    named = options.get("series") or split.get("group") or []
    return [str(name) for name in named] if isinstance(named, list | tuple) else [str(named)]


def chosen(config: Mapping[str, Any]) -> dict[str, Any]:
    """The options of `prepare:` in a config, without their prefix; None leaves an option at its default."""
    given = {name.removeprefix(PREFIX): value for name, value in config.items() if name.startswith(PREFIX)}
    return {name: value for name, value in given.items() if value is not None}


def problem(name: str, values: tuple[Any, ...]) -> tuple[str, str]:
    """Why the parameter `name` cannot be searched over these values (those of a choice).

    Returns:
        (message, hint); both empty where it can be searched.
    """
    option = name.removeprefix(PREFIX)
    if option not in SEARCHABLE:
        hint = did_you_mean(option, SEARCHABLE) or f"; searchable: {', '.join(SEARCHABLE)}"
        return f"prepare has no option {option!r} that can be searched", hint
    known = SEARCHABLE[option]
    for value in values:
        if known and value not in known and value is not None:
            return f"{option} cannot be {value!r}", f"; one of {', '.join(map(str, known))}"
        if not known and value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            return f"{option} must be a number, got {value!r}", ""
    return "", ""
