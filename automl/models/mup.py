"""Maximal update parametrization (muP): hyperparameters found on a narrow model also suit a wide one.

This is the form without multipliers in the forward pass (Yang et al. 2022, "Tensor Programs V", table 3), so that it
works for any model, also a user's own. Which axes of a tensor grow with the width is found by building the model three
times without memory (on the meta device): at `base_width`, twice that, and the real width. With m = size of an axis
divided by its size at `base_width`:

    tensor                              initial std        Adam-like lr   SGD lr        lr * decay
    hidden matrix (both axes grow)      as built           / m            unchanged     unchanged
    output (inputs grow, outputs not)   as built / sqrt m  / m            / m           unchanged
    input, bias, gain (outputs grow)    as built (1)       unchanged      * m           unchanged

    (1) a bias that was drawn by the fan-in of a layer whose inputs grow is scaled back to its size at `base_width`

"As built" must follow the fan-in rule (std ~ 1 / sqrt(fan-in)), as every layer of torch and every family here does. At
`base_width` nothing changes. Adam's eps is divided by m where the gradients shrink by m, that is for all but output
tensors and those of fixed size. In Muon's updates every entry has the size of AdamW's (0.2), so orthogonal updates need
1 / sqrt(m) to keep their largest singular value; Adafactor scales updates by the size of the weights, which leaves
1 / sqrt(m) too.
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
    """How a tensor depends on the width.

    Attributes:
        kind: "hidden", "output", "input" or "fixed", the rows of the table above; "fixed" does not depend on it.
        m: size of its input axis (hidden, output) or output axis (input), divided by the size at `base_width`.
    """

    kind: str
    m: float


@dataclass(frozen=True)
class Factors:
    """By what muP multiplies learning rate, weight decay and Adam's eps for one tensor (table above)."""

    lr: float = 1.0
    weight_decay: float = 1.0
    eps: float = 1.0


def roles(build: Build, config: Mapping[str, Any], inputs: Inputs, outputs: Outputs) -> dict[str, Role]:
    """The role of every parameter, by name.

    Axis 0 of a tensor is taken for outputs and axis 1 for inputs, as in every torch layer; the rows of an embedding are
    its inputs.

    Args:
        build: builds the model, `build(config, inputs, outputs)`.
        config: needs `width`, and may have `base_width` (default 64).
        inputs: layout of one sample.
        outputs: number and kind of output units.

    Raises:
        SpecError: the config has no `width`, or the model does not depend on it.
    """
    base = int(config.get("base_width", 64))
    if "width" not in config:
        raise SpecError("parametrization mup: the config has no `width`")
    narrow, wider, real = (
        _shapes(build, {**config, "width": w}, inputs, outputs) for w in (base, 2 * base, config["width"])
    )
    if narrow == wider:
        raise SpecError("parametrization mup: the model does not change with `width`")
    embeddings = _embeddings(build, config, inputs, outputs)
    return {name: _role(narrow[name], wider[name], real[name], name in embeddings) for name in narrow}


def _role(narrow: torch.Size, wider: torch.Size, real: torch.Size, embedding: bool) -> Role:
    """The role of a tensor, from its shapes at `base_width`, twice that, and the real width."""
    grows = [a != b for a, b in zip(narrow, wider, strict=True)]
    if not any(grows):
        return Role("fixed", 1.0)
    if embedding or len(narrow) == 1 or not grows[1]:
        axis = grows.index(True)
        return Role("input", real[axis] / narrow[axis])
    return Role("hidden" if grows[0] else "output", real[1] / narrow[1])


def _shapes(build: Build, config: Mapping[str, Any], inputs: Inputs, outputs: Outputs) -> dict[str, torch.Size]:
    return {name: p.shape for name, p in _weightless(build, config, inputs, outputs).named_parameters()}


def _embeddings(build: Build, config: Mapping[str, Any], inputs: Inputs, outputs: Outputs) -> set[str]:
    modules = _weightless(build, config, inputs, outputs).named_modules()
    return {f"{name}.weight" for name, module in modules if isinstance(module, nn.Embedding)}


def _weightless(build: Build, config: Mapping[str, Any], inputs: Inputs, outputs: Outputs) -> nn.Module:
    """The model on the meta device, or in memory where building it needs values of tensors."""
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                return build(dict(config), inputs, outputs)
        except (RuntimeError, NotImplementedError):
            return build(dict(config), inputs, outputs)


def rescale(model: nn.Module, by_name: Mapping[str, Role]) -> None:
    """Scale the initial weights of a new model, in place, to muP's: outputs shrink, biases keep their base size.

    Args:
        model: as its `build` made it.
        by_name: the role of each parameter, from `roles`.
    """
    with torch.no_grad():
        for name, p in model.named_parameters():
            if by_name[name].kind == "output":
                p.div_(math.sqrt(by_name[name].m))
            weight = by_name.get(f"{name.removesuffix('bias')}weight") if name.endswith(".bias") else None
            if weight is not None and weight.kind in ("hidden", "output"):  # torch draws biases by fan-in too
                p.mul_(math.sqrt(weight.m))


def factors(by_name: Mapping[str, Role], optimizer: str) -> dict[str, Factors]:
    """The factors of every parameter (from `roles`) for an optimizer, by name."""
    return {name: _factors(role, optimizer) for name, role in by_name.items()}


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


def hidden(by_name: Mapping[str, Role]) -> frozenset[str]:
    """The names of the hidden matrices, which Muon orthogonalizes."""
    return frozenset(name for name, role in by_name.items() if role.kind == "hidden")
