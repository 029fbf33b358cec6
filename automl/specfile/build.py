"""From a read document to a Spec: insert presets, apply overrides, check every rule, report all mistakes at once."""

import copy
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from automl import metrics, models
from automl.core import plugins
from automl.core.objectives.goals import Objectives
from automl.core.space import Choice, Space
from automl.core.trial import Metric, Plan
from automl.errors import SpecError
from automl.specfile import checks, fidelity, options, overrides, presets, spaces
from automl.specfile.grammar import SpecModel
from automl.specfile.rules import (
    code,
    columns,
    families,
    hyperparameters,
    limits,
    machine,
    objectives,
    preparation,
    steps,
)
from automl.specfile.spec import Spec
from automl.specfile.yaml.complaint import error
from automl.specfile.yaml.events import Document
from automl.specfile.yaml.explain import explain, shown
from automl.specfile.yaml.places import Places

DEFAULT_STRATEGY = {"name": "auto"}
PACK_STRATEGY, PACK_STOPPER = {"name": "random"}, {"name": "none"}  # trials that differ and run out are good members
DEFAULT_STOPPER = {"name": "halving"}  # built-in training saves checkpoints, so its trials can pause and continue
PROGRAM_STOPPER = {"name": "asha"}  # user programs may save none


@dataclass(frozen=True)
class Surroundings:
    """What a specification is checked against besides its own rules.

    Attributes:
        folder: what relative paths are relative to; None: the current folder.
        begun: it is that of a study that was begun already, so that rules which are newer than it do not count.
        gpus: counts those of this machine, which will train; None: it will not, so that devices, code and data that a
            search would need here are not checked.
    """

    folder: Path | None = None
    begun: bool = False
    gpus: Callable[[], int] | None = None


def build(
    document: Document, *, name: str, path: Path | None, around: Surroundings, changes: Mapping[str, Any]
) -> Spec:
    """The specification that a document describes.

    Args:
        document: the file as it was read.
        name: the study's name where the document gives none.
        path: the file; None: there is none.
        around: its folder and its machine.
        changes: overrides by dotted path.

    Raises:
        InvalidSpec: it has mistakes; `.complaints` has all of them.
    """
    places = Places(document)
    tree = _tree(document, places, changes)
    model = space = None
    if tree is not None:
        objectives.insert_metric(tree)
        model = _model(tree, places)
        builtin = "model" in tree
        space = spaces.read(tree.get("space"), places, builtin=builtin)
        checks.check(tree, spaces.names(tree.get("space"), builtin=builtin), places)
        objectives.check(tree, places)
        if space is not None:
            space = families.conditional(space, tree)
            space = fidelity.narrow(space, tree, places)
            checks.first(tree.get("first"), space, places)
            if not places.complaints:
                checks.filled_in(tree, space, places)
                steps.fits(tree, space, places)
        if not around.begun:
            _rules(tree, space, around, places)
    if places.complaints:
        raise error(places.complaints, document.source)
    assert tree is not None
    assert model is not None
    assert space is not None
    fields = _fields(model, space, tree, places)
    return Spec(
        **fields, name=model.study or name, path=path, folder=around.folder or Path("."), text=document.source.text
    )


def _rules(tree: dict[str, Any], space: Space | None, around: Surroundings, places: Places) -> None:
    """Check what a search would complain about before or in its first trials."""
    limits.check(tree, places)
    if "model" in tree:
        preparation.check(tree, places)
        if space is not None:
            hyperparameters.check(tree, space, spaces.paths(tree["space"], builtin=True), places)
    if around.gpus is not None:
        machine.check(tree, around.gpus(), places)
        code.check(tree, around.folder or Path("."), places)
        if "model" in tree:
            if space is not None:
                hyperparameters.mup(tree, space, places)
            columns.check(tree, around.folder or Path("."), places)


def _tree(document: Document, places: Places, changes: Mapping[str, Any]) -> dict[str, Any] | None:
    """The plain tree with presets and overrides in it; None where there is nothing more to check."""
    if not isinstance(document.value, dict):
        if not places.complaints:
            empty = document.value is None
            places.complain(
                (), "the file is empty" if empty else f"expected lines `key: value`, got {shown(document.value)}"
            )
        return None
    tree: dict[str, Any] = copy.deepcopy(document.value)
    early = {k: v for k, v in changes.items() if k.startswith("space.") and k.endswith(".use")}
    overrides.apply(tree, early, places)
    if isinstance(tree.get("space"), dict):
        tree["space"] = presets.compose(tree["space"], places)
    overrides.apply(tree, {k: v for k, v in changes.items() if k not in early}, places)
    if places.names_known and isinstance(tree.get("space"), dict):
        tree["space"] = presets.compose(tree["space"], places)  # groups that an override has added
        families.with_choice(tree, places)
    return tree


def _model(tree: dict[str, Any], places: Places) -> SpecModel | None:
    empty = [key for key, value in tree.items() if value is None and key in SpecModel.names()]
    for key in empty:
        places.complain((key,), "has no value; give one or remove the line", key=True)
    try:
        return SpecModel.model_validate(tree)
    except ValidationError as wrong:
        for path, message, hint, at_key in explain(wrong, SpecModel):
            reported = len(path) == 1 and path[0] in empty
            if path == ("use",):
                hint = "; a preset stands in a group of the space, such as space: {architecture: {use: mlp}}"
            missing = path == () and checks.misspelt(tree, message.removesuffix(" is missing"))
            if not reported and not missing:
                places.complain(path, message, hint, key=at_key)
        return None


def _fields(model: SpecModel, space: Space, tree: dict[str, Any], places: Places) -> dict[str, Any]:
    """The fields of a Spec that come from the checked model."""
    direction = model.metric.direction or metrics.direction(model.metric.name)
    value = model.value or ("best" if model.patience else "last")
    budget = model.budget
    given = model.prepare or {}
    weights = {"weight": model.sample_weight, "class_weight": model.class_weight}
    same = ("model", "data", "target", "train", "report", "epochs", "patience", "seed", "workers", "parametrization",
            "isolation", "retries", "price", "fuse", "compile", "precision", "oom", "parallel", "refit", "adjust",
            "ensemble")  # fmt: skip
    return {
        **{key: getattr(model, key) for key in same},
        "metric": Metric(model.metric.name, direction, value),
        "objectives": _objectives(model, Metric(model.metric.name, direction, value)),
        "value": value,
        "space": _parametrized(space, model.parametrization),
        "plan": Plan(
            trials=budget.trials,
            steps=budget.epochs or budget.steps,
            time_s=budget.time,
            horizon=_length(model),
            workers=model.workers or 1,
            unit="step" if model.steps else "epoch",
        ),
        "split": model.split.model_dump(exclude_none=True) if model.split else {},
        "prepare": {**_wanted(space, tree), **given, **{k: v for k, v in weights.items() if v is not None}},
        "augment": model.augment or {},
        "steps": model.steps.model_dump(exclude_none=True) if model.steps else {},
        "command": None if model.command is None else tuple(model.command),
        "strategy": _strategy(model),
        "stopper": _stopper(model, space),
        "executor": model.executor.model_dump() if model.executor else None,
        "first": tuple(space.completed(config) for config in model.first or ()),
        "warm": tuple({"study": one.study, "seeds": one.seeds} for one in model.warm or () if one.study),
        "weights": next(
            (one.model_dump(include={"weights", "trial"}) for one in model.warm or () if one.weights), None
        ),
        "constraints": tuple(model.constraints or ()),
        "fidelity": {name: (low, high) for name, (low, high) in (model.fidelity or {}).items()},
        "resources": model.resources.model_dump(exclude_none=True) if model.resources else {},
        "trial_timeout_s": model.trial_timeout,
        "finalists": model.finalists.model_dump() if model.finalists and not model.pack else None,
        "pack": model.pack.model_dump() if model.pack else None,
        "warnings": tuple(str(w) for w in places.warnings),
        "tree": tree,
    }


def _strategy(model: SpecModel) -> dict[str, Any]:
    if model.strategy:
        return model.strategy.model_dump()
    return dict(PACK_STRATEGY if model.pack else DEFAULT_STRATEGY)


def _wanted(space: Space, tree: Mapping[str, Any]) -> dict[str, Any]:
    """The preparation that a single family wants; of several, each one's is in the space."""
    names = families.builtin_names(tree)
    if families.listed(tree) or len(names) != 1:
        return {}
    return families.preparation(models.family(names[0]), space, tree)


def _objectives(model: SpecModel, first: Metric) -> Objectives:
    """The objectives: the metric, and those that are given besides."""
    given = [one.model_dump(exclude_none=True) for one in model.objectives or ()]
    more = [one for one in given if one["name"] != first.name or any(bound in one for bound in objectives.BOUNDS)]
    choose = model.choose.model_dump(exclude_none=True) if model.choose else None
    return Objectives.of([first, *more], first.count, choose=choose)


def _stopper(model: SpecModel, space: Space) -> dict[str, Any]:
    """The given stopper, or the default. By default, halving compares no trial before its warm-up is over."""
    length = _length(model)
    own = model.model is not None and length is not None
    stopper: dict[str, Any] = dict(PACK_STOPPER if model.pack else DEFAULT_STOPPER if own else PROGRAM_STOPPER)
    if model.stopper:
        stopper = model.stopper.model_dump()
    elif needed := _of_strategy(model):
        stopper = {"name": needed}
    if own and length and stopper == DEFAULT_STOPPER:
        warm, usual = _warmup(space, length), math.ceil(0.02 * length)
        if warm > usual:
            stopper["min_steps"] = min(warm, length)
    return stopper


def _of_strategy(model: SpecModel) -> str:
    """The stopper that belongs to the given strategy; empty where it has none, or cannot be made quickly."""
    described = model.strategy.model_dump() if model.strategy else {}
    if not options.is_light("strategies", described):
        return ""
    try:
        return str(plugins.make("strategies", described).stopper())
    except SpecError:
        return ""


def _length(model: SpecModel) -> int | None:
    """Steps of a full trial, whatever their unit; None: not known."""
    return model.steps.number if model.steps else model.epochs


def _warmup(space: Space, length: int) -> int:
    """Steps after which the warm-up is over in every config of `space`; see `automl.training.hyperparameters`."""
    warmup = space.params.get("warmup")
    most = space.constants.get("warmup", 0.0)
    if isinstance(warmup, Choice):
        most = max((v for v in warmup.choices if isinstance(v, int | float)), default=0.0)
    elif warmup is not None:
        most = warmup.high
    if not isinstance(most, int | float):
        return 0
    return math.ceil(round(most * length if most < 1 else most, 9))


def _parametrized(space: Space, parametrization: str) -> Space:
    """The space with the parametrization as a constant, through which it reaches model and optimizer."""
    if parametrization == "standard" or "parametrization" in (*space.params, *space.constants):
        return space
    return space.fixed({"parametrization": parametrization})


def slug(text: str) -> str:
    """`text` as the name of a study: letters, digits, `_`, `-` and `.`; never empty, hidden or a path."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-.") or "study"
