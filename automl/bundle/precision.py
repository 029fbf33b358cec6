"""Predictions in float64: in float32 the last digits of a row's prediction depend on how many rows are asked for."""

from typing import TypeVar

import torch
from torch import Tensor, nn

from automl.bundle.ensemble import Ensemble
from automl.bundle.model import Model

Predictor = TypeVar("Predictor", bound=Model | Ensemble)


class InDouble(nn.Module):
    """Computes a network in float64, whatever its inputs are in; token codes stay whole numbers."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner.double()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x.double() if x.is_floating_point() else x)
        return out


def in_double(model: Predictor) -> Predictor:
    """The model, or ensemble, with networks that compute in float64; changed in place."""
    members = model.models if isinstance(model, Ensemble) else [model]
    for member in members:
        if not isinstance(member.module, InDouble):
            with torch.no_grad():
                member.module = InDouble(member.module)
    return model
