"""Options of `prepare:` that a search may choose: parameters called `prepare_scale`, `prepare_pca` and so on. No torch.

Only what leaves the rows, their targets and weights as they are: scores of different preparations must be comparable.
"""

from collections.abc import Mapping
from typing import Any

from automl.errors import DataError, did_you_mean

PREFIX = "prepare_"
SCALES = ("standard", "robust", "minmax", "none")
IMPUTES = ("median", "mean", "most_frequent", "zero")
ENCODINGS = ("onehot", "embed")
SEARCHABLE: dict[str, tuple[Any, ...]] = {
    "impute": IMPUTES, "indicators": (True, False), "scale": SCALES, "categorical": ENCODINGS, "max_categories": (),
    "pca": (), "crosses": (),
}  # fmt: skip
"""Option -> its values; empty where it is a number."""


def chosen(config: Mapping[str, Any]) -> dict[str, Any]:
    """The options of `prepare:` that a config has."""
    mine = {name.removeprefix(PREFIX): value for name, value in config.items() if name.startswith(PREFIX)}
    return {name: value for name, value in mine.items() if value is not None}


def problem(name: str, values: tuple[Any, ...]) -> tuple[str, str]:
    """(message, hint) of what keeps `name` from being searched over these values (of a choice); empty: nothing."""
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


OPTIONS = {
    "task": "classification or regression (default: from the target's values)",
    "impute": "what stands for a missing number: median, mean, zero, most_frequent",
    "indicators": "whether a column with missing numbers gets a second one that says where",
    "scale": "standard, robust, minmax, none; arrays and images: standard or none",
    "categorical": "onehot, or embed: codes for the model's own embeddings",
    "categories": "number columns to be read as categories",
    "max_categories": "values of a column that are told apart; the rarer ones count as unseen",
    "pca": "number of principal components, or below 1 the share of the variance to keep",
    "crosses": "products of two columns to add: so many, those that tell most about the target",
    "weight": "column of sample weights",
    "class_weight": "balanced, none",
    "rows": "use so many rows, drawn at random",
    "form": "how the source is to be read where that is open, e.g. sentences",
    "text": "column that holds sentences",
    "tokens": "texts: char, byte, word; ids: the file holds token numbers",
    "max_tokens": "size of the vocabulary",
    "window": "length of a sample: steps of a series, tokens of a text",
    "horizon": "how many steps ahead of the window the target lies",
    "stride": "steps between the beginnings of two windows",
    "memory": "a table that would take more, e.g. 2GB, is streamed from disk (default: half of what is free)",
}
"""Options of `prepare:` and what they say."""


def check(options: dict[str, Any]) -> None:
    """Raises DataError for an option of `prepare:` that does not exist."""
    for name in options:
        if name not in OPTIONS:
            hint = did_you_mean(name, OPTIONS) or f"; options: {', '.join(OPTIONS)}"
            raise DataError(f"prepare: unknown option {name!r}{hint}")
    encoding = options.get("categorical", "onehot")
    if encoding not in ENCODINGS:
        raise DataError(
            f"prepare.categorical: expected onehot or embed, got {encoding!r}{did_you_mean(encoding, ENCODINGS)}"
        )
