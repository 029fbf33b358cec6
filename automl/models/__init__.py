"""Built-in model families. Each is a function `build(config, inputs, outputs) -> nn.Module`, as a user's own would be.

`families()` and `defaults` load no torch; `build(name)` does.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from automl.data.shapes import Inputs, Outputs
from automl.errors import SpecError, did_you_mean

if TYPE_CHECKING:
    from torch import nn

Build = Callable[[Mapping[str, Any], Inputs, Outputs], "nn.Module"]


@dataclass(frozen=True)
class Family:
    """`module`: where `build` lives. `defaults`: every name the family reads, with the value used when it is absent."""

    name: str
    module: str
    defaults: Mapping[str, Any]
    doc: str

    @property
    def build(self) -> Build:
        """The building function; loads torch."""
        built: Build = importlib.import_module(self.module).build
        return built


_FAMILIES = (
    Family(
        "mlp",
        "automl.models.mlp",
        {"depth": 2, "width": 128, "activation": "relu", "norm": "none", "residual": False, "dropout": 0.0,
         "embedding": 16, "parametrization": "standard", "base_width": 64},
        "fully connected layers: depth, width, activation, norm, residual, dropout",
    ),
)  # fmt: skip


def families() -> dict[str, Family]:
    """Name -> family, in the order in which they are shown."""
    return {family.name: family for family in _FAMILIES}


def family(name: str) -> Family:
    """The family of that name. Raises SpecError with the nearest name."""
    known = families()
    if name not in known:
        raise SpecError(f"unknown model family {name!r}{did_you_mean(name, known)}; families: {', '.join(known)}")
    return known[name]


def build(name: str) -> Build:
    """The building function of the family `name`. Loads torch."""
    return family(name).build
