"""Networks that learn a target on a curve and answer in its standard units, see `automl.data.curves`.

Shape letters: B batch, D values, Q quantiles.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from automl.data.preparing.scaling import scores
from automl.data.shapes import Outputs


class Curved(nn.Module):
    """`inner` in training; in evaluation its outputs [B, D], taken back from the curve.

    Args:
        inner: the network.
        curve: from `automl.data.curves.fit`.
    """

    center: Tensor
    scale: Tensor
    least: Tensor
    most: Tensor
    unit: Tensor
    outer_center: Tensor
    outer_scale: Tensor
    knots: Tensor
    normal: Tensor

    def __init__(self, inner: nn.Module, curve: Mapping[str, Any]) -> None:
        super().__init__()
        self.inner, self.kind = inner, str(curve["kind"])
        for name, entry in curve.items():
            if name != "kind":
                self.register_buffer(name, torch.tensor(entry, dtype=torch.float32), persistent=False)
        if self.kind == "quantile":
            self.register_buffer("normal", torch.from_numpy(scores(len(curve["knots"][0]))).float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x)
        return out if self.training else self.answer(out)

    def answer(self, out: Tensor) -> Tensor:
        """[..., D] outputs on the curve in standard units."""
        if self.kind == "log":
            z = torch.clamp(out * self.scale + self.center, self.least, self.most)
            back: Tensor = (torch.sinh(z) * self.unit - self.outer_center) / self.outer_scale
            return back
        low, width = self.normal[:-1], self.normal[1:] - self.normal[:-1]
        share = torch.clamp((out.unsqueeze(-1) - low) / width, 0.0, 1.0)
        steps: Tensor = self.knots[:, 1:] - self.knots[:, :-1]
        return self.knots[:, 0] + (share * steps).sum(-1)


def curved(module: nn.Module, outputs: Outputs) -> nn.Module:
    """The network with the curve of its target; the network itself where there is none."""
    curve = getattr(outputs, "curve", None)
    return module if curve is None else Curved(module, curve)
