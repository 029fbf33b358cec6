"""Can this model train as lanes? Three lanes, one real batch: outputs, every gradient of every lane, and buffers.

It is not enough that nothing raises: `vmap` of some modules gives wrong gradients without complaint. So lanes are
compared with the plain module as the user wrote it; with dropout, with the same lane alone, which has the same masks.
"""

import copy
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from automl.data.prepared import Part
from automl.errors import out_of_memory
from automl.fused.lane_group import power_of_two
from automl.fused.modules.blueprint import Blueprint
from automl.fused.modules.context import running
from automl.fused.signature import lane_name
from automl.fused.tensors import layout as lay
from automl.fused.tensors import losses
from automl.fused.tensors.batches import gather
from automl.fused.uniform.cohort import UniformCohort
from automl.fused.uniform.cohort_stepper import cohort_stepper, module_mode
from automl.fused.uniform.piece import PieceEpoch
from automl.fused.uniform.stepper import PieceStepper, SoloStepper, full_precision
from automl.training.precision import products

Config = Mapping[str, Any]
LANES, FIRST_SEED = 3, 1000
EXACT, TOLERANCE, ROUGH = 1e-7, 2e-3, 0.2
"""Largest relative errors: in float64, in float32, and where forward passes are cast to a short format."""
FLOORS = {EXACT: 1e-6, TOLERANCE: 1e-2, ROUGH: 1e3}
"""Largest relative error -> gradients below this share of the largest one are measured by that share (1e3: all)."""
READS = "reads hyperparameters that each lane has for itself"
BUILDS_OTHER = "than its cohort"  # in the message of a lane whose shapes differ
NO_VALUES = "keep values of tensors out of Python control flow (no .item(), float() or boolean indexing)"
REMEDIES = {
    "data-dependent": NO_VALUES,
    "control flow": NO_VALUES,
    ".item()": NO_VALUES,
    "dynamic shape": NO_VALUES,
    "randomness": "draw random numbers through nn.Dropout, whose masks belong to each lane",
    "outside of a fused": "draw random numbers through nn.Dropout modules registered on the model",
    "in-place": "do not write in place into tensors that all lanes share",
    "must return one tensor": "let forward return a single tensor",
    READS: "give what the model reads another name",
    "parametrization": "nn.utils.parametrizations are not batched; write the layer without them",
    "pack_padded": "mask the padding instead of packing sequences",
    "PackedSequence": "mask the padding instead of packing sequences",
    "dtype": "use one floating dtype for all trainable parameters",
}
"""A part of the reason -> what a user can do about it."""
OTHER = "nothing is lost but speed"


@dataclass(frozen=True)
class ProbeResult:
    """`ok`, or the `reason` why not and a `remedy`; `slow`: operations that `vmap` runs lane by lane."""

    ok: bool
    reason: str = ""
    remedy: str = ""
    slow: tuple[str, ...] = ()

    def sentence(self) -> str:
        """One sentence for the screen; empty where the model can train as lanes."""
        return "" if self.ok else f"trials of this model run one at a time: {self.reason}; {self.remedy}"


def probe(blueprint: Blueprint, configs: Config | Sequence[Config], kind: str, data: Part,
          batch: int = 16) -> ProbeResult:  # fmt: skip
    """Compare three lanes with three plain modules on the first `batch` samples of `data`.

    Without TF32, in float64, where the order of sums shows in the 16th digit and what is wrong shows at once; in
    float32 where the model itself cannot compute in float64. Whatever the user's model raises becomes the reason of the
    result.

    Args:
        blueprint: of the modules.
        configs: of the trials; the first few are tried, so that a model that reads what each lane has for itself (its
            learning rate, ...) is found.
        kind, data: see `Problem`.
        batch: the number of samples.

    Raises:
        torch.OutOfMemoryError: memory ran out.
    """
    few, given = data.head(batch), [configs] if isinstance(configs, Mapping) else list(configs)
    simple = [{**c, **{n: 0.0 for n in c if n in ("label_smoothing", "clip")}} for c in given[:LANES]]
    with warnings.catch_warnings(record=True) as caught, products(blueprint.device, tf32=False):
        warnings.simplefilter("always")
        reason = _compare(*_exact(replace(blueprint, tf32=False), simple[0], kind, few), simple)
        if not reason and blueprint.autocast is not None:
            reason = _guarded(lambda: _against_plain(blueprint, kind, few, simple, ROUGH))
    slow = tuple(sorted({str(w.message).split("for ")[1].split(". ")[0] for w in caught
                         if "performance drop" in str(w.message) and "for " in str(w.message)}))  # fmt: skip
    if not reason:
        return ProbeResult(True, slow=slow)
    remedy = next((r for key, r in REMEDIES.items() if key in reason), OTHER)
    return ProbeResult(False, reason, remedy, slow)


def _exact(blueprint: Blueprint, config: Config, kind: str, data: Part) -> tuple[Blueprint, str, Part, float]:
    """Blueprint, kind and data of a comparison, and its tolerance: in float64 if the plain module can compute in it."""
    plain = replace(blueprint, autocast=None)
    double, exact = replace(plain, dtype=torch.float64), replace(data, x=_double(data.x), y=_double(data.y))
    try:
        plain_step(double, config, kind, exact, FIRST_SEED, torch.arange(len(data)).unsqueeze(0))
    except Exception as error:  # a float32 constant in a user's model, or what will be told of the float32 model
        if out_of_memory(error):
            raise
        return plain, kind, data, TOLERANCE
    return double, kind, exact, EXACT


def _double(values: Tensor) -> Tensor:
    return values.double() if values.is_floating_point() else values


def _compare(blueprint: Blueprint, kind: str, data: Part, tolerance: float, configs: Sequence[Config]) -> str:
    """What is wrong, or an empty string."""
    reason = _guarded(lambda: _against_plain(blueprint, kind, data, configs, tolerance))
    if reason and len(configs) > 1:
        alike = _guarded(lambda: _against_plain(blueprint, kind, data, configs[:1], tolerance))
        if not alike and BUILDS_OTHER not in reason:
            names = [n for n in configs[0] if any(c.get(n) != configs[0][n] for c in configs) and lane_name(n)]
            return f"the model {READS} ({', '.join(sorted(names))})"
        reason = alike  # lanes of one shape train together, others are turned away when they come
    return reason or _guarded(lambda: _against_itself(blueprint, kind, data, configs[0], tolerance))


def _guarded(compare: Callable[[], str]) -> str:
    """What `compare` says, or what it raises, with the name of the layer."""
    try:
        return compare()
    except Exception as error:  # a user's model may raise anything under vmap
        if out_of_memory(error):
            raise
        text = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:160]}"
        return f"{text}{_layer_of(error)}"


def _layer_of(error: Exception) -> str:
    """The innermost module whose forward raised `error`, in words; empty where it was none."""
    modules = [
        frame.f_locals["self"] for frame, _ in traceback.walk_tb(error.__traceback__)
        if isinstance(frame.f_locals.get("self"), nn.Module)
    ]  # fmt: skip
    if not modules:
        return ""
    names = {id(child): name for name, child in modules[0].named_modules()}
    name = next((names[id(m)] for m in reversed(modules) if names.get(id(m))), "")
    return f" (in layer {name!r})" if name else f" (in {type(modules[-1]).__name__}.forward)"


def _against_plain(blueprint: Blueprint, kind: str, data: Part, configs: Sequence[Config], tolerance: float) -> str:
    """What differs between lanes of these configs (the first for all, where there is one) and plain modules."""
    lanes = [configs[j % len(configs)] for j in range(LANES)]
    fused = lane_step(blueprint, lanes, kind, data, drop=False)
    for lane, config in enumerate(lanes):
        plain = plain_step(blueprint, config, kind, data, FIRST_SEED + lane, fused.chosen[lane : lane + 1])
        if complaint := difference(fused, plain, lane, tolerance=tolerance):
            return complaint
    return ""


def _against_itself(blueprint: Blueprint, kind: str, data: Part, config: Config, tolerance: float) -> str:
    """What differs between lanes together and each alone, where dropout has the same masks."""
    fused = lane_step(blueprint, [config] * LANES, kind, data)
    for lane in range(LANES):
        alone = lane_step(blueprint, [config], kind, data, first_seed=FIRST_SEED + lane)
        if complaint := difference(fused, alone, lane, 0, tolerance):
            return f"with dropout, {complaint}"
    return ""


@dataclass(frozen=True)
class StepResult:
    """What one forward and backward pass gave, with the lane axis in front (a plain module has none).

    `out`: outputs; `gradients`: name -> gradient; `buffers`: name -> buffer; `chosen` `[K, B]`: the samples used.
    """

    out: Tensor
    gradients: dict[str, Tensor]
    buffers: dict[str, Tensor]
    chosen: Tensor


def lane_step(blueprint: Blueprint, configs: Sequence[Mapping[str, Any]], kind: str, data: Part, *, drop: bool = True,
              first_seed: int = FIRST_SEED, template: Mapping[str, Any] | None = None) -> StepResult:  # fmt: skip
    """One forward and backward pass of a lane for each of `configs`, all on a batch of all of `data`.

    Args:
        blueprint: of the modules.
        configs: of the lanes; a single lane runs without `vmap`.
        kind, data: see `PieceEpoch`.
        drop: False switches all dropout off.
        first_seed: lane j has the seed `first_seed` + j.
        template: the config whose module runs all lanes; None: that of the first lane.
    """
    cohort = UniformCohort(blueprint, dict(template or configs[0]))
    alone = len(configs) == 1
    cohort.resize(1 if alone else power_of_two(len(configs)))
    for j, config in enumerate(configs):
        cohort.admit(j, config, first_seed + j, 1, None)
    if not drop:
        for lane in cohort.lanes:
            lane.drops = dict.fromkeys(lane.drops, 0.0)
    stepper: PieceStepper = SoloStepper(cohort) if alone else cohort_stepper(cohort).pieces[0]
    piece = PieceEpoch(stepper, kind, data, 1)
    chosen = piece.batches.gathered.order[:, : len(data)]
    x, y, weight = gather(data, chosen)
    with running(piece.context), module_mode(cohort, batched=stepper.batched, training=True):
        out = stepper.outputs(piece.context, x)
        _, gradient = losses.gradient(kind, out.detach(), y, weight, None)
        if alone:
            _backward(out, gradient)
        else:
            stepper.backward(piece.context, out, gradient)
    if (leaves := stepper.leaf_gradients()) is not None:
        leaves.collect()
    gradients = {n: (g.unsqueeze(0) if alone else g).clone() for n, g in stepper.gradients.items()}
    return StepResult(out.detach().clone(), gradients, {n: b.clone() for n, b in cohort.buffers.items()}, chosen)


def plain_step(blueprint: Blueprint, config: Mapping[str, Any], kind: str, data: Part, seed: int,
               chosen: Tensor) -> StepResult:  # fmt: skip
    """The same of the module as the user wrote it, without dropout, on the samples `chosen` `[1, B]`."""
    module = copy.deepcopy(blueprint.module(config, seed)).to(blueprint.device).train()
    _switch_dropout_off(module)
    x, y, weight = gather(data, chosen)
    with blueprint.cast():
        out = module(x[0])
    out = full_precision(out)
    _, gradient = losses.gradient(kind, out.detach().unsqueeze(0), y, weight, None)
    _backward(out, gradient[0])
    gradients = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in lay.trainable(module)}
    return StepResult(out.detach(), gradients, dict(lay.constants(module)), chosen)


def _backward(out: Tensor, gradient: Tensor) -> None:
    """As `out.backward(gradient)`, which would import sympy to compare shapes: a third of a second before a search."""
    (out * gradient).sum().backward()  # type: ignore[no-untyped-call]


def _switch_dropout_off(module: nn.Module) -> None:
    """Set every dropout probability to 0, also those that attention and recurrent layers keep for themselves."""
    for child in module.modules():
        if isinstance(child, nn.modules.dropout._DropoutNd):
            child.p = 0.0
        elif isinstance(child, (nn.MultiheadAttention, nn.RNNBase)):
            child.dropout = 0.0


def difference(fused: StepResult, plain: StepResult, lane: int, plain_lane: int | None = None,
               tolerance: float = TOLERANCE) -> str:  # fmt: skip
    """What differs between lane `lane` of `fused` and `plain`, in words; an empty string where nothing does.

    `plain_lane`: the lane of `plain` where that has a lane axis. `tolerance`: one of `FLOORS`, relative to the largest
    value of a tensor. Gradients that are nothing but rounding (of a bias before a batch norm, of the keys' bias in
    attention) are measured by the largest gradient of all.
    """

    def pick(value: Tensor) -> Tensor:
        return value if plain_lane is None else value[plain_lane]

    largest = max((float(pick(g).abs().max()) for g in plain.gradients.values() if g.numel()), default=0.0)
    checks: Sequence[tuple[str, Tensor, Tensor, float]] = [
        ("output", fused.out[lane], pick(plain.out), 0.0),
        *(
            (f"gradient of {n!r}", fused.gradients[n][lane], pick(g), FLOORS[tolerance] * largest)
            for n, g in plain.gradients.items()
        ),
        *((f"buffer {n!r}", fused.buffers[n][lane], pick(b), 0.0) for n, b in plain.buffers.items()),
    ]
    for name, ours, theirs, floor in checks:
        error = _relative(ours, theirs, floor)
        if not error <= tolerance:
            return f"the fused {name} is wrong (lane {lane}, relative error {error:.1e})"
    return ""


def _relative(ours: Tensor, theirs: Tensor, floor: float) -> float:
    if ours.shape != theirs.shape:
        return float("inf")
    if not ours.numel():
        return 0.0
    ours, theirs = ours.double(), theirs.double()
    apart = torch.where(ours == theirs, 0.0, (ours - theirs).abs())  # masks and limits may hold equal infinities
    size = torch.where(theirs.isfinite(), theirs.abs(), 0.0).max()
    return float(apart.max()) / max(float(size), floor, 1e-6)
