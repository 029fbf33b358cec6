"""Which trials may share a cohort: those whose configs differ in lane values only. No torch here.

Everything that shapes tensors or code is part of the signature; what every lane has for itself is not: learning rate,
decay, momentum, betas, smoothing, schedule, clipping, dropout probabilities, augmentation strengths. Where a family's
models can stand side by side at their own shapes (`MIXES`), those, the optimizer and the batch size may differ too.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from automl.training import hyperparameters

FUSABLE = ("adam", "adamw", "lion", "nadam", "rmsprop", "sgd")
"""Optimizers that lanes have; a trial with another one trains alone."""
SHARED_TRAINING = ("optimizer", "batch_size")
MIXES = {"mlp": ("width", "depth", "activation", "norm", "residual", *SHARED_TRAINING)}
"""Family -> what may differ among lanes of a mixed cohort (see `mixed`), besides what may differ in any."""


def lane_name(name: str) -> bool:
    """Whether a config entry may differ between the lanes of a cohort."""
    if name in hyperparameters.NAMES:
        return name not in SHARED_TRAINING
    last = name.rpartition(".")[2]
    return "dropout" in last or last.startswith(("augment_", "mixup", "noise"))


def shared_part(config: Mapping[str, Any], *, zeros: bool = True) -> dict[str, Any]:
    """What the lanes of a cohort have in common.

    `zeros`: a dropout of exactly 0 counts, as a user's factory may leave such layers out; the built-in families do not.
    """
    shared = {k: v for k, v in config.items() if not lane_name(k)}
    for name, value in config.items():
        if zeros and "dropout" in name and isinstance(value, (int, float)):
            shared[name] = value > 0
    shared["ema"] = bool(config.get("ema"))
    shared.setdefault("optimizer", "adamw")
    return shared


def signature(config: Mapping[str, Any], *, zeros: bool = True) -> str:
    """A short text, equal for configs that may train together: a hash of `shared_part`."""
    return _hash(shared_part(config, zeros=zeros))


def mixed_signature(config: Mapping[str, Any], mixes: tuple[str, ...]) -> str:
    """The same where the entries called `mixes` may differ as well."""
    return _hash({k: v for k, v in config.items() if not lane_name(k) and k not in mixes})


def group(config: Mapping[str, Any], mixes: tuple[str, ...], *, zeros: bool = True) -> str:
    """What a driver sorts trials by: the mixed signature and, after a slash, the narrow one.

    A worker that mixes asks for the first, one that cannot (a GPU's) for all of it.
    """
    narrow = signature(config, zeros=zeros)
    return f"{mixed_signature(config, mixes)}/{narrow}" if mixes else narrow


def _hash(shared: Mapping[str, Any]) -> str:
    text = json.dumps(shared, sort_keys=True, default=repr)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
