"""What is checked of a bundle's JSON before a model is built from it: a stranger may have written it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from automl.bundle.restore import tied
from automl.data.shapes import Inputs, Outputs
from automl.errors import BundleError
from automl.models import Build
from automl.models.combined.bagged import build_saved

KINDS = ("classification", "regression", "next_token")
LARGEST_SAMPLE = 2**26
"""A sample of more values than this is refused."""


def units(manifest: Mapping[str, Any], folder: Path) -> tuple[Inputs, Outputs]:
    """What goes into the model and comes out, once the manifest is what it has to be.

    Raises:
        BundleError: an entry is missing, or of another kind; says which one.
    """
    for name, kind in (("model", str), ("config", dict), ("inputs", dict), ("outputs", dict), ("metrics", dict)):
        if not isinstance(manifest.get(name), kind):
            raise BundleError(f"{folder}: the entry {name} is missing, or is no {kind.__name__}")
    inputs, outputs = manifest["inputs"], manifest["outputs"]
    sizes = [*_list(inputs, "shape", folder), *_list(inputs, "cardinalities", folder), outputs.get("units")]
    sizes += [inputs["vocabulary"]] if inputs.get("vocabulary") is not None else []
    if not all(type(n) is int and 0 <= n < 2**31 for n in (*sizes, *_list(inputs, "continues", folder))):
        raise BundleError(f"{folder}: a size in inputs or outputs is no whole number")
    made = Inputs.from_json(dict(inputs)), Outputs.from_json(dict(outputs))
    if not 0 < int(made[0]) <= LARGEST_SAMPLE or int(made[1]) < 1:
        raise BundleError(f"{folder}: no sample has {int(made[0])} values and {int(made[1])} outputs")
    if inputs.get("kind") not in ("float", "tokens", "table") or outputs.get("kind") not in (
        "classes",
        "values",
        "tokens",
    ):
        raise BundleError(f"{folder}: inputs or outputs are of an unknown kind")
    task, classes = manifest.get("kind"), manifest.get("classes")
    if task not in KINDS:
        raise BundleError(f"{folder}: the kind {task!r} is none of {', '.join(KINDS)}")
    if task == "classification" and not (isinstance(classes, list) and len(classes) == int(made[1])):
        raise BundleError(f"{folder}: there is not one class for each of the {int(made[1])} outputs")
    if any(isinstance(label, list | dict) for label in classes or ()):
        raise BundleError(f"{folder}: a class is a text, a number or a truth value")
    return made


def _list(inputs: Mapping[str, Any], name: str, folder: Path) -> list[Any]:
    entries = inputs.get(name, [])
    if not isinstance(entries, list):
        raise BundleError(f"{folder}: the entry inputs.{name} is no list")
    return entries


def layers(manifest: Mapping[str, Any], folder: Path) -> dict[str, dict[str, Any]]:
    """The layers of a compressed model whose sizes differ from the original's (see `automl.bundle.compressed.layers`).

    Raises:
        BundleError: the entry is missing, or something else.
    """
    found = manifest.get("layers")
    if not isinstance(found, dict) or not all(isinstance(entry, dict) for entry in found.values()):
        raise BundleError(f"{folder / 'model.json'}: the entry layers is missing, or is no table of layers")
    return found


def preparation(content: Any, inputs: Inputs, folder: Path) -> None:
    """Check that a preparation asks for no more than the model takes.

    Raises:
        BundleError: it does.
    """
    if not isinstance(content, dict) or not isinstance(content.get("form"), str):
        raise BundleError(f"{folder / 'preparation.json'}: not a preparation (it has no form)")
    window = content.get("window")
    if window is not None and not (type(window) is int and 0 < window <= max(inputs.shape)):
        raise BundleError(f"{folder / 'preparation.json'}: the window {window!r} is not the model's")


def fits(
    build: Build, config: Mapping[str, Any], inputs: Inputs, outputs: Outputs, weights: Mapping[str, Tensor]
) -> None:
    """Compare the shapes of a built-in family's layers with those of the weights, before any memory is taken.

    Raises:
        BundleError: they differ, or the model has many more layers than weights.
    """
    most = 4 * len(weights) + 64
    seen = 0

    def count(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen > 8 * most:
            raise BundleError(f"the weights do not fit the model: it has many more layers than {len(weights)} weights")

    hooks = [register_module_module_registration_hook(count), register_module_parameter_registration_hook(count)]
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            module = build_saved(build, config, inputs, outputs)
    finally:
        for hook in hooks:
            hook.remove()
    _compare(module, weights)


def _compare(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    expected = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    for name, value in weights.items():
        if name not in expected:
            raise BundleError(f"the weights do not fit the model: [{name!r}] missing or unexpected")
        if tuple(value.shape) != expected[name]:
            raise BundleError(
                f"the weights do not fit the model: {name} has shape {list(value.shape)}, not {list(expected[name])}"
            )
    if missing := [name for name in expected if name not in weights and name not in tied(module)]:
        raise BundleError(f"the weights do not fit the model: {missing[:4]} missing or unexpected")
