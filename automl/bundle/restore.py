"""From a saved description and weights back to a module: finds the code, builds the model, fills in the weights."""

import importlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from automl import models
from automl.data.shapes import Inputs, Outputs
from automl.errors import BundleError
from automl.models import Build, adjusting
from automl.models.combined.bagged import build_saved


def builder(model: str, *, trust: bool) -> Build:
    """The function that builds a model.

    Args:
        model: a built-in family's name, or `package.module:function`.
        trust: whether code outside this package may be imported.

    Raises:
        BundleError: the code is not trusted, or cannot be imported.
    """
    if model in models.families():
        return models.build(model)
    if not trust:
        raise BundleError(
            f"the model is {model!r}, code outside this bundle: pass build=..., or trust=True to import it"
        )
    module, _, name = model.partition(":")
    try:
        function: Build = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise BundleError(f"the model {model!r} cannot be imported: {error}") from error
    return function


def restore(
    build: Build, config: Mapping[str, Any], inputs: Inputs, outputs: Outputs, weights: Mapping[str, Tensor]
) -> nn.Module:
    """Build the model of `config` and load `weights`; it comes back in evaluation mode.

    Its logits are adjusted if they were (`models.adjusting`). The global random numbers of torch are left as they were.

    Raises:
        BundleError: names or shapes of the weights do not fit the model.
    """
    with torch.random.fork_rng(devices=[]):
        module = build_saved(build, config, inputs, outputs)
    try:
        missing, unexpected = module.load_state_dict(adjusting.without(weights), strict=False)
    except RuntimeError as error:
        raise BundleError(f"the weights do not fit the model: {error}") from error
    if unexpected or set(missing) - tied(module):
        raise BundleError(f"the weights do not fit the model: {[*missing, *unexpected][:4]} missing or unexpected")
    return adjusting.adjusted(module, weights).eval()


def untied(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`weights` without further names of one memory, which safetensors refuses: the first name keeps it."""
    seen: dict[int, str] = {}
    return {
        name: value for name, value in weights.items() if seen.setdefault(value.data_ptr() or id(value), name) == name
    }


def tied(module: nn.Module) -> set[str]:
    """Names of parameters that share their memory with another one (tied weights)."""
    values = module.state_dict(keep_vars=True)
    ids = [id(value) for value in values.values()]
    return {name for name, value in values.items() if ids.count(id(value)) > 1}
