"""Several model families in one search: the parameter `model`, and each family's parameters under that condition."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from automl import models
from automl.core.space import Choice, Parameter, Space, Value
from automl.data.preparing import options
from automl.errors import did_you_mean
from automl.models import FAMILY as NAME
from automl.specfile.yaml.places import Places
from automl.training import hyperparameters, strengths

NOT_WITH_MISSING = ("pca", "crosses")
"""Options of the preparation that need a number in every cell."""


def builtin_names(tree: Mapping[str, Any]) -> list[str]:
    """The families that the entry `model` names; empty where it names none of ours."""
    entry = tree.get("model")
    names = list(entry) if isinstance(entry, list | tuple) else [entry]
    return [name for name in names if isinstance(name, str) and name in models.families()]


def listed(tree: Mapping[str, Any]) -> bool:
    """Whether the entry `model` is a list of several families."""
    return isinstance(tree.get("model"), list | tuple) and len(tree["model"]) > 1


def check(tree: Mapping[str, Any], places: Places) -> None:
    """Complain about families that do not exist, and about what those given cannot do together."""
    entry, known = tree.get("model"), models.families()
    for k, name in enumerate(entry if isinstance(entry, list) else [entry]):
        path = ("model", k) if isinstance(entry, list) else ("model",)
        if not isinstance(name, str) or (":" in name and not listed(tree)):
            continue
        if ":" in name:
            places.complain(path, f"{name!r} is a model of your own, which cannot stand in a list of families")
        elif name not in known:
            hint = did_you_mean(name, known) or f"; families: {', '.join(known)}; your own: package.module:build"
            places.complain(path, f"unknown model family {name!r}", hint)
    grown = [name for name in builtin_names(tree) if known[name].grown]
    if grown and tree.get("fuse") == "require":
        places.complain(("fuse",), f"{grown[0]} are grown one trial at a time; write fuse: auto")
    nets = [name for name in builtin_names(tree) if name not in grown]
    prepare = tree.get("prepare")
    if nets and isinstance(prepare, dict) and prepare.get("impute") == "none":
        places.complain(("prepare", "impute"), f"{nets[0]} needs a number in every cell; none is for trees alone")


def with_choice(tree: dict[str, Any], places: Places) -> None:
    """Put the parameter `model` in front of the space where several families are listed; changes `tree`."""
    entry, space = tree.get("model"), tree.get("space")
    if isinstance(entry, list) and len(entry) == 1:
        tree["model"] = entry[0]
    if not listed(tree) or not isinstance(space, dict) or NAME in space:
        return
    if len(set(builtin_names(tree))) < len(tree["model"]):  # there is a complaint about it
        return
    tree["space"] = {NAME: {"choice": list(tree["model"]), "default": tree["model"][0]}, **space}
    at = places.document.at(("model",))
    places.document.values.setdefault(("space", NAME), at)
    places.document.keys.setdefault(("space", NAME), at)


def reads(family: models.Family, name: str) -> bool:
    """Whether a family, its training or the preparation of its data reads the parameter `name`."""
    if name in family.defaults or name == NAME or name.startswith(options.PREFIX):
        return True
    training = {*hyperparameters.NAMES, *strengths.LIMITS, "parametrization", "batch_norm"}
    return not family.grown and name in training


def conditional(space: Space, tree: Mapping[str, Any]) -> Space:
    """The space in which each parameter exists only for the families that read it; unchanged where one is given.

    Args:
        space: has the parameter `model`, see `with_choice`.
        tree: the whole specification as plain data.
    """
    if not listed(tree) or NAME not in space.params:
        return space
    names = builtin_names(tree)
    params: dict[str, Parameter] = {
        name: p if NAME in p.when else replace(p, when={**p.when, **_condition(name, names)})
        for name, p in space.params.items()
    }
    constants: dict[str, Value] = {}
    for name, value in space.constants.items():
        if condition := _condition(name, names):
            params[name] = Choice((value,), when=condition)
        else:
            constants[name] = value
    for name in names:
        for option, value in preparation(models.family(name), space, tree).items():
            if option not in options.SEARCHABLE:  # it changes what the other families predict
                continue
            params.setdefault(options.PREFIX + option, Choice((value,), when={NAME: (name,)}))
    return replace(space, params=_group_by_group(params, space.groups), constants=constants)


def _group_by_group(params: Mapping[str, Parameter], groups: Mapping[str, str]) -> dict[str, Parameter]:
    """The parameters in the order in which `Space.to_json` writes them, in which a resumed search draws them."""
    found = dict.fromkeys(groups.get(name, name) for name in params)
    rank = {group: k for k, group in enumerate(found)}
    return dict(sorted(params.items(), key=lambda entry: rank[groups.get(entry[0], entry[0])]))


def _condition(name: str, families: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The condition on `model` under which a parameter exists; empty where there is none."""
    readers = tuple(one for one in families if reads(models.family(one), name))
    return {NAME: readers} if name != NAME and 0 < len(readers) < len(families) else {}


def preparation(family: models.Family, space: Space | None, tree: Mapping[str, Any]) -> dict[str, Any]:
    """The options of `prepare:` that the family wants and nobody has chosen."""
    asked = tree.get("prepare") if isinstance(tree.get("prepare"), dict) else {}
    searched = {name.removeprefix(options.PREFIX) for name in (*space.params, *space.constants)} if space else set()
    chosen = {*(asked or {}), *searched}
    wanted = {option: value for option, value in family.preparation.items() if option not in chosen}
    if chosen & set(NOT_WITH_MISSING):
        wanted.pop("impute", None)
    return wanted
