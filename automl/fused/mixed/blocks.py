"""Reads a plain stack as hidden layers and a head, so that stacks of different shapes can train in one program.

A stack has the form [flatten or table stem], hidden layer, ..., hidden layer, head. A hidden layer is linear, norm,
activation, dropout in this order, all but the first optional, alone or inside a shortcut (`Residual`); the head is a
linear layer with a bias.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from automl.fused.modules import swap
from automl.fused.modules.activations import ACTIVATIONS
from automl.fused.modules.plain import can_be_rewritten, only_flattens
from automl.models.mlp import Residual

Named = tuple[str, nn.Module]  # a submodule with its name in the model


@dataclass(frozen=True)
class Block:
    """A hidden layer, or the head, which is `linear` alone.

    Attributes:
        linear: the name of the linear layer in the module; `inputs` and `outputs` are its sizes, `bias`: has it one.
        norm: "batch", "layer" or "" (none), with its name and its module.
        activation: the module, or None.
        drop: the name of the dropout layer, or None.
        shortcut: whether the block's input is added to its output.
    """

    linear: str
    inputs: int
    outputs: int
    bias: bool
    norm: str = ""
    norm_name: str = ""
    norm_module: nn.Module | None = None
    activation: nn.Module | None = None
    drop: str | None = None
    shortcut: bool = False

    @property
    def kind(self) -> tuple[str, ...]:
        """Equal for blocks that can be packed into one layer: computed in the same way, whatever their widths."""
        norm = self.norm_module
        affine = "" if norm is None else str(bool(list(norm.parameters())))
        return self.norm, _norm_options(norm), affine, repr(self.activation), str(self.bias), str(self.drop is not None)


def _norm_options(norm: nn.Module | None) -> str:
    if isinstance(norm, nn.BatchNorm1d):
        return f"{norm.eps}, {norm.momentum}"
    return f"{norm.eps}, " if isinstance(norm, nn.LayerNorm) else ""


class NotBlocks(Exception):
    """The module has another form."""


def read(module: nn.Module) -> tuple[Block, ...] | None:
    """The hidden layers of `module` (whose submodules have been swapped, see `swap`) and, last, its head.

    None where it has another form, or parameters that are shared, frozen or seen by hooks.
    """
    if not can_be_rewritten(module):
        return None
    if len(list(module.named_parameters())) != len(list(module.named_parameters(remove_duplicate=False))):
        return None
    try:
        blocks = list(_blocks(module))
    except NotBlocks:
        return None
    if len(blocks) < 2 or not _bare(blocks[-1]):
        return None
    if any(a.outputs != b.inputs for a, b in pairwise(blocks)):
        return None
    return tuple(blocks) if not blocks[0].shortcut else None


def _bare(block: Block) -> bool:
    """Whether `block` is a linear layer with a bias and nothing else."""
    return block.bias and not (block.norm or block.activation or block.drop or block.shortcut)


def _blocks(module: nn.Module) -> Iterator[Block]:
    parts: list[Named] = []
    for name, part in _parts(module, ""):
        if isinstance(part, Residual):
            yield from _grouped(parts)
            parts = []
            inner = list(_grouped(list(_parts(part.inner, f"{name}.inner"))))
            if len(inner) != 1 or inner[0].inputs != inner[0].outputs:
                raise NotBlocks
            yield Block(**{**inner[0].__dict__, "shortcut": True})
        else:
            parts.append((name, part))
    yield from _grouped(parts)


def _parts(module: nn.Module, name: str) -> Iterator[Named]:
    """The modules of a stack in their order, with their names, without containers and what only flattens."""
    if type(module) is swap.LaneSequential:
        for key, child in module.named_children():
            yield from _parts(child, f"{name}.{key}" if name else key)
    elif type(module) is not nn.Identity and not only_flattens(module):
        yield name, module


def _grouped(parts: list[Named]) -> Iterator[Block]:
    """Each linear layer with what follows it."""
    at = 0
    while at < len(parts):
        end = at + 1
        while end < len(parts) and not isinstance(parts[end][1], nn.Linear):
            end += 1
        yield _block(parts[at:end])
        at = end


def _block(parts: list[Named]) -> Block:
    (name, linear), *rest = parts
    if type(linear) is not swap.LaneLinear:
        raise NotBlocks
    others: dict[str, object] = {}
    if rest and type(rest[0][1]) in (nn.BatchNorm1d, nn.LayerNorm):
        norm_name, norm = rest.pop(0)
        others |= {"norm": _norm(norm, linear.out_features), "norm_name": norm_name, "norm_module": norm}
    if rest and type(rest[0][1]) in ACTIVATIONS:
        others["activation"] = rest.pop(0)[1]
    if rest and type(rest[0][1]) is swap.LaneDropout:
        others["drop"] = rest.pop(0)[0]
    if rest:
        raise NotBlocks
    return Block(name, linear.in_features, linear.out_features, linear.bias is not None, **others)  # type: ignore[arg-type]


def _norm(norm: nn.Module, width: int) -> str:
    if isinstance(norm, nn.BatchNorm1d):
        if not norm.track_running_stats or norm.momentum is None or norm.num_features != width:
            raise NotBlocks
        return "batch"
    if not isinstance(norm, nn.LayerNorm) or tuple(norm.normalized_shape) != (width,):
        raise NotBlocks
    if norm.elementwise_affine and norm.bias is None:
        raise NotBlocks
    return "layer"
