"""Options of `prepare:` that a search may choose: parameters called `prepare_scale`, `prepare_pca` and so on. No torch.

Only what leaves the rows, their targets and weights as they are: scores of different preparations must be comparable.
"""

from collections.abc import Mapping
from typing import Any

from automl.errors import did_you_mean

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
