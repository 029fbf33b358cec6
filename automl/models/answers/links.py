"""Networks whose answer is made of their outputs: sorted quantiles, rates of counts, ordered classes, labels.

Shape letters: ... lanes and rows, D values of a target, Q quantiles of each, C classes.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, softplus

from automl.data.shapes import Outputs
from automl.errors import SpecError
from automl.metrics.kinds.counts import MOST

KINDS = ("quantiles", "counts", "ordinal", "labels")


class Linked(nn.Module):
    """`inner` with the answer that its outputs [B, U] stand for.

    - quantiles: those of one target are sorted. That keeps them from crossing, and never raises their mean pinball loss
      (Chernozhukov, Fernandez-Val and Galichon 2010, "Quantile and probability curves without crossing", prop. 4).
      In training the outputs stay as they are.
    - counts: the outputs are logarithms of rates, the answers the rates. In training the outputs stay as they are.
    - labels: the outputs are logits, the answers probabilities. In training the outputs stay as they are.
    - ordinal: C - 1 outputs make the logarithms of the probabilities of C ordered classes, see `ordered`.

    Args:
        inner: the network.
        link: `Outputs.link`.

    Attributes:
        learned: whether the answer is also what the loss of training takes.

    Raises:
        SpecError: the link is of no known kind.
    """

    def __init__(self, inner: nn.Module, link: Mapping[str, Any]) -> None:
        super().__init__()
        self.inner, self.kind, self.each = inner, link.get("kind"), link.get("each", 1)
        self.learned = self.kind == "ordinal"
        if self.kind not in KINDS or type(self.each) is not int or self.each < 1:
            raise SpecError(f"outputs: the link {dict(link)!r} is none of {', '.join(KINDS)}")

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x)
        return out if self.training and not self.learned else self.answer(out)

    def answer(self, out: Tensor) -> Tensor:
        """The answer of outputs [..., U]."""
        if self.kind == "counts":
            return out.clamp_max(MOST).exp()
        if self.kind == "labels":
            return out.sigmoid()
        if self.kind == "ordinal":
            return ordered(out)
        return out.reshape(*out.shape[:-1], -1, self.each).sort(-1).values.flatten(-2)


def ordered(out: Tensor) -> Tensor:
    """[..., C] logarithms of the probabilities of ordered classes, from C - 1 outputs [..., C - 1].

    Cumulative logits (McCullagh 1980, "Regression models for ordinal data", eq. 2.3): the class is above k with the
    probability sigmoid(z_k), where z_0 is the first output, and z_k = z_(k-1) - softplus(output k), so that the z fall
    and no probability is negative. The steps between them may differ from row to row.
    """
    steps = out[..., 1:]
    z = out[..., :1] - torch.cat([torch.zeros_like(out[..., :1]), softplus(steps)], -1).cumsum(-1)
    inside = logsigmoid(z[..., :-1]) + logsigmoid(-z[..., 1:]) + logsigmoid(steps)  # sigmoid(z_(k-1)) - sigmoid(z_k)
    return torch.cat([logsigmoid(-z[..., :1]), inside, logsigmoid(z[..., -1:])], -1)


def learned(outputs: Outputs, *, grown: bool = False) -> Outputs:
    """What the inner network of a `Linked` returns.

    Args:
        outputs: what the whole returns.
        grown: the family is grown, and learns ordered classes as classes.
    """
    link = getattr(outputs, "link", None)
    if link is None or link.get("kind") != "ordinal" or grown:
        return outputs
    return Outputs(int(outputs) - 1, "values")


def linked(module: nn.Module, outputs: Outputs, *, grown: bool = False) -> nn.Module:
    """The network with what makes its answers; the network itself where its outputs are the answers.

    Arguments as for `learned`.
    """
    link = getattr(outputs, "link", None)
    if link is None or (grown and link.get("kind") == "ordinal"):
        return module
    return Linked(module, link)
