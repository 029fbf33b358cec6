"""Logits adjusted after training, on the validation rows: one temperature, or an offset for each class.

- `calibrate`: logits are divided by the temperature with the lowest log loss (Guo et al. 2017, "On calibration of
  modern neural networks"). Predicted classes stay the same.
- `thresholds`: an offset for each class is chosen by the study's metric, one class after another. Predicted classes
  change, as they would with thresholds other than one half; probabilities are no longer calibrated.

Both are logits * scale + shift, two tensors among the weights of a saved model. Of several labels `thresholds` is a
probability for each from which on it is predicted (`cuts`), a tensor too.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from automl.metrics import rows
from automl.metrics.kinds.kind import kind_of

SCALE, SHIFT = "adjusted.scale", "adjusted.shift"
CUTS = "adjusted.cuts"
"""Names of the tensors."""
ROUNDS, REACH, STEPS = 2, 2.0, 33
"""Passes over the classes, and how many offsets from -REACH to REACH are tried for each class in a pass."""


class Adjusted(nn.Module):
    """[N, C] logits of `inner`, times `scale`, plus `shift` [C]."""

    scale: Tensor
    shift: Tensor

    def __init__(self, inner: nn.Module, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.inner = inner
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    def forward(self, x: Tensor) -> Tensor:
        return self.adjusted(self.inner(x))

    def adjusted(self, out: Tensor) -> Tensor:
        """Of outputs [N, C] of the inner network."""
        return out * self.scale.to(out.device) + self.shift.to(out.device)


class Cut(nn.Module):
    """[N, L] probabilities of labels by `inner`, bent so that what was `cuts` [L] becomes one half."""

    cuts: Tensor

    def __init__(self, inner: nn.Module, cuts: Tensor) -> None:
        super().__init__()
        self.inner = inner
        self.register_buffer("cuts", cuts)

    def forward(self, x: Tensor) -> Tensor:
        return self.adjusted(self.inner(x))

    def adjusted(self, out: Tensor) -> Tensor:
        """Of probabilities [N, L]: the odds p / (1 - p) are divided by those of the cut."""
        cuts = self.cuts.to(out.device)
        up, down = out * (1 - cuts), (1 - out) * cuts
        return up / (up + down)


def fit(
    way: str, metric: str, logits: Tensor, y: Tensor, weight: Tensor | None, kind: str = "classification"
) -> dict[str, Tensor]:
    """The tensors, by name; empty for the way "none".

    Args:
        way: "calibrate", "thresholds" or "none".
        metric: the study's, without `val_`; for `thresholds`.
        logits: [N, C] of the validation rows; of labels their probabilities [N, L].
        y: [N] int64 their classes, or [N, L] 0 or 1.
        weight: [N] or None.
        kind: of the task.
    """
    if way == "thresholds" and kind_of(kind).variant == "labels":
        return {CUTS: cuts(logits, y, weight)}
    scale, shift = torch.ones(1), torch.zeros(logits.shape[1])
    if way == "calibrate":
        scale = torch.tensor([1 / temperature(logits, y, weight)])
    elif way == "thresholds":
        shift = offsets(metric, logits, y, weight, kind)
    else:
        return {}
    return {SCALE: scale, SHIFT: shift}


def temperature(logits: Tensor, y: Tensor, weight: Tensor | None) -> float:
    """The temperature with the lowest log loss, between 1/20 and 20."""
    share = torch.ones(len(y)) if weight is None else weight
    share = (share / share.sum()).double()
    low, high = -3.0, 3.0
    for _ in range(4):  # the loss has one minimum in 1 / T
        tried = torch.linspace(low, high, 21, dtype=torch.float64)
        losses = [
            float((nn.functional.cross_entropy(logits.double() / t, y, reduction="none") * share).sum())
            for t in tried.exp()
        ]
        best, step = float(tried[losses.index(min(losses))]), (high - low) / 20
        low, high = max(-3.0, best - step), min(3.0, best + step)
    return float(torch.tensor(best).exp())


def offsets(metric: str, logits: Tensor, y: Tensor, weight: Tensor | None, kind: str = "classification") -> Tensor:
    """[C] what is added to log-probabilities, for the highest metric; of equals, those nearest to 0."""
    logits = logits.double().log_softmax(-1)
    shift = torch.zeros(logits.shape[1], dtype=torch.float64)

    def value(tried: Tensor) -> float:
        return rows.sample(metric, kind, logits + tried, y, weight).value

    best = value(shift)
    steps = sorted(torch.linspace(-REACH, REACH, STEPS, dtype=torch.float64).tolist(), key=abs)
    for _ in range(ROUNDS):
        for unit in range(len(shift)):
            start = shift.clone()
            for step in steps:
                tried = start.clone()
                tried[unit] = step
                if (found := value(tried)) > best + 1e-9:
                    best, shift = found, tried
    return shift.float()


def cuts(probabilities: Tensor, y: Tensor, weight: Tensor | None) -> Tensor:
    """[L] the probability from which on each label is predicted, for the highest F1 of these rows.

    It lies in the middle between two probabilities that occur; between 0.001 and 0.999.

    Args:
        probabilities: [N, L].
        y: [N, L] 0 or 1.
        weight: [N] or None.
    """
    w = torch.ones(len(y), dtype=torch.float64) if weight is None else weight.double()
    ordered, order = probabilities.double().sort(0, descending=True)
    true = (y.double() * w[:, None]).gather(0, order)
    guessed, hits = w[order].cumsum(0), true.cumsum(0)
    f1 = 2 * hits / (guessed + true.sum(0)).clamp_min(1e-300)
    below = torch.cat([ordered[1:], torch.zeros_like(ordered[:1])])
    f1[ordered == below] = -1.0  # equal probabilities are on one side
    at = f1.argmax(0, keepdim=True)
    return ((ordered.gather(0, at) + below.gather(0, at)) / 2)[0].clamp(1e-3, 1 - 1e-3).float()


def without(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the network itself."""
    return {name: value for name, value in weights.items() if name not in (SCALE, SHIFT, CUTS)}


def with_those_of(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights `own` of a network, with what is among `weights` to adjust its logits."""
    return {**own, **{name: weights[name] for name in (SCALE, SHIFT, CUTS) if name in weights}}


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """The weights of a network, with what adjusts its logits, as they are saved: the opposite of `adjusted`."""
    if isinstance(module, Cut):
        return {**module.inner.state_dict(), CUTS: module.cuts}
    if not isinstance(module, Adjusted):
        return dict(module.state_dict())
    return {**module.inner.state_dict(), SCALE: module.scale, SHIFT: module.shift}


def adjusted(module: nn.Module, weights: Mapping[str, Tensor]) -> nn.Module:
    """The network with what is among its saved weights to adjust its logits; the network itself where nothing is."""
    if CUTS in weights:
        return Cut(module, weights[CUTS].clone())
    if SCALE not in weights or SHIFT not in weights:
        return module
    return Adjusted(module, weights[SCALE].clone(), weights[SHIFT].clone())
