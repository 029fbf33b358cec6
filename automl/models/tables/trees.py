"""Boosted trees as a network: arrays of nodes, followed from the roots for all rows and trees at once.

The arrays are what a bundle keeps, so that loading one runs no code and needs no library of trees. Whoever wrote them,
they are checked first: a child comes after its parent, so that no row walks in a circle.

Shape letters: N rows, F features, T trees, M nodes of all trees, S splits by category (and 1), W categories at most.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from automl.data.shapes import Inputs, Outputs
from automl.errors import BundleError, SpecError
from automl.models import parts

FIELDS: dict[str, tuple[int, torch.dtype]] = {
    "feature": (1, torch.int64), "threshold": (1, torch.float64), "low": (1, torch.int64), "high": (1, torch.int64),
    "missing_low": (1, torch.bool), "subset": (1, torch.int64), "value": (1, torch.float64),
    "subsets": (2, torch.bool), "root": (1, torch.int64), "unit": (1, torch.int64), "base": (1, torch.float64),
}  # fmt: skip
"""Array -> its number of axes and its type; see `Trees`."""
NODES = ("feature", "threshold", "low", "high", "missing_low", "subset", "value")
"""Those with a value for each node."""


class Trees(nn.Module):
    """[N, F] -> [N, outputs]: the sum of the leaves that a row reaches, over the trees of each output unit.

    A row goes to `low` where its feature is at most the threshold, or, in a split by category, where
    `subsets[subset, code]` is true; a missing value (NaN) goes where `missing_low` says. A leaf is its own child.

    Attributes:
        feature, threshold, low, high, missing_low, subset, value: [M] of each node; `subset` is 0 for a split of
            numbers, `value` counts at leaves only.
        subsets: [S, W] for each split by category the codes that go low; row 0 is not used.
        root, unit: [T] first node of each tree, and the output unit that it adds to.
        base: [outputs] what is added to.
        depth: the most steps from a root to a leaf.
    """

    feature: Tensor
    threshold: Tensor
    low: Tensor
    high: Tensor
    missing_low: Tensor
    subset: Tensor
    value: Tensor
    subsets: Tensor
    root: Tensor
    unit: Tensor
    base: Tensor

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.features, self.outputs, self.depth = features, outputs, 0
        for name, (axes, dtype) in FIELDS.items():
            self.register_buffer(name, torch.zeros((0,) * axes, dtype=dtype))
        self.subsets = torch.zeros((1, 1), dtype=torch.bool)
        self.base = torch.zeros(outputs, dtype=torch.float64)
        self.categories = False

    def forward(self, x: Tensor) -> Tensor:
        return self.sums(x).to(x.dtype)

    def sums(self, x: Tensor) -> Tensor:
        """The same in float64. [N, outputs]"""
        values = self.leaves(x)
        units = torch.nn.functional.one_hot(self.unit, self.outputs).to(values.dtype)
        out: Tensor = self.base + values @ units
        return out

    def leaves(self, x: Tensor) -> Tensor:
        """The value of the leaf that each row reaches in each tree. [N, T] float64"""
        return self.value[self.ends(x)]

    def ends(self, x: Tensor) -> Tensor:
        """The leaf that each row reaches in each tree. [N, T] int64"""
        x = x.flatten(1).to(self.threshold.dtype)
        at = self.root.unsqueeze(0).expand(x.shape[0], -1)
        for _ in range(self.depth):
            value = x.gather(1, self.feature[at])
            goes_low = value <= self.threshold[at]
            if self.categories:
                subset = self.subset[at]
                code = value.nan_to_num(0.0).clamp(0, self.subsets.shape[1] - 1).to(torch.int64)
                by_code = subset > 0
                goes_low = (by_code & self.subsets[subset, code]) | (~by_code & goes_low)
            missing = value.isnan()  # no `where`: ONNX runtimes have none for truth values
            goes_low = (missing & self.missing_low[at]) | (~missing & goes_low)
            at = torch.where(goes_low, self.low[at], self.high[at])
        return at

    def set(self, arrays: Mapping[str, Tensor]) -> None:
        """Take over the arrays of `FIELDS`.

        Raises:
            BundleError: they are no trees for this module's features and outputs.
        """
        self.depth = _checked_depth(arrays, self.features, self.outputs)
        device = self.base.device
        for name, (_, dtype) in FIELDS.items():
            setattr(self, name, arrays[name].to(device=device, dtype=dtype, copy=True))
        self.categories = bool((self.subset > 0).any())

    def _load_from_state_dict(
        self, state_dict: Mapping[str, Any], prefix: str, *rest: Any, **more: Any
    ) -> None:  # the shapes are those of the trees that were grown
        """Called by `load_state_dict`; names that are missing are told there."""
        if all(prefix + name in state_dict for name in FIELDS):
            self.set({name: state_dict[prefix + name] for name in FIELDS})
        super()._load_from_state_dict(state_dict, prefix, *rest, **more)


def _checked_depth(arrays: Mapping[str, Tensor], features: int, outputs: int) -> int:
    """The most steps to a leaf, once every number is known to lie where it may."""
    for name, (axes, _) in FIELDS.items():
        if arrays[name].dim() != axes:
            raise BundleError(f"the trees are damaged: {name} has {arrays[name].dim()} axes, not {axes}")
    nodes = len(arrays["feature"])
    numbers = torch.arange(nodes)
    rows, width = arrays["subsets"].shape
    limits = {"feature": features, "subset": rows, "root": nodes, "unit": outputs, "low": nodes, "high": nodes}
    for name, limit in limits.items():
        one = arrays[name].cpu()
        if len(one) and not (int(one.min()) >= 0 and int(one.max()) < limit):
            raise BundleError(f"the trees are damaged: {name} has a number outside 0 to {limit - 1}")
    same = all(len(arrays[name]) == nodes for name in NODES) and len(arrays["root"]) == len(arrays["unit"])
    low, high = arrays["low"].cpu(), arrays["high"].cpu()
    leaf = low == numbers
    if not (same and width > 0 and len(arrays["base"]) == outputs):
        raise BundleError("the trees are damaged: their arrays are not of one length")
    if not (((low > numbers) & (high > numbers)) | (leaf & (high == numbers))).all():
        raise BundleError("the trees are damaged: a child stands before its parent")
    depth, at = 0, np.unique(arrays["root"].cpu().numpy())
    ends, below, above = leaf.numpy(), low.numpy(), high.numpy()
    while len(at := at[~ends[at]]):
        at, depth = np.unique(np.concatenate([below[at], above[at]])), depth + 1
    return depth


def build(config: Mapping[str, Any], inputs: Inputs, outputs: Outputs) -> nn.Module:
    """Trees without a node: [B, *inputs.shape] float32 -> [B, outputs]; `Trees.set` or `load_state_dict` fills them.

    Args:
        config: the names of the family's defaults, which are checked here and used by who grows the trees.
        inputs: layout of one sample; samples of several axes are flattened.
        outputs: number and kind of output units.

    Raises:
        SpecError: the inputs are tokens, or a setting has a wrong value.
    """
    parts.settings("trees", config)
    if inputs.kind == "tokens":
        raise SpecError("trees: they need numbers or categories, and texts are tokens; take bag, transformer or lstm")
    return Trees(int(inputs), int(outputs))
