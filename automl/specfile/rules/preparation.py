"""The entries `prepare` and `augment`: which options there are, and which values they take."""

import codecs
import re
from collections.abc import Callable, Mapping
from typing import Any

from automl.data.preparing import options
from automl.errors import DataError, did_you_mean
from automl.specfile.yaml.explain import shown
from automl.specfile.yaml.places import Places
from automl.training import strengths

_NAMES: dict[str, tuple[str, ...]] = {
    "task": options.TASKS,
    "impute": options.IMPUTES,
    "scale": options.SCALES,
    "categorical": options.ENCODINGS,
    "class_weight": ("balanced", "none"),
    "decimal": (".", ","),
    "tokens": ("char", "byte", "word", "ids", "ngrams"),
    "gaps": options.GAPS,
    "target_scale": options.TARGET_SCALES,
}
_COUNTS = {
    "max_categories": 1, "crosses": 0, "rows": 1, "max_tokens": 2, "window": 1, "horizon": 1, "stride": 1,
}  # fmt: skip
"""Option -> its smallest value, a whole number."""
_SWITCHES = ("indicators", "dayfirst")
_COLUMNS = ("weight", "text")
_KINDS = ("category", "number", "date", "time")
_SEPARATORS = ("tab", "\\t", "comma", "semicolon", "pipe", "space")
_SIZE = re.compile(r"[\d.]*[1-9][\d.]*(e\d+)?[KMGT]I?B", re.IGNORECASE)


def check(tree: Mapping[str, Any], places: Places) -> None:
    """Complain about options of `prepare` and operations of `augment` that do not exist, and about wrong values."""
    given, before = tree.get("prepare"), places.found
    for name, value in given.items() if isinstance(given, dict) else ():
        _option(str(name), value, places)
    if isinstance(given, dict) and places.found == before:
        try:
            options.check(given)
        except DataError as error:
            places.complain(("prepare",), str(error).removeprefix("prepare."))
    operations = tree.get("augment")
    for name, value in operations.items() if isinstance(operations, dict) else ():
        _operation(str(name), value, places)


def _option(name: str, value: Any, places: Places) -> None:
    path = ("prepare", name)
    if name not in options.OPTIONS:
        near = did_you_mean(name, options.OPTIONS) or f"; options: {', '.join(options.OPTIONS)}"
        places.complain(path, "is no option of the preparation", near, key=True)
    elif value is None:
        places.complain(path, "has no value; give one or remove it", key=True)
    elif name in _NAMES and value not in _NAMES[name]:
        near = did_you_mean(str(value), _NAMES[name])
        places.complain(path, f"needs one of {', '.join(_NAMES[name])}, got {shown(value)}", near)
    elif name in _COUNTS and not (isinstance(value, int) and not isinstance(value, bool) and value >= _COUNTS[name]):
        places.complain(path, f"needs a whole number of at least {_COUNTS[name]}, got {shown(value)}")
    elif name in _SWITCHES and not isinstance(value, bool):
        places.complain(path, f"needs true or false, got {shown(value)}")
    elif name in _COLUMNS and not isinstance(value, str):
        places.complain(path, f"needs the name of a column, got {shown(value)}")
    elif (rule := _RULES.get(name)) and (message := rule(value)):
        places.complain(path, f"{message}, got {shown(value)}")


def _pca(value: Any) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and value > 0 and (value < 1 or value == int(value)):
        return ""
    return "needs a number of components, or below 1 a share of the variance"


def _separator(value: Any) -> str:
    ok = isinstance(value, str) and (len(value) == 1 or value in _SEPARATORS)
    return "" if ok else "needs one character, such as ; or tab"


def _encoding(value: Any) -> str:
    try:
        codecs.lookup(value)
    except (LookupError, TypeError, ValueError):
        return "needs an encoding that Python knows, such as utf-8 or cp1250"
    return ""


def _memory(value: Any) -> str:
    return "" if _SIZE.fullmatch(str(value).replace(" ", "")) else "needs a size such as 500MB or 2GB"


def _types(value: Any) -> str:
    if not isinstance(value, dict):
        return "needs columns with what they are, such as {zip: category}"
    wrong = next((kind for kind in value.values() if kind not in _KINDS), None)
    return f"{shown(wrong)} is not one of {', '.join(_KINDS)}{did_you_mean(str(wrong), _KINDS)}" if wrong else ""


def _between(value: Any) -> str:
    return "" if isinstance(value, str) and value else "needs a text, such as ; or |"


def _names(value: Any) -> str:
    ok = isinstance(value, list) and all(isinstance(one, str) for one in value)
    return "" if ok else "needs a list of columns"


def _series(value: Any) -> str:
    ok = isinstance(value, str) or (isinstance(value, list) and value and all(isinstance(one, str) for one in value))
    return "" if ok else "needs a column, or a list of columns"


def _missing(value: Any) -> str:
    ok = isinstance(value, str | int | float | list) and not isinstance(value, bool)
    return "" if ok else 'needs words for a missing value, such as ["-999", unknown]'


_RULES: dict[str, Callable[[Any], str]] = {
    "pca": _pca, "separator": _separator, "encoding": _encoding, "memory": _memory, "types": _types,
    "categories": _names, "missing": _missing, "series": _series, "quantiles": options.of_quantiles,
    "order": options.of_order, "label_separator": _between,
}  # fmt: skip
"""Option -> what it needs, if the value is not that."""


def _operation(name: str, value: Any, places: Places) -> None:
    path = ("augment", name)
    if name not in strengths.LIMITS:
        near = did_you_mean(name, strengths.LIMITS) or f"; operations: {', '.join(strengths.LIMITS)}"
        places.complain(path, "is no operation", near, key=True)
    elif value is None:
        places.complain(path, "has no strength; give one, such as 0.5, or remove it", key=True)
    elif message := strengths.problem(name, value):
        places.complain(path, message)
