"""A model too large for one device: each rank holds a share of every parameter, gradient and moment (torch's FSDP2).

A block's parameters are gathered when it is called and let go afterwards. All but `blocks` is
a collective: all ranks call it, in the same order. What is gathered has the form of a plain model's, so that saved
states do not tell whether a trial was sharded.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
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
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer
from torch.utils._pytree import tree_map_only

from automl.errors import SpecError
from automl.training.distributed.ddp import local

LISTS = (nn.ModuleList, nn.ModuleDict)
REMEDY = "take `parallel: replicate`"


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


class Gathered(torch.optim.Optimizer):
    """What `plain` does, whose updates are functions of whole matrices, to sharded parameters.

    One parameter at a time is gathered with its gradient and state, updated as on one device (on every rank), and let
    go. State of a parameter's shape is sharded like it, smaller state (Adafactor's rows and columns) is every rank's.
    """

    def __init__(self, plain: torch.optim.Optimizer) -> None:
        self._kind: Callable[[list[dict[str, Any]]], torch.optim.Optimizer] = type(plain)
        super().__init__(plain.param_groups, plain.defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._update(p, group)
        return None

    def _update(self, p: DTensor, group: dict[str, Any]) -> None:
        whole = nn.Parameter(p.full_tensor())
        whole.grad = _complete(p.grad)
        one = self._kind([{**group, "params": [whole]}])
        if self.state[p]:
            one.state[whole] = {name: _complete(value) for name, value in self.state[p].items()}
        one.step()
        p.to_local().copy_(_like(p, whole.detach()).to_local())
        self.state[p] = {name: _like(p, value) for name, value in one.state[whole].items()}


def _complete(value: Any) -> Any:
    return value.full_tensor() if isinstance(value, DTensor) else value


def _like(p: DTensor, value: Any) -> Any:
    """A whole tensor of the shape of `p` sharded as `p` is (without a word to other ranks, who do it too)."""
    if not isinstance(value, Tensor) or value.shape != p.shape:
        return value
    return distribute_tensor(value, p.device_mesh, p.placements, src_data_rank=None).clone()  # a view keeps all of it


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
