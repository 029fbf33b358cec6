"""Structured pruning: whole units, channels, heads and inner units of feed-forward layers are cut off.

Which layers hang together is found by torch-pruning (DepGraph, Fang et al. 2023); those with the least norm go first
(Li et al. 2017). In the built-in transformer heads and inner units are cut directly: its layers know their number.
"""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from automl.compression.subject import Subject
from automl.compression.ways.cuts import Cut, Levels
from automl.errors import EnvironmentProblem
from automl.models.transformer import Attention, FeedForward

LEVELS = (0.25, 0.5, 0.75, 0.875)
"""Shares of a group's units that are cut off."""
MULTIPLE = 8
"""The number of units that stay is a multiple of this, where there are enough: processors compute so many at once."""


class Pruning(Cut):
    """Prunes the network of `subject`.

    Raises:
        EnvironmentProblem: torch-pruning is not installed.
    """

    levels = LEVELS

    def __init__(self, subject: Subject) -> None:
        self._module, self._example = subject.module, subject.prepared.val.x[:2]
        blocks = [n for n, m in self._module.named_modules() if isinstance(m, Attention | FeedForward)]
        self._own = bool(blocks)
        self.groups = blocks or [name for name, *_ in self._dependencies(self._module)]

    def cut(self, levels: Levels) -> nn.Module:
        module = copy.deepcopy(self._module)
        if self._own:
            for name, level in levels.items():
                part = module.get_submodule(name)
                _cut_heads(part, level) if isinstance(part, Attention) else _cut_inner(part, level)
        else:
            for name, scores, prune in self._dependencies(module):
                if name in levels and (gone := _least(scores, levels[name])):
                    prune(gone)
        return module.eval()

    def _dependencies(self, module: nn.Module) -> list[tuple[str, Tensor, Callable[[list[int]], None]]]:
        """(name of its first layer, [units] how important they are, a function that cuts some off) for each group."""
        pruning = _library()
        names = {layer: name for name, layer in module.named_modules()}
        layers = [layer for layer in names if isinstance(layer, nn.Linear | nn.Conv2d)]
        if not layers:
            return []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = pruning.DependencyGraph().build_dependency(module, example_inputs=self._example)
            found = list(graph.get_all_groups(ignored_layers=[layers[-1]], root_module_types=[nn.Linear, nn.Conv2d]))
            importance = pruning.importance.GroupMagnitudeImportance(p=2)
            return [(names[group[0].dep.target.module], importance(group), _pruner(graph, group)) for group in found]


def _pruner(graph: Any, group: Any) -> Callable[[list[int]], None]:
    layer, function = group[0].dep.target.module, group[0].dep.handler

    def prune(units: list[int]) -> None:
        graph.get_pruning_group(layer, function, units).prune()

    return prune


def _library() -> Any:
    try:
        import torch_pruning
    except ImportError as error:
        raise EnvironmentProblem(f"pruning needs {error.name}: pip install 'automl-search[compress]'") from error
    return torch_pruning


def units_kept(units: int, level: float) -> int:
    """How many of `units` stay when the share `level` goes: at least one, and a multiple of `MULTIPLE` if possible."""
    stay = units * (1 - level)
    return max(1, round(stay)) if stay < MULTIPLE else min(units, MULTIPLE * round(stay / MULTIPLE))


def _least(scores: Tensor, level: float) -> list[int]:
    """The least important units, as many as go."""
    gone = len(scores) - units_kept(len(scores), level)
    found: list[int] = scores.argsort(stable=True)[:gone].tolist()
    return found


def _cut_inner(part: nn.Module, level: float) -> None:
    """Cut inner units of a feed-forward layer; a gated one has two rows of `up` for each."""
    assert isinstance(part, FeedForward)
    up, down = part.up.weight.detach(), part.down.weight.detach()
    rows = up.view(-1, down.shape[1], up.shape[1])  # [1 or 2, inner, width]
    stay = _most(rows.square().sum((0, 2)).sqrt() * down.square().sum(0).sqrt(), units_kept(down.shape[1], level))
    part.up = _linear(rows[:, stay].flatten(0, 1), None)
    part.down = _linear(down[:, stay], None)


def _cut_heads(part: Attention, level: float) -> None:
    """Cut whole attention heads."""
    qkv, out = part.qkv.weight.detach(), part.out.weight.detach()
    rows = qkv.view(3, part.heads, part.size, -1)  # [3, heads, size, width]
    columns = out.view(-1, part.heads, part.size)  # [width, heads, size]
    stay = _most(rows[2].square().sum((1, 2)).sqrt() * columns.square().sum((0, 2)).sqrt(),
                 max(1, round(part.heads * (1 - level))))  # fmt: skip
    part.qkv, part.out = _linear(rows[:, stay].flatten(0, 2), None), _linear(columns[:, stay].flatten(1), None)
    part.heads = len(stay)


def _most(scores: Tensor, number: int) -> Tensor:
    """The indices of the `number` most important units, in ascending order."""
    return scores.argsort(descending=True, stable=True)[:number].sort().values


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer
