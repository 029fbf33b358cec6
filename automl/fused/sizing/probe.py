"""May this model be fused? Three lanes, one real batch: outputs, every gradient of every lane, and buffers, compared.

A `try` is not enough: `vmap` of some modules runs without a complaint and gives wrong gradients. The plain module, as
the user wrote it, is the judge; dropout is compared against the same module alone with the same masks.
"""

import copy
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from automl.data.prepared import Part
from automl.fused.modules.blueprint import Blueprint
from automl.fused.modules.context import running
from automl.fused.tensors import layout as lay
from automl.fused.tensors import losses
from automl.fused.tensors.batches import gather
from automl.fused.uniform.cohort import Cohort
from automl.fused.uniform.epoch import PieceEpoch
from automl.fused.uniform.stepper import SoloStepper, mode, stepper

LANES, TOLERANCE = 3, 2e-3
REMEDIES = {
    "data-dependent": "keep values of tensors out of Python control flow (no .item(), float() or boolean indexing)",
    "control flow": "keep values of tensors out of Python control flow (no .item(), float() or boolean indexing)",
    ".item()": "keep values of tensors out of Python control flow (no .item(), float() or boolean indexing)",
    "randomness": "draw random numbers through nn.Dropout, whose masks belong to each lane",
    "outside of a fused": "draw random numbers through nn.Dropout modules registered on the model",
    "in-place": "do not write in place into tensors that all lanes share",
    "must return one tensor": "let forward return a single tensor",
    "dtype": "use one floating dtype for all trainable parameters",
}


@dataclass(frozen=True)
class Fusion:
    """The answer: `ok`, or the `reason` and `remedy`; `slow` names operations that run lane by lane."""

    ok: bool
    reason: str = ""
    remedy: str = ""
    slow: tuple[str, ...] = ()

    def sentence(self) -> str:
        """One sentence for the screen, empty when fusing works."""
        return "" if self.ok else f"trials of this model run one at a time: {self.reason}; {self.remedy}"


def probe(blueprint: Blueprint, config: Mapping[str, Any], kind: str, data: Part, batch: int = 16) -> Fusion:
    """Compare three lanes with three plain modules on the first samples of `data`; never raises for a model's fault."""
    few = data.head(batch)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            reason = _compare(blueprint, dict(config), kind, few)
        except Exception as error:  # whatever a user's model raises under vmap means: not fusable
            reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:160]}"
    slow = tuple(sorted({str(w.message).split("for ")[1].split(". ")[0] for w in caught
                         if "performance drop" in str(w.message) and "for " in str(w.message)}))  # fmt: skip
    if not reason:
        return Fusion(True, slow=slow)
    remedy = next((r for key, r in REMEDIES.items() if key in reason), "nothing is lost but speed")
    return Fusion(False, reason, remedy, slow)


def _compare(blueprint: Blueprint, config: dict[str, Any], kind: str, data: Part) -> str:
    silent = {**config, **{name: 0.0 for name in config if name in ("label_smoothing", "clip")}}
    fused = _one_step(blueprint, silent, kind, data, LANES, drop=False)
    for lane in range(LANES):
        plain = plain_step(blueprint, silent, kind, data, 1000 + lane, fused.chosen[lane : lane + 1])
        complaint = difference(fused, plain, lane)
        if complaint:
            return complaint
    masked = _one_step(blueprint, silent, kind, data, LANES, drop=True)
    for lane in range(LANES):
        alone = _one_step(blueprint, silent, kind, data, 1, drop=True, first_seed=lane)
        complaint = difference(masked, alone, lane, 0)
        if complaint:
            return f"with dropout, {complaint}"
    return ""


@dataclass(frozen=True)
class Step:
    """What one forward and backward pass left: all with the lane axis in front; `chosen` are the sample indices."""

    out: Tensor
    gradients: dict[str, Tensor]
    buffers: dict[str, Tensor]
    chosen: Tensor


def _one_step(blueprint: Blueprint, config: dict[str, Any], kind: str, data: Part, lanes_wanted: int, *, drop: bool,
              first_seed: int = 0) -> Step:  # fmt: skip
    cohort = Cohort(blueprint, config)
    cohort.resize(1 if lanes_wanted == 1 else 4)
    for j in range(lanes_wanted):
        cohort.admit(j, config, 1000 + first_seed + j, 1, None)
    if not drop:
        for lane in cohort.lanes:
            lane.drops = dict.fromkeys(lane.drops, 0.0)
    pass_over = SoloStepper(cohort) if lanes_wanted == 1 else stepper(cohort).pieces[0]
    epoch = PieceEpoch(cohort, pass_over, kind, data, 1)
    chosen = epoch.order[:, : len(data)]
    x, y, weight = gather(data, chosen)
    with running(epoch.draw), mode(pass_over, True):
        out = pass_over.outputs(epoch.draw, x)
        _, gradient = losses.gradient(kind, out.detach(), y, weight, None)
        if isinstance(pass_over, SoloStepper):
            _backward(out, gradient)
        else:
            pass_over.backward(epoch.draw, out, gradient)
    if isinstance(pass_over, SoloStepper):
        pass_over.collect()
        found = {n: g.unsqueeze(0) for n, g in pass_over.gradients.items()}
    else:
        found = dict(pass_over.gradients)
    copies = {n: g.clone() for n, g in found.items()}
    return Step(out.detach().clone(), copies, {n: b.clone() for n, b in cohort.buffers.items()}, chosen)


def plain_step(blueprint: Blueprint, config: Mapping[str, Any], kind: str, data: Part, seed: int,
               chosen: Tensor) -> Step:  # fmt: skip
    """The same of the module as the user wrote it, on the samples `chosen` `[1, B]`."""
    module = copy.deepcopy(blueprint.module(config, seed)).to(blueprint.device).train()
    _silence(module)
    x, y, weight = gather(data, chosen)
    out = module(x[0])
    _, gradient = losses.gradient(kind, out.detach().unsqueeze(0), y, weight, None)
    _backward(out, gradient[0])
    gradients = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in lay.trainable(module)}
    return Step(out.detach(), gradients, dict(lay.constants(module)), chosen)


def _backward(out: Tensor, gradient: Tensor) -> None:
    """`out.backward(gradient)`, which would import sympy to compare shapes: a third of a second before a search."""
    (out * gradient).sum().backward()  # type: ignore[no-untyped-call]


def _silence(module: nn.Module) -> None:
    """Set every dropout probability to 0, also those that attention and recurrent layers keep for themselves."""
    for child in module.modules():
        if isinstance(child, nn.modules.dropout._DropoutNd):
            child.p = 0.0
        elif isinstance(child, (nn.MultiheadAttention, nn.RNNBase)):
            child.dropout = 0.0


def difference(fused: Step, plain: Step, lane: int, plain_lane: int | None = None) -> str:
    """What differs, in words, or an empty string. `plain_lane` indexes a step that has a lane axis."""

    def pick(value: Tensor) -> Tensor:
        return value if plain_lane is None else value[plain_lane]

    largest = max((float(pick(g).abs().max()) for g in plain.gradients.values() if g.numel()), default=0.0)
    checks: Sequence[tuple[str, Tensor, Tensor, float]] = [
        ("output", fused.out[lane], pick(plain.out), 0.0),
        *(
            (f"gradient of {n!r}", fused.gradients[n][lane], pick(g), 1e-2 * largest)
            for n, g in plain.gradients.items()
        ),
        *((f"buffer {n!r}", fused.buffers[n][lane], pick(b), 0.0) for n, b in plain.buffers.items()),
    ]
    for name, ours, theirs, floor in checks:
        error = _relative(ours, theirs, floor)
        if not error <= TOLERANCE:
            return f"the fused {name} is wrong (lane {lane}, relative error {error:.1e})"
    return ""


def _relative(ours: Tensor, theirs: Tensor, floor: float) -> float:
    if ours.shape != theirs.shape:
        return float("inf")
    if not ours.numel():
        return 0.0
    ours, theirs = ours.double(), theirs.double()
    return float((ours - theirs).abs().max()) / max(float(theirs.abs().max()), floor, 1e-6)


__all__ = ["Fusion", "Step", "difference", "plain_step", "probe"]
