"""Rules for several objectives, limits and the choice among a front."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from automl import metrics, models
from automl.errors import SpecError, did_you_mean
from automl.specfile.rules import families
from automl.specfile.yaml.complaint import Path
from automl.specfile.yaml.places import Places

BOUNDS = ("at_most", "at_least")


def insert_metric(tree: dict[str, Any]) -> None:
    """Where `objectives` are given and no `metric`, the first of them is the metric."""
    given = tree.get("objectives")
    if "metric" not in tree and isinstance(given, list) and given:
        first = {"name": given[0]} if isinstance(given[0], str) else given[0]
        if isinstance(first, dict) and not any(bound in first for bound in BOUNDS):
            tree["metric"] = dict(first)


def entries(tree: Mapping[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    """(path, long form) of each well-formed entry of `objectives`."""
    given = tree.get("objectives")
    for k, one in enumerate(given if isinstance(given, list) else ()):
        described = {"name": one} if isinstance(one, str) else one
        if isinstance(described, dict) and isinstance(described.get("name"), str):
            yield ("objectives", k), described


def check(tree: Mapping[str, Any], places: Places) -> None:
    """Check what stands between the objectives, and between them and other keys.

    Args:
        tree: the whole specification as plain data.
        places: takes complaints.
    """
    first = tree.get("metric")
    optimized = [str(first.get("name") if isinstance(first, dict) else first)]
    for path, one in entries(tree):
        name, limits = one["name"], [bound for bound in BOUNDS if bound in one]
        _known(tree, path, one, places)
        if limits and "direction" in one:
            places.complain(path, f"a limit is not optimized, so {name} has no direction here; remove direction")
        if not limits and name in optimized[1:]:
            places.complain(path, f"{name} is given twice")
        elif not limits and name != optimized[0]:
            optimized.append(name)
    _first(tree, places)
    _chosen(tree, optimized, places)
    limited = any(bound in one for _, one in entries(tree) for bound in BOUNDS)
    for key in ("ensemble", "pack"):
        if tree.get(key) and (len(optimized) > 1 or limited):
            places.complain((key,), "works with one objective and no limits", key=True)
    if tree.get("fidelity") and len(optimized) > 1:
        places.complain(("fidelity",), "works with one objective", key=True)


def _first(tree: Mapping[str, Any], places: Places) -> None:
    """The first entry is the metric, unless that stands by itself."""
    listed = next(iter(entries(tree)), None)
    if "metric" not in tree and listed and any(bound in listed[1] for bound in BOUNDS):
        places.complain(listed[0], "the first objective is what is optimized, so it has no limit; add metric: NAME")


def _known(tree: Mapping[str, Any], path: Path, one: Mapping[str, Any], places: Places) -> None:
    """The metric is measured, printed, and better in a direction that is known."""
    name = one["name"]
    if isinstance(tree.get("model"), str | list):
        measured = ["train_loss", *(f"val_{one}" for one in metrics.known())]
        if name not in (*measured, *metrics.COSTS):
            all_names = [*measured, *metrics.COSTS]
            near = did_you_mean(name, all_names) or f"; measured are {', '.join(all_names)}"
            places.complain(path, f"{name!r} is not measured", near)
            return
        grown = [one for one in families.builtin_names(tree) if models.families()[one].grown]
        if name in metrics.COSTS and grown:
            places.complain(path, f"{name} is known of networks only, and {grown[0]} is none")
            return
    pattern = tree.get("report")
    if isinstance(pattern, str) and "command" in tree and f"(?P<{name}>" not in pattern and _compiles(pattern):
        places.complain(("report",), f"needs a group of the name of every objective: (?P<{name}>[0-9.eE+-]+)")
    if one.get("direction") is None and not any(bound in one for bound in BOUNDS):
        try:
            metrics.direction(name)
        except SpecError as error:
            reason = str(error).removeprefix(f"metric {name!r}: ").replace("write metric: ", "write ")
            places.complain(path, reason)


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def _chosen(tree: Mapping[str, Any], optimized: list[str], places: Places) -> None:
    choose = tree.get("choose")
    if choose is None:
        return
    if len(optimized) < 2:
        places.complain(("choose",), "there is a choice only where several metrics are optimized", key=True)
    for key, bounds in choose.items() if isinstance(choose, dict) else ():
        for name in bounds if isinstance(bounds, dict) else ():
            if name not in optimized:
                hint = did_you_mean(str(name), optimized) or f"; objectives are {', '.join(optimized)}"
                places.complain(("choose", key, name), f"{name!r} is not an objective", hint, key=True)
