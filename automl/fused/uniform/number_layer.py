"""What may stand before and behind a plain stack: embeddings of numbers, and curves of targets; by hand for all lanes.

The formulas are those of `automl.models.numbers.NumberEmbedding`. It is the first layer that learns, so the gradient of
its input is never wanted.

Shape letters: K lanes, B batch, D numeric columns, C further columns, F features of a column, S values for each.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from automl.fused.modules.context import Draw
from automl.models.numbers import NumberEmbedding

TURN = 2 * math.pi


class NumberLayer:
    """[K, B, D + C] -> [K, B, D * S + C].

    Args:
        module: the template, for its kind and its bins.
        p: name -> parameter of all lanes: `frequencies` (and `phases`) [K, D, F], `weight` [K, D, F, S], `bias`
            [K, D, S].
        g: name -> where its gradient goes.
    """

    def __init__(self, module: NumberEmbedding, p: dict[str, Tensor], g: dict[str, Tensor]) -> None:
        self.module, self.p, self.g = module, p, g

    def forward(self, context: Draw, x: Tensor) -> Tensor:
        """Training output."""
        return self.predict(x)

    def predict(self, x: Tensor) -> Tensor:
        """Evaluation output, the same; what the backward pass needs is kept."""
        columns = self.module.columns
        numbers = x[..., :columns].transpose(1, 2).unsqueeze(-1)  # [K, D, B, 1]
        self.numbers, self.features = numbers, self._features(numbers)
        weight = self.p["weight"]
        k, d, f, s = weight.shape
        bias = self.p["bias"].reshape(k * d, 1, s)
        rows = torch.baddbmm(bias, self.features.reshape(k * d, -1, f), weight.reshape(k * d, f, s)).relu_()
        self.rows = rows  # [K * D, B, S]
        embedded = rows.view(k, d, -1, s).transpose(1, 2).flatten(2)
        return torch.cat([embedded, x[..., columns:]], dim=-1)

    def backward(self, g: Tensor, wanted: bool) -> None:
        """Gradients of the parameters; None, as there is nothing below."""
        weight = self.p["weight"]
        k, d, f, s = weight.shape
        rows = g[..., : d * s].reshape(k, -1, d, s).transpose(1, 2).reshape(k * d, -1, s) * (self.rows > 0)
        torch.sum(rows.view(k, d, -1, s), dim=2, out=self.g["bias"])
        features = self.features.reshape(k * d, -1, f)
        self.g["weight"].copy_(torch.bmm(features.transpose(1, 2), rows).view(k, d, f, s))
        if self.module.kind == "piecewise":
            return
        below = torch.bmm(rows, weight.reshape(k * d, f, s).transpose(1, 2)).view(self.features.shape)
        self._learned(below)

    def _features(self, at: Tensor) -> Tensor:
        """[K, D, B, F] of numbers [K, D, B, 1]; keeps sines and cosines."""
        if self.module.kind == "piecewise":
            low, high = self.module.edges[:-1], self.module.edges[1:]
            return torch.clamp((at - low) / (high - low), self.module.least, self.module.most)
        angle = TURN * at * self.p["frequencies"].unsqueeze(2)
        if self.module.kind == "cosine":
            angle = angle + TURN * self.p["phases"].unsqueeze(2)
            self.sine = torch.sin(angle)
            return torch.cos(angle)
        return torch.cat([torch.cos(angle), torch.sin(angle)], dim=-1)

    def _learned(self, g: Tensor) -> None:
        """From the gradient of the features [K, D, B, F] to that of the frequencies, and of the phases."""
        if self.module.kind == "cosine":
            turned = g * self.sine * -TURN  # of the angle in turns
            torch.sum(turned, dim=2, out=self.g["phases"])
        else:
            cosine, sine = self.features.chunk(2, dim=-1)
            of_cosine, of_sine = g.chunk(2, dim=-1)
            turned = (of_sine * cosine - of_cosine * sine) * TURN
        self.g["frequencies"].copy_((turned * self.numbers).sum(2))


class AnswerLayer:
    """Outputs [K, B, D] as they are in training; in evaluation the answer made of them, see `automl.models.answers`.

    Args:
        answer: makes it.
    """

    def __init__(self, answer: Callable[[Tensor], Tensor]) -> None:
        self.answer = answer

    def forward(self, context: Draw, x: Tensor) -> Tensor:
        """Training output: unchanged."""
        return x

    def predict(self, x: Tensor) -> Tensor:
        """The answer."""
        return self.answer(x)

    def backward(self, g: Tensor, wanted: bool) -> Tensor:
        """Unchanged."""
        return g


class DerivedLayer:
    """The answer made of outputs [K, B, D] in training too, its gradient by autograd.

    Args:
        answer: makes it.
    """

    def __init__(self, answer: Callable[[Tensor], Tensor]) -> None:
        self.answer = answer

    def forward(self, context: Draw, x: Tensor) -> Tensor:
        """The answer, with what its gradient needs."""
        self.x = x.detach().requires_grad_()
        with torch.enable_grad():
            self.y = self.answer(self.x)
        return self.y.detach()

    def predict(self, x: Tensor) -> Tensor:
        """The answer."""
        return self.answer(x)

    def backward(self, g: Tensor, wanted: bool) -> Tensor:
        """From the gradient of the answer to that of the outputs."""
        return torch.autograd.grad(self.y, self.x, g)[0]
