"""Where each parameter of a module lies in a flat row: one lane is one row of a `[K, P]` matrix.

P is padded to a multiple of 16 elements, so that rows of float32 begin on cache lines. Views of a row matrix are made
without copying; the same layout therefore reads parameters, gradients and optimizer moments.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

ALIGN = 16


@dataclass(frozen=True)
class Slot:
    """One parameter: columns `start : start + size` of every row, as `shape` (`size` is the product of `shape`)."""

    name: str
    shape: tuple[int, ...]
    start: int
    size: int


@dataclass(frozen=True)
class Layout:
    """The trainable parameters of one architecture in a row of `width` elements; `buffers` are name and shape."""

    slots: tuple[Slot, ...]
    width: int
    dtype: torch.dtype
    buffers: tuple[tuple[str, tuple[int, ...], torch.dtype], ...]
    aliases: tuple[tuple[str, str], ...]  # (further name, first name) of tied parameters

    def views(self, rows: Tensor) -> dict[str, Tensor]:
        """Views `[K, *shape]` into `rows` `[K, P]`, one for each parameter."""
        k = rows.shape[0]
        return {s.name: rows[:, s.start : s.start + s.size].view(k, *s.shape) for s in self.slots}

    def row_views(self, row: Tensor) -> dict[str, Tensor]:
        """Views `[*shape]` into one row `[P]`."""
        return {s.name: row[s.start : s.start + s.size].view(s.shape) for s in self.slots}


def layout(module: nn.Module) -> Layout:
    """The layout of `module`; raises ValueError when it has no trainable parameter or mixes their dtypes."""
    slots: list[Slot] = []
    frozen: list[tuple[str, nn.Parameter]] = []
    dtypes: set[torch.dtype] = set()
    first: dict[int, str] = {}
    aliases: list[tuple[str, str]] = []
    start = 0
    for name, tensor in module.named_parameters(remove_duplicate=False):
        if id(tensor) in first:
            aliases.append((name, first[id(tensor)]))
            continue
        first[id(tensor)] = name
        if not tensor.requires_grad:
            frozen.append((name, tensor))
            continue
        slots.append(Slot(name, tuple(tensor.shape), start, tensor.numel()))
        start += tensor.numel()
        dtypes.add(tensor.dtype)
    if len(dtypes) != 1:
        raise ValueError(f"a model needs trainable parameters of one dtype, not {sorted(map(str, dtypes)) or 'none'}")
    width = -(-start // ALIGN) * ALIGN
    buffers = tuple((name, tuple(b.shape), b.dtype) for name, b in (*module.named_buffers(), *frozen))
    return Layout(tuple(slots), width, dtypes.pop(), buffers, tuple(aliases))


def trainable(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Parameters that are trained, each once, in the module's own order."""
    return ((name, p) for name, p in module.named_parameters() if p.requires_grad)


def constants(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Buffers and frozen parameters: what a lane carries without a gradient."""
    yield from ((name, b) for name, b in module.named_buffers())
    yield from ((name, p.detach()) for name, p in module.named_parameters() if not p.requires_grad)


def read(module: nn.Module, plan: Layout, row: Tensor) -> dict[str, Tensor]:
    """Copy the parameters of `module` into `row` `[P]`; returns its buffers by name (copies)."""
    parameters = dict(module.named_parameters())
    for name, view in plan.row_views(row).items():
        view.copy_(parameters[name].detach())
    return {name: value.detach().clone() for name, value in constants(module)} if plan.buffers else {}


def place(module: nn.Module, name: str) -> tuple[dict[str, Tensor | None], str]:
    """The dictionary (a submodule's `_parameters` or `_buffers`) and the key that hold the tensor called `name`."""
    path, _, key = name.rpartition(".")
    owner = module.get_submodule(path)
    store = owner._parameters if key in owner._parameters else owner._buffers
    return store, key  # type: ignore[return-value]
