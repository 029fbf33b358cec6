"""A model too large for one device: each rank holds a share of every parameter, gradient and moment (torch's FSDP2).

A block's parameters are gathered when it is called and let go afterwards. Everything here but `too_large` and `blocks`
is a collective: all ranks call it, in the same order. What is gathered has the form of a plain model's, so that saved
states do not tell whether a trial was sharded.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer
from torch.utils._pytree import tree_map_only

from automl.errors import SpecError

COPIES = 4  # of a parameter, in float32: itself, its gradient, two moments
SHARE = 0.8  # of a device's memory that they may take; activations need some too
LISTS = (nn.ModuleList, nn.ModuleDict)
REMEDY = "take `parallel: replicate`"


def memory_of(device: torch.device) -> int | None:
    """Bytes that a GPU has; None for a CPU, which is never too small."""
    return torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else None


def too_large(model: nn.Module, memory: int | None) -> bool:
    """Whether the model and what it is trained with do not fit a device of so much memory."""
    need = 4 * COPIES * sum(p.numel() for p in model.parameters())
    return memory is not None and need > SHARE * memory


def blocks(model: nn.Module) -> list[nn.Module]:
    """What is gathered at a time: the members of lists and sequences, down to the last level that has layers in it.

    One that shares a parameter with something else is none: both must be gathered together, as the rest of the model.
    """
    uses = _uses(model)
    found = {id(block): block for block in _members(model)}
    return [block for block in found.values() if all(uses[key] == n for key, n in _uses(block).items())]


def _uses(module: nn.Module) -> Counter[int]:
    return Counter(id(p) for _, p in module.named_parameters(remove_duplicate=False))


def _members(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        deeper = isinstance(child, LISTS) or (isinstance(child, nn.Sequential) and any(_inner(part) for part in child))
        if isinstance(module, (*LISTS, nn.Sequential)) and not deeper and any(True for _ in child.parameters()):
            yield child
        else:
            yield from _members(child)


def _inner(module: nn.Module) -> bool:
    return any(True for _ in module.children())


def shard(model: nn.Module, device: torch.device, world: int) -> nn.Module:
    """The model itself, moved to the device and sharded block by block; until then it is in the host's memory.

    Raises SpecError for a parameter that cannot be sharded.
    """
    for name, p in model.named_parameters():
        if p.ndim == 0:
            raise SpecError(f"parallel: shard cannot split {name!r}, a single number: give it shape [1], or {REMEDY}")
        if not p.is_contiguous():
            raise SpecError(f"parallel: shard cannot split {name!r}, it is not contiguous in memory; {REMEDY}")
    mesh = init_device_mesh(device.type, (world,))
    for block in (*blocks(model), model):
        block.register_forward_hook(_unshared)  # before torch's own
        fully_shard(block, mesh=mesh)
    return model


def _unshared(_block: nn.Module, _inputs: Any, outputs: Any) -> Any:
    """Views are copied: to change one in place would cut off the hook that gathers the block again when going back."""
    return tree_map_only(Tensor, lambda t: t.clone() if t._base is not None else t, outputs)


def local(value: Tensor) -> Tensor:
    """This rank's share of a tensor (all of it, where it is not sharded); in place, changes reach the tensor."""
    return value.to_local() if isinstance(value, DTensor) else value


@contextmanager
def instead(model: nn.Module, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """The model with other weights inside, sharded as its own."""
    own = {name: local(value) for name, value in model.state_dict().items()}
    held = {name: value.clone() for name, value in own.items()}
    try:
        _take(model, own, {name: local(value) for name, value in weights.items()})
        yield
    finally:
        _take(model, own, held)


def _take(model: nn.Module, own: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    if isinstance(model, FSDPModule):
        model.reshard()  # the root stays gathered after a forward pass; the next one would not see the change
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(values[name])


def weights(model: nn.Module) -> dict[str, Tensor]:
    """All weights whole, on the CPU, on rank 0; nothing on the others."""
    found: dict[str, Any] = dict(get_model_state_dict(model, options=_whole()))
    split = {name for name, value in model.state_dict().items() if isinstance(value, DTensor)}
    return {name: value if name in split else value.clone() for name, value in found.items()}  # buffers go on changing


def load_weights(model: nn.Module, whole: Mapping[str, Tensor]) -> None:
    """Take up rank 0's `whole`; what other ranks give is not looked at."""
    set_model_state_dict(model, dict(whole), options=_whole(broadcast=True))


def optimizer_state(model: nn.Module, optimizer: Optimizer) -> dict[str, Any]:
    """`optimizer.state_dict()` with whole tensors on the CPU, parameters numbered as by torch; empty but on rank 0."""
    found: dict[str, Any] = dict(get_optimizer_state_dict(model, optimizer, options=_whole()))
    if not found.get("param_groups"):
        return {}
    params = dict(model.named_parameters())
    numbers = {name: k for k, name in enumerate(_names(model, optimizer))}
    groups = [{**group, "params": [numbers[name] for name in group["params"]]} for group in found["param_groups"]]
    state = {numbers[name]: _apart(value, params[name]) for name, value in found["state"].items()}
    return {"state": state, "param_groups": groups}


def load_optimizer_state(model: nn.Module, optimizer: Optimizer, whole: Mapping[str, Any]) -> None:
    """Take up rank 0's `whole`, an `optimizer.state_dict()`; others give its `outline`."""
    if not whole["state"]:  # as that of SGD without momentum
        return
    named: dict[str, Any] = {}
    if "param_groups" in whole:
        params, names = dict(model.named_parameters()), _names(model, optimizer)
        groups = [{**group, "params": [names[k] for k in group["params"]]} for group in whole["param_groups"]]
        state = {names[k]: _apart(value, params[names[k]]) for k, value in whole["state"].items()}
        named = {"state": state, "param_groups": groups}
    set_optimizer_state_dict(model, optimizer, named, options=_whole(broadcast=True, strict=False))


def outline(state: Mapping[str, Any]) -> dict[str, Any]:
    """What ranks other than 0 need of a trainer's saved state: all but the tensors."""
    optimizers = [{"state": dict.fromkeys(one["state"])} for one in state["optimizers"]]
    return {**state, "model": {}, "average": {}, "optimizers": optimizers}


def _apart(state: Mapping[str, Any], p: Tensor) -> dict[str, Any]:
    """What is not of the parameter's shape, thus not sharded, is copied: torch takes it as it is."""
    whole = {key for key, value in state.items() if isinstance(value, Tensor) and value.shape != p.shape}
    return {key: value.clone() if key in whole else value for key, value in state.items()}


def _names(model: nn.Module, optimizer: Optimizer) -> list[str]:
    """Of the optimizer's parameters, in the order in which torch numbers them."""
    names = {id(p): name for name, p in model.named_parameters()}
    return [names[id(p)] for group in optimizer.param_groups for p in group["params"]]


def _whole(broadcast: bool = False, strict: bool = True) -> StateDictOptions:
    return StateDictOptions(full_state_dict=True, cpu_offload=True, broadcast_from_rank0=broadcast, strict=strict)
