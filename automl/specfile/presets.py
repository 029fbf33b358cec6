"""Preset spaces, found through the entry points `automl.search_spaces`.

`use: mlp` in a group takes a preset; entries beside it replace single parameters.

A plugin of that group is a function `presets() -> dict[str, Path]`: `architecture/mlp` for a part (parameters of the
group `architecture`), a name without a slash (`digits`) for a whole specification.
"""

from collections.abc import Mapping
from pathlib import Path as File
from typing import Any

from automl.core import plugins
from automl.errors import SpecError, UnknownPlugin, did_you_mean
from automl.specfile.yaml.complaint import Path
from automl.specfile.yaml.events import load
from automl.specfile.yaml.places import Places


def all_presets() -> dict[str, File]:
    """Name -> file of every preset of every installed plugin. A plugin that cannot be loaded is skipped."""
    files: dict[str, File] = {}
    for plugin in plugins.names("search_spaces"):
        try:
            offered = plugins.load("search_spaces", plugin)()
        except UnknownPlugin:
            continue
        files |= {str(name): File(file) for name, file in offered.items()}
    return dict(sorted(files.items()))


def part(name: str) -> dict[str, Any]:
    """The parameters of the preset `name` (group/short name), as written in its file.

    Raises:
        SpecError: there is no such preset (with the nearest name), or its file is wrong.
    """
    parts = {n: file for n, file in all_presets().items() if "/" in n}
    if name not in parts:
        group, short = name.split("/", 1)
        shorts = {n.split("/", 1)[1]: n for n in parts if n.startswith(group + "/")}
        near = did_you_mean(short, shorts)
        known = ", ".join(shorts) or ", ".join(parts) or "none is installed"
        raise SpecError(f"unknown preset {name!r}{near} (presets: {known})")
    document = load(parts[name].read_bytes(), str(parts[name]))
    if document.complaints or not isinstance(document.value, dict):
        raise SpecError(f"preset {name!r}: {document.complaints[0] if document.complaints else 'no parameters'}")
    return dict(document.value)


def complete(name: str) -> File | None:
    """The file of the complete preset `name` (one that can be searched as it is); None: no such preset."""
    return None if "/" in name else all_presets().get(name)


def compose(space: Mapping[str, Any], places: Places) -> dict[str, Any]:
    """`space` with every group `{use: preset, ...}` replaced by the preset's parameters and the overriding entries."""
    composed: dict[str, Any] = {}
    for group, items in space.items():
        if group == "use" and isinstance(items, str):
            near = next((n for n in all_presets() if items in (n, n.partition("/")[2])), "architecture/mlp")
            kind, _, short = near.partition("/")
            places.complain(
                ("space", "use"), f"use stands in a group of the space; write {kind}: {{use: {short}}}", key=True
            )
            places.names_known = False
        elif isinstance(items, dict) and "use" in items:
            composed[group] = _group(group, items, places)
        else:
            composed[group] = items
    return composed


def _group(group: str, items: Mapping[str, Any], places: Places) -> Any:
    path: Path = ("space", group)
    name = items["use"]
    own = {k: v for k, v in items.items() if k != "use"}
    if not isinstance(name, str) or not name:
        places.complain((*path, "use"), "use needs the name of one preset, e.g. use: mlp")
        places.names_known = False
        return items
    try:
        taken = part(name if "/" in name else f"{group}/{name}")
    except SpecError as error:
        places.complain((*path, "use"), str(error))
        places.names_known = False
        return items
    for key in own:
        if key not in taken:
            places.complain(
                (*path, key), f"the preset {name!r} has no parameter {key!r} to replace",
                did_you_mean(key, taken) or f" (it has {', '.join(taken)})", key=True,
            )  # fmt: skip
    values, place = places.document.values, places.document.at((*path, "use"))
    for key in taken:
        values.setdefault((*path, key), place)
        places.document.keys.setdefault((*path, key), place)
    return {**taken, **own}
