"""Which trials can train together as one batched model, and why others cannot. No torch here: the driver asks."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from automl.core.space import Space
from automl.data.preparing import options
from automl.fused import signature
from automl.tasks.recipe import Recipe

FEW_KINDS = 4
"""Up to this number of kinds of models in a space, trials train together with those of their own kind only."""


def mixes(model: str, space: Space) -> tuple[str, ...]:
    """Which hyperparameters may differ among models that train together, although they shape the model.

    None, where the space has so few kinds of models that trials find enough others of their own kind.
    """
    names = next((signature.MIXES[one] for one in model.split(", ") if one in signature.MIXES), ())
    kinds = math.prod(space.params[name].size for name in names if name in space.params)
    return names if kinds > FEW_KINDS else ()


def group(recipe: Recipe) -> Callable[[Mapping[str, Any]], str] | None:
    """A function that gives configs the same text if their trials can train together; "" for one that trains alone.

    None where every trial trains alone.
    """
    if recipe.fuse == "never":
        return None

    def named(config: Mapping[str, Any]) -> str:
        if why_alone(config, recipe.settings, grown=recipe.is_grown(config)):
            return ""
        return signature.group(config, mixes_of(recipe, config), own_factory=recipe.own_factory)

    return named


def mixes_of(recipe: Recipe, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Which hyperparameters may differ among models that train together with one of this config."""
    chosen = {**(recipe.prepare or {}), **options.chosen(config)}
    plain = config.get("embed_numbers", "none") == "none" and not options.answers_differ(chosen)
    return recipe.mixes if not config or (recipe.family(config) in signature.MIXES and plain) else ()


def why_alone(config: Mapping[str, Any], settings: Mapping[str, Any], *, grown: bool = False) -> str:
    """Why a trial trains alone, in the trainer that knows every option, and what could be done about it.

    Args:
        config: the trial's hyperparameters.
        settings: of `training.Settings`.
        grown: whether its model is of a family that is grown, such as trees.

    Returns:
        A sentence for the user; empty where the trial can train together with others.
    """
    if grown:
        return "trees are grown one trial at a time"
    if settings.get("precision", "auto") == "fp16":
        return "precision: fp16 trains one trial at a time, as its gradients are scaled; bf16 trains many together"
    if settings.get("compile", "auto") == "always":
        return "compile: always trains one trial at a time; auto trains many together"
    return ""
