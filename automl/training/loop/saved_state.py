"""The state of a trainer that is saved to go on from: weights, optimizer states and averages, whole and on the CPU.

Sharded and unsharded models have the same saved form. With a sharded model every function is a collective: all ranks
call it, what is saved is complete on rank 0 only, and the other ranks load the `fsdp.outline` of it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from automl.training.loop.moving_average import MovingAverage
from automl.training.optimizers import keeping_kernels

Optimizers = Sequence[torch.optim.Optimizer]


def weights(model: nn.Module, average: MovingAverage | None, sharded: bool) -> dict[str, Tensor]:
    """The weights to keep, on the CPU: averaged ones where an average is kept."""
    if not sharded:
        kept = model.state_dict() if average is None else average.weights
        return {name: value.detach().cpu().clone() for name, value in kept.items()}
    from automl.training.distributed import fsdp

    if average is None:
        return fsdp.gather_weights(model)
    with average.loaded():
        return fsdp.gather_weights(model)


def save(model: nn.Module, optimizers: Optimizers, average: MovingAverage | None, sharded: bool) -> dict[str, Any]:
    """The weights of `model`, the states of its optimizers and the averaged weights, for `load`."""
    if not sharded:
        return {
            "model": _to_cpu(model.state_dict()),
            "optimizers": [_to_cpu(optimizer.state_dict()) for optimizer in optimizers],
            "average": None if average is None else _to_cpu(average.weights),
        }
    from automl.training.distributed import fsdp

    return {
        "model": fsdp.gather_weights(model),
        "optimizers": [fsdp.gather_optimizer_state(model, optimizer) for optimizer in optimizers],
        "average": None if average is None else weights(model, average, sharded),
    }


def load(
    state: dict[str, Any], model: nn.Module, optimizers: Optimizers, average: MovingAverage | None, sharded: bool
) -> None:
    """Bring model, optimizers and average to what `save` returned for those of the same shape.

    Rates, decays and the like stay as they are: those of an heir differ from its parent's, whose state it gets.
    """
    own = [[_settings(group) for group in optimizer.param_groups] for optimizer in optimizers]
    if sharded:
        _load_sharded(state, model, optimizers, average)
    else:
        _load_whole(state, model, optimizers, average)
    for optimizer, settings in zip(optimizers, own, strict=True):
        for group, known in zip(optimizer.param_groups, settings, strict=True):
            group.update(known)


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    """What an optimizer knows of a group of parameters, besides the parameters."""
    return {name: value for name, value in group.items() if name != "params"}


def _load_whole(state: dict[str, Any], model: nn.Module, optimizers: Optimizers, average: MovingAverage | None) -> None:
    model.load_state_dict(state["model"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        with keeping_kernels(optimizer):
            optimizer.load_state_dict(saved)
    if average is not None:
        saved = state["average"]
        average.weights = {name: saved[name].to(now.device, copy=True) for name, now in average.weights.items()}


def _load_sharded(
    state: dict[str, Any], model: nn.Module, optimizers: Optimizers, average: MovingAverage | None
) -> None:
    from automl.training.distributed import fsdp

    if average is not None:
        fsdp.load_weights(model, state["average"])
        average.weights = {name: value.clone() for name, value in model.state_dict().items()}
    fsdp.load_weights(model, state["model"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        with keeping_kernels(optimizer):
            fsdp.load_optimizer_state(model, optimizer, saved)


def _to_cpu(value: Any) -> Any:
    """A copy of `value` whose tensors, also those inside dicts and lists, are on the CPU."""
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, dict):
        return {key: _to_cpu(inner) for key, inner in value.items()}
    return [_to_cpu(inner) for inner in value] if isinstance(value, list) else value
