"""Which trials may train together: those whose configs differ only in what every lane has for itself.

The signature of a config is a short text that covers everything that shapes tensors or code. Left out is what each lane
has for itself: learning rate, decay, momentum, betas, smoothing, schedule, clipping, dropout probabilities, strengths
of augmentation. Where a family's models can train in one program at their own shapes (`MIXES`), those shapes, the
optimizer and the batch size may differ too.

A driver sorts trials by `group` without torch. A group may have a subgroup, "group/subgroup": whether trials of one
group but different subgroups can train together is found out by the worker.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from automl.training import hyperparameters, strengths

SHARED_TRAINING = ("optimizer", "batch_size", "loss")
"""Hyperparameters of training that the lanes of a cohort have in common."""
MIXES = {"mlp": ("width", "depth", "activation", "norm", "residual", "optimizer", "batch_size")}
"""Family -> names that may differ within a mixed group (see `mixed`), in addition to what each lane has for itself."""


def lane_name(name: str) -> bool:
    """Whether a config entry may differ between the lanes of a cohort."""
    if name in hyperparameters.NAMES:
        return name not in SHARED_TRAINING
    return name in strengths.LIMITS or "dropout" in name.rpartition(".")[2]


def dropout_names(config: Mapping[str, Any]) -> list[str]:
    """The entries of `config` that are dropout probabilities."""
    return [n for n, v in config.items() if "dropout" in n and isinstance(v, (int, float)) and not isinstance(v, bool)]


def signature(config: Mapping[str, Any], *, own_factory: bool = True) -> str:
    """Equal for configs whose lanes can surely share a cohort.

    `own_factory`: the model is a user's, which may leave out a dropout layer whose probability is exactly 0. The
    built-in families keep such layers.
    """
    shared = {k: v for k, v in config.items() if not lane_name(k)}
    if own_factory:
        shared |= {k: v > 0 for k, v in config.items() if "dropout" in k and isinstance(v, (int, float))}
    shared["ema"] = bool(config.get("ema"))
    shared.setdefault("optimizer", "adamw")
    return _hash(shared)


def dropping_signature(config: Mapping[str, Any]) -> str:
    """The signature that `config` would have if none of its dropout probabilities were 0 (for a user's model)."""
    return signature({**config, **dict.fromkeys(dropout_names(config), 1.0)})


def mixed_signature(config: Mapping[str, Any], mixes: tuple[str, ...]) -> str:
    """Equal for configs that may train together where the entries called `mixes` may differ as well."""
    return _hash({k: v for k, v in config.items() if not lane_name(k) and k not in mixes})


def group(config: Mapping[str, Any], mixes: tuple[str, ...], *, own_factory: bool = True) -> str:
    """By what a driver sorts trials: "group/subgroup", or a group that has no subgroups.

    Where models mix, the group is the mixed signature; a worker on a GPU, which cannot mix, asks for one subgroup. Of a
    user's model with dropout, the group is that of trials that drop; trials with a probability of 0 are a subgroup.
    """
    narrow = signature(config, own_factory=own_factory)
    if mixes:
        return f"{mixed_signature(config, mixes)}/{narrow}"
    return f"{dropping_signature(config)}/{narrow}" if own_factory and dropout_names(config) else narrow


def _hash(shared: Mapping[str, Any]) -> str:
    text = json.dumps(shared, sort_keys=True, default=repr)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
