"""A plain stack read as hidden layers and a head, so that stacks of different shapes can be laid side by side.

Read are modules of the form [flatten or table stem], hidden layer, ..., hidden layer, linear. A hidden layer is linear,
norm, activation, dropout in this order, all but the first optional, alone or around a shortcut (`Residual`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from automl.fused.modules import swap
from automl.models.mlp import Residual
from automl.models.parts import TableStem

ACTIVATIONS = (nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.LeakyReLU)
Token = tuple[str, nn.Module]


@dataclass(frozen=True)
class Block:
    """A hidden layer (or the head, which is `linear` alone): its parts by their names in the module.

    `norm`: "batch", "layer" or ""; `activation`: the module or None; `drop`: the name of its dropout layer or None.
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
        """Equal for blocks whose elements are computed alike, whatever their width."""
        options = "" if self.norm_module is None else f"{self.norm_module.eps}, {_momentum(self.norm_module)}"
        affine = "" if self.norm_module is None else str(bool(list(self.norm_module.parameters())))
        return self.norm, options, affine, repr(self.activation), str(self.bias), str(self.drop is not None)


def _momentum(module: nn.Module) -> str:
    return str(getattr(module, "momentum", ""))


class NotBlocks(Exception):
    """The module is no such stack."""


def read(module: nn.Module) -> tuple[Block, ...] | None:
    """The hidden layers and, last, the head of an operated `module`; None where it is something else."""
    for child in module.modules():
        if child._forward_hooks or child._forward_pre_hooks or hasattr(child, "parametrizations"):
            return None
        if any(not p.requires_grad for p in child.parameters(recurse=False)):
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
    """Whether `block` is a linear layer with a bias and nothing else, as a head is."""
    return block.bias and not (block.norm or block.activation or block.drop or block.shortcut)


def _blocks(module: nn.Module) -> Iterator[Block]:
    tokens: list[Token] = []
    for name, part in _parts(module, ""):
        if isinstance(part, Residual):
            yield from _grouped(tokens)
            tokens = []
            inner = list(_grouped(list(_parts(part.inner, f"{name}.inner"))))
            if len(inner) != 1 or inner[0].inputs != inner[0].outputs:
                raise NotBlocks
            yield Block(**{**inner[0].__dict__, "shortcut": True})
        else:
            tokens.append((name, part))
    yield from _grouped(tokens)


def _parts(module: nn.Module, name: str) -> Iterator[Token]:
    """The stack's modules one after another, containers opened, with their names."""
    if type(module) is swap.LaneSequential:
        for key, child in module.named_children():
            yield from _parts(child, f"{name}.{key}" if name else key)
    elif not _frame(module):
        yield name, module


def _frame(module: nn.Module) -> bool:
    """Whether `module` only makes samples flat, or does nothing."""
    if type(module) is nn.Flatten:
        return (module.start_dim, module.end_dim) == (1, -1)
    return type(module) is nn.Identity or (type(module) is TableStem and not len(module.embeddings))


def _grouped(tokens: list[Token]) -> Iterator[Block]:
    """Each linear layer with what follows it."""
    at = 0
    while at < len(tokens):
        end = at + 1
        while end < len(tokens) and not isinstance(tokens[end][1], nn.Linear):
            end += 1
        yield _block(tokens[at:end])
        at = end


def _block(tokens: list[Token]) -> Block:
    (name, linear), *rest = tokens
    if type(linear) is not swap.LaneLinear:
        raise NotBlocks
    found: dict[str, object] = {}
    if rest and type(rest[0][1]) in (nn.BatchNorm1d, nn.LayerNorm):
        norm_name, norm = rest.pop(0)
        found |= {"norm": _norm(norm, linear.out_features), "norm_name": norm_name, "norm_module": norm}
    if rest and type(rest[0][1]) in ACTIVATIONS:
        found["activation"] = rest.pop(0)[1]
    if rest and type(rest[0][1]) is swap.LaneDropout:
        found["drop"] = rest.pop(0)[0]
    if rest:
        raise NotBlocks
    return Block(name, linear.in_features, linear.out_features, linear.bias is not None, **found)  # type: ignore[arg-type]


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
