"""A model too large for one device: each rank holds a shard of every parameter, gradient and moment (torch's FSDP2).

The parameters of a block are gathered when it is called, and freed afterwards. Every function but `blocks` and
`outline` is a collective: all ranks call it, in the same order. Gathered weights and states have the form of those of
an unsharded model, so a trial may go on from a saved state with or without sharding.
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
from automl.training.distributed.tensors import local

LISTS = (nn.ModuleList, nn.ModuleDict)
INSTEAD = "take `parallel: replicate`"


def blocks(model: nn.Module) -> list[nn.Module]:
    """The modules whose parameters are gathered together: the members of lists and sequences.

    A member that is itself a list, or a sequence of modules with children, is taken apart instead. A module that shares
    a parameter with another one is not a block of its own: it is gathered with the rest of the model.
    """
    uses = _uses(model)
    candidates = {id(block): block for block in _members(model)}
    return [block for block in candidates.values() if all(uses[key] == n for key, n in _uses(block).items())]


def _uses(module: nn.Module) -> Counter[int]:
    """How often each parameter (by `id`) occurs in the module."""
    return Counter(id(p) for _, p in module.named_parameters(remove_duplicate=False))


def _members(module: nn.Module) -> Iterator[nn.Module]:
    """The candidates of `blocks`, with parameters that may be shared."""
    for child in module.children():
        nested = isinstance(child, nn.Sequential) and any(True for part in child for _ in part.children())
        taken_apart = isinstance(child, LISTS) or nested
        if isinstance(module, (*LISTS, nn.Sequential)) and not taken_apart and any(True for _ in child.parameters()):
            yield child
        else:
            yield from _members(child)


def shard(model: nn.Module, device: torch.device, world: int) -> nn.Module:
    """Move `model` from the host's memory to the device and shard it, block by block; returns the model itself.

    Args:
        model: on the CPU.
        device: of this rank.
        world: number of ranks.

    Raises:
        SpecError: a parameter cannot be sharded.
    """
    for name, p in model.named_parameters():
        if p.ndim == 0:
            raise SpecError(f"parallel: shard cannot split {name!r}, a single number: give it shape [1], or {INSTEAD}")
        if not p.is_contiguous():
            raise SpecError(f"parallel: shard cannot split {name!r}, it is not contiguous in memory; {INSTEAD}")
    mesh = init_device_mesh(device.type, (world,))
    for block in (*blocks(model), model):
        block.register_forward_hook(_without_views)  # before torch's own
        fully_shard(block, mesh=mesh)
    return model


def _without_views(_block: nn.Module, _inputs: Any, outputs: Any) -> Any:
    """Forward hook that copies outputs which are views.

    If such a view were changed in place, torch would lose the hook that gathers the block for its backward pass.
    """
    return tree_map_only(Tensor, lambda t: t.clone() if t._base is not None else t, outputs)


@contextmanager
def temporary_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """The sharded model has other weights inside the block; they are sharded like its own."""
    current = {name: local(value) for name, value in model.state_dict().items()}
    saved = {name: value.clone() for name, value in current.items()}
    try:
        _overwrite(model, current, {name: local(value) for name, value in weights.items()})
        yield
    finally:
        _overwrite(model, current, saved)


def _overwrite(model: nn.Module, current: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    if isinstance(model, FSDPModule):
        model.reshard()  # the root stays gathered after a forward pass; the next one would not see the change
    with torch.no_grad():
        for name, value in current.items():
            value.copy_(values[name])


def gather_weights(model: nn.Module) -> dict[str, Tensor]:
    """The whole weights, on the CPU, on rank 0; an empty dict on the other ranks."""
    whole: dict[str, Any] = dict(get_model_state_dict(model, options=_whole()))
    sharded = {name for name, value in model.state_dict().items() if isinstance(value, DTensor)}
    return {name: value if name in sharded else value.clone() for name, value in whole.items()}  # buffers may change


def load_weights(model: nn.Module, whole: Mapping[str, Tensor]) -> None:
    """Load rank 0's `whole` into the sharded model; the argument of the other ranks is ignored."""
    set_model_state_dict(model, dict(whole), options=_whole(broadcast=True))


def gather_optimizer_state(model: nn.Module, optimizer: Optimizer) -> dict[str, Any]:
    """On rank 0 `optimizer.state_dict()` with whole tensors on the CPU; an empty dict on the other ranks."""
    named: dict[str, Any] = dict(get_optimizer_state_dict(model, optimizer, options=_whole()))
    if not named.get("param_groups"):
        return {}
    params = dict(model.named_parameters())
    numbers = {name: k for k, name in enumerate(_names(model, optimizer))}
    groups = [{**group, "params": [numbers[name] for name in group["params"]]} for group in named["param_groups"]]
    state = {numbers[name]: _own_memory(value, params[name]) for name, value in named["state"].items()}
    return {"state": state, "param_groups": groups}


def load_optimizer_state(model: nn.Module, optimizer: Optimizer, whole: Mapping[str, Any]) -> None:
    """Load rank 0's `whole`, an `optimizer.state_dict()`; the other ranks pass its `outline`."""
    if not whole["state"]:  # for example SGD without momentum
        return
    named: dict[str, Any] = {}
    if "param_groups" in whole:
        params, names = dict(model.named_parameters()), _names(model, optimizer)
        groups = [{**group, "params": [names[k] for k in group["params"]]} for group in whole["param_groups"]]
        state = {names[k]: _own_memory(value, params[names[k]]) for k, value in whole["state"].items()}
        named = {"state": state, "param_groups": groups}
    set_optimizer_state_dict(model, optimizer, named, options=_whole(broadcast=True, strict=False))


class GatheringOptimizer(torch.optim.Optimizer):
    """Applies an optimizer whose updates need whole matrices (Muon, Adafactor) to sharded parameters.

    One parameter at a time is gathered with its gradient and state, updated on every rank as on one device, and
    sharded again. State of a parameter's shape is sharded like the parameter; smaller state (Adafactor's row and column
    statistics) is kept whole on every rank.
    """

    def __init__(
        self, plain: torch.optim.Optimizer, make: Callable[[list[dict[str, Any]]], torch.optim.Optimizer]
    ) -> None:
        self._make = make  # an optimizer like `plain` for other parameter groups
        super().__init__(plain.param_groups, plain.defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient; `closure` is not called."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self._update(p, group)
        return None

    def _update(self, p: DTensor, group: dict[str, Any]) -> None:
        """Update one parameter with an optimizer made for it alone."""
        whole = nn.Parameter(p.full_tensor())
        whole.grad = _gathered(p.grad)
        one = self._make([{**group, "params": [whole]}])
        if self.state[p]:
            one.state[whole] = {name: _gathered(value) for name, value in self.state[p].items()}
        one.step()
        p.to_local().copy_(_sharded_like(p, whole.detach()).to_local())
        self.state[p] = {name: _sharded_like(p, value) for name, value in one.state[whole].items()}


def _gathered(value: Any) -> Any:
    """`value` as a whole tensor, if it is sharded."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def _sharded_like(p: DTensor, value: Any) -> Any:
    """`value` sharded as `p` is, if it is a tensor of its shape; each rank cuts its shard itself, nothing is sent."""
    if not isinstance(value, Tensor) or value.shape != p.shape:
        return value
    return distribute_tensor(value, p.device_mesh, p.placements, src_data_rank=None).clone()  # a view keeps all of it


def outline(state: Mapping[str, Any]) -> dict[str, Any]:
    """A trainer's saved state without its tensors: what the ranks other than 0 need of it."""
    optimizers = [{"state": dict.fromkeys(one["state"])} for one in state["optimizers"]]
    return {**state, "model": {}, "average": {}, "optimizers": optimizers}


def _own_memory(state: Mapping[str, Any], p: Tensor) -> dict[str, Any]:
    """Optimizer state of `p` whose unsharded tensors (not of the shape of `p`) are copied; torch would share them."""
    whole = {key for key, value in state.items() if isinstance(value, Tensor) and value.shape != p.shape}
    return {key: value.clone() if key in whole else value for key, value in state.items()}


def _names(model: nn.Module, optimizer: Optimizer) -> list[str]:
    """Names of the optimizer's parameters, in the order in which torch numbers them."""
    names = {id(p): name for name, p in model.named_parameters()}
    return [names[id(p)] for group in optimizer.param_groups for p in group["params"]]


def _whole(broadcast: bool = False, strict: bool = True) -> StateDictOptions:
    """Options: whole tensors, on the CPU, on rank 0."""
    return StateDictOptions(full_state_dict=True, cpu_offload=True, broadcast_from_rank0=broadcast, strict=strict)
