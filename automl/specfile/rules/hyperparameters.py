"""Values of parameters that the built-in training and its models read themselves."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from automl import models
from automl.core.space import Choice, Float, Int, Parameter, Space, Value
from automl.errors import SpecError, did_you_mean
from automl.models import settings
from automl.specfile.rules import families
from automl.specfile.yaml.complaint import Path
from automl.specfile.yaml.explain import shown
from automl.specfile.yaml.places import Places
from automl.training import hyperparameters, strengths

_SYNONYMS = {
    "learning_rate": "lr", "eta": "lr", "wd": "weight_decay", "l2": "weight_decay", "batch": "batch_size",
    "bs": "batch_size", "hidden": "width", "hidden_size": "width", "hidden_dim": "width", "units": "width",
    "layers": "depth", "num_layers": "depth", "n_layers": "depth", "scheduler": "schedule", "opt": "optimizer",
    "gradient_clipping": "clip", "grad_clip": "clip", "n_heads": "heads", "num_heads": "heads",
}  # fmt: skip
"""Names that other programs use -> ours."""


def check(tree: Mapping[str, Any], space: Space, paths: Mapping[str, Path], places: Places) -> None:
    """Complain where a constant, a choice or an end of a range is a value that no trial could be trained with.

    Args:
        tree: the whole specification as plain data, with `model`.
        space: of the search.
        paths: {name of a parameter: its path in the specification}.
        places: takes complaints.
    """
    given = [models.family(name) for name in families.builtin_names(tree)]
    for name, item in {**space.constants, **space.params}.items():
        path = paths.get(name, ("space",))
        for below, value in _values(item, _written(tree, path)):
            if message := _problem(given, name, value):
                places.complain(path, message, at=(*path, *below))
                break
        if given and not any(families.reads(family, name) for family in given):
            known = [*(n for family in given for n in family.defaults), *hyperparameters.NAMES, *strengths.LIMITS]
            synonym = _SYNONYMS.get(name, "")
            near = f"; did you mean {synonym!r}?" if synonym in known else did_you_mean(name, known)
            names = " and ".join(family.name for family in given)
            rule = f"has no effect: neither {names} nor its training reads it"
            places.warn(path, f"{rule}{near or '; remove it'}", key=True)


def _written(tree: Mapping[str, Any], path: Path) -> Any:
    """What stands at `path`."""
    item: Any = tree
    for part in path:
        item = item.get(part) if isinstance(item, Mapping) else None
    return item


def _values(item: Parameter | Value, written: Any) -> Iterator[tuple[Path, Value]]:
    """Values to check, each with the path of where it is written below its parameter."""
    if isinstance(item, Choice):
        before: Path = ("choice",) if isinstance(written, Mapping) else ()
        yield from (((*before, k), value) for k, value in enumerate(item.choices))
    elif isinstance(item, Float | Int):
        kind = "float" if isinstance(item, Float) else "int"
        yield from (((kind, 0), item.low), ((kind, 1), item.high))
    else:
        yield (), item


def _problem(given: Sequence[models.Family], name: str, value: Value) -> str:
    """What is wrong with the value, with a remedy; empty where nothing is. `given`: the families of the search."""
    if name in strengths.LIMITS:
        message = "" if value is None else strengths.problem(name, value)
        return message and f"{name} {message}"
    if name in hyperparameters.NAMES:
        try:
            hyperparameters.read({name: value})
        except SpecError as error:
            return str(error)
        return ""
    if name == "prepare_impute" and value == "none" and any(not family.grown for family in given) and len(given) == 1:
        return f"{given[0].name} needs a number in every cell; impute none is for trees alone"
    for family in given:
        if message := settings.problem(family.name, family.defaults, name, value):
            return message
    return ""


def mup(tree: Mapping[str, Any], space: Space, places: Places) -> None:
    """Complain where a search needs to know the width of the model."""
    wanted = "mup" in (tree.get("parametrization"), space.constants.get("parametrization"))
    if wanted and not tree.get("fidelity") and "width" not in {**space.params, **space.constants}:
        places.complain(
            ("parametrization",), f"{shown('mup')} needs the width of the model; add width to space, such as width: 128"
        )
