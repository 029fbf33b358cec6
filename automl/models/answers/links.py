"""Networks whose answer is made of their outputs: quantiles in their order, rates of counts.

A network learns by its outputs as they are (see `automl.metrics.kinds` for the losses); its answer is what is scored,
saved and exported.

Shape letters: ... lanes and rows, D values of a target, Q quantiles of each.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from automl.data.shapes import Outputs
from automl.errors import SpecError
from automl.metrics.kinds.counts import MOST

KINDS = ("quantiles", "counts")


class Linked(nn.Module):
    """`inner` in training; in evaluation the answer that its outputs [B, U] stand for.

    - quantiles: those of one target are sorted. That keeps them from crossing, and never raises their mean pinball loss
      (Chernozhukov, Fernandez-Val and Galichon 2010, "Quantile and probability curves without crossing", prop. 4).
    - counts: the outputs are logarithms of rates, the answers the rates.

    Args:
        inner: the network.
        link: `Outputs.link`.

    Raises:
        SpecError: it is of no known kind.
    """

    def __init__(self, inner: nn.Module, link: Mapping[str, Any]) -> None:
        super().__init__()
        self.inner, self.kind, self.each = inner, link.get("kind"), link.get("each", 1)
        if self.kind not in KINDS or type(self.each) is not int or self.each < 1:
            raise SpecError(f"outputs: the link {dict(link)!r} is none of {', '.join(KINDS)}")

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x)
        return out if self.training else self.answer(out)

    def answer(self, out: Tensor) -> Tensor:
        """[..., U] of outputs [..., U]."""
        if self.kind == "counts":
            return out.clamp_max(MOST).exp()
        return out.reshape(*out.shape[:-1], -1, self.each).sort(-1).values.flatten(-2)


def linked(module: nn.Module, outputs: Outputs) -> nn.Module:
    """The network with what makes its answers; the network itself where its outputs are the answers."""
    link = getattr(outputs, "link", None)
    return module if link is None else Linked(module, link)
