"""Maximal update parametrization: hyperparameters found on a narrow model hold for a wide one.

The form without multipliers in the forward pass (Yang et al. 2022, "Tensor Programs V", table 3), so that it serves any
model, a user's own too: which sizes grow with width is found by building the model three times without memory (on the
meta device) at `base_width`, twice that, and the real width. With m = how often an axis is larger than at `base_width`:

    tensor                              initial std        Adam-like lr   SGD lr        lr * decay
    hidden matrix (both axes grow)      as built           / m            unchanged     unchanged
    output (inputs grow, outputs not)   as built / sqrt m  / m            / m           unchanged
    input, bias, gain (outputs grow)    as built (1)       unchanged      * m           unchanged

    (1) a bias drawn by the fan-in of a layer whose inputs grow is brought back to its size at `base_width`

"As built" is a fan-in rule (std ~ 1 / sqrt(fan-in)), which every layer of torch and every family here follows; at
`base_width` nothing changes at all. Adam's eps is divided by the size of the gradients, 1 / m for all but vectors' own.
Muon's updates have the size of AdamW's in every entry (0.2), so orthogonal ones need 1 / sqrt(m) to keep their largest
singular value; Adafactor scales updates by the weights' own size, which leaves 1 / sqrt(m) too.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from automl.data.shapes import Inputs, Outputs
from automl.errors import SpecError

Build = Callable[..., nn.Module]


@dataclass(frozen=True)
class Role:
    """`kind`: "hidden", "output", "input" or "fixed"; `m`: growth of its inputs (hidden, output) or outputs (input)."""

    kind: str
    m: float


@dataclass(frozen=True)
class Factors:
    """What muP multiplies for one tensor (table above): learning rate, weight decay, Adam's eps."""

    lr: float = 1.0
    weight_decay: float = 1.0
    eps: float = 1.0


def roles(build: Build, config: Mapping[str, Any], inputs: Inputs, outputs: Outputs) -> dict[str, Role]:
    """The role of every parameter. `config` needs `width` and may have `base_width` (64).

    Axis 0 is outputs and axis 1 inputs, as in every torch layer; an embedding's rows are its inputs. Raises SpecError
    when the model does not depend on `width`.
    """
    base = int(config.get("base_width", 64))
    if "width" not in config:
        raise SpecError("parametrization mup: the config has no `width` to grow")
    narrow, wider, real = (
        _shapes(build, {**config, "width": w}, inputs, outputs) for w in (base, 2 * base, config["width"])
    )
    if narrow == wider:
        raise SpecError("parametrization mup: the model does not change with `width`")
    embeddings = _embeddings(build, config, inputs, outputs)
    return {name: _role(narrow[name], wider[name], real[name], name in embeddings) for name in narrow}


def _role(narrow: torch.Size, wider: torch.Size, real: torch.Size, embedding: bool) -> Role:
    grows = [a != b for a, b in zip(narrow, wider, strict=True)]
    if not any(grows):
        return Role("fixed", 1.0)
    if embedding or len(narrow) == 1:
        axis = grows.index(True)
        return Role("input", real[axis] / narrow[axis])
    if not grows[1]:
        axis = grows.index(True)
        return Role("input", real[axis] / narrow[axis])
    return Role("hidden" if grows[0] else "output", real[1] / narrow[1])


def _shapes(build: Build, config: Mapping[str, Any], inputs: Inputs, outputs: Outputs) -> dict[str, torch.Size]:
    return {name: p.shape for name, p in _weightless(build, config, inputs, outputs).named_parameters()}


def _embeddings(build: Build, config: Mapping[str, Any], inputs: Inputs, outputs: Outputs) -> set[str]:
    modules = _weightless(build, config, inputs, outputs).named_modules()
    return {f"{name}.weight" for name, module in modules if isinstance(module, nn.Embedding)}


def _weightless(build: Build, config: Mapping[str, Any], inputs: Inputs, outputs: Outputs) -> nn.Module:
    """The model on the meta device, or in memory when its code needs values to be built."""
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                return build(dict(config), inputs, outputs)
        except (RuntimeError, NotImplementedError):
            return build(dict(config), inputs, outputs)


def rescale(model: nn.Module, found: Mapping[str, Role]) -> None:
    """Bring a freshly built model to muP: outputs shrink, biases keep their size at `base_width`."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if found[name].kind == "output":
                p.div_(math.sqrt(found[name].m))
            weight = found.get(f"{name.removesuffix('bias')}weight") if name.endswith(".bias") else None
            if weight is not None and weight.kind in ("hidden", "output"):  # torch draws biases by fan-in too
                p.mul_(math.sqrt(weight.m))


def factors(found: Mapping[str, Role], optimizer: str) -> dict[str, Factors]:
    """Learning-rate, decay and eps factors per parameter for `optimizer`."""
    return {name: _factors(role, optimizer) for name, role in found.items()}


def _factors(role: Role, optimizer: str) -> Factors:
    matrix = role.kind in ("hidden", "output")
    if optimizer == "sgd":
        rate = {"hidden": 1.0, "output": 1 / role.m, "input": role.m, "fixed": 1.0}[role.kind]
    elif optimizer == "adafactor":
        rate = 1 / math.sqrt(role.m) if role.kind == "hidden" else 1.0
    elif optimizer == "muon" and role.kind == "hidden":
        rate = 1 / math.sqrt(role.m)
    else:
        rate = 1 / role.m if matrix else 1.0
    eps = 1.0 if role.kind in ("output", "fixed") else 1 / role.m
    return Factors(lr=rate, weight_decay=1 / rate, eps=eps)


def hidden(found: Mapping[str, Role]) -> frozenset[str]:
    """The names Muon takes."""
    return frozenset(name for name, role in found.items() if role.kind == "hidden")
