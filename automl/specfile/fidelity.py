"""`fidelity: {width: [128, 1024]}`: the search uses the low value, its finalists are retrained with the high one.

space: {..., width: {int: [64, 4096]}, ...}   ->   {..., width: 128, ...}      and afterwards  {"width": 1024}
"""

from collections.abc import Mapping
from typing import Any

from automl.core.space import Space
from automl.errors import did_you_mean
from automl.specfile.yaml.explain import shown
from automl.specfile.yaml.places import Places

WIDTH = "width"  # with `parametrization: mup`, hyperparameters found at one width are good at all widths


def narrow(space: Space, tree: Mapping[str, Any], places: Places) -> Space:
    """The space of the search: parameters named in `fidelity` are constants there, at their low value.

    Args:
        space: as written.
        tree: the whole specification as plain data.
        places: takes complaints about a `fidelity` that makes no sense.
    """
    fidelity = tree.get("fidelity")
    if not isinstance(fidelity, dict) or not fidelity:
        return space
    if tree.get("finalists") in ("none", False):
        places.complain(("fidelity",), "needs finalists: only they are trained with the high value", key=True)
    if WIDTH in fidelity and "model" in tree and not _has_mup(space, tree):
        rule = "what is best for a narrow model is best for a wide one only with `parametrization: mup`"
        places.complain(("fidelity", WIDTH), f"{rule}; add that line", key=True)
    for name, ends in fidelity.items():
        if _sound(name, ends, space, tree, places):
            space = space.fixed({name: ends[0]})
    return space


def _has_mup(space: Space, tree: Mapping[str, Any]) -> bool:
    return "mup" in (tree.get("parametrization"), space.constants.get("parametrization"))


def _sound(name: str, ends: Any, space: Space, tree: Mapping[str, Any], places: Places) -> bool:
    if not isinstance(ends, list) or len(ends) != 2 or any(type(v) not in (int, float) for v in ends):
        return False  # the grammar has already complained
    at = ("fidelity", name)
    if ends[0] >= ends[1]:
        places.complain(at, f"needs low < high, got {shown(ends)}")
        return False
    known = {**space.params, **space.constants}
    if name not in known and not (name == WIDTH and "model" in tree):
        places.complain(at, "is not a parameter of the space", did_you_mean(name, known), key=True)
        return False
    if dependent := [n for n, p in space.params.items() if name in p.when]:
        places.complain(
            at,
            f"{', '.join(dependent)} depends on {name}, so the search and its finalists would have different spaces",
            key=True,
        )
        return False
    return True
