"""Boosted trees as one ONNX operator, `ai.onnx.ml.TreeEnsemble`, which ONNX Runtime computes many times faster.

Inputs are float32 and thresholds float64: a value is at most a threshold exactly if it is at most the largest float32
that is not above the threshold. So every row reaches the same leaves; only the sum of the leaves is rounded to float32.

Shape letters: N rows, F features, M nodes of all trees.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from automl.errors import BundleError
from automl.models.adjusting import Adjusted
from automl.models.tables.trees import Trees

DOMAIN, OPERATOR, VERSION = "ai.onnx.ml", "TreeEnsemble", 5
AT_MOST, MEMBER = 0, 6
"""Modes of a node: its feature is at most the threshold; its feature is in a set."""


def trees_in(module: nn.Module) -> Trees | None:
    """The trees of a module that is trees, whose logits may be adjusted; None for any other one."""
    inner = module.inner if isinstance(module, Adjusted) else module
    return inner if isinstance(inner, Trees) else None


def content(module: nn.Module) -> bytes:
    """The content of an ONNX file that computes what `module` does, which `trees_in` knows as trees.

    Input "x" [N, F] float32, output "outputs" [N, units] float32.
    """
    from onnx import TensorProto, helper, numpy_helper

    trees = trees_in(module)
    assert trees is not None
    attributes, base = _attributes(trees)
    nodes = [
        helper.make_node(OPERATOR, ["x"], ["sum"], domain=DOMAIN, **attributes),
        helper.make_node("Add", ["sum", "base"], ["all"]),
    ]
    values = {"base": base}
    if isinstance(module, Adjusted):
        nodes += [helper.make_node("Mul", ["all", "scale"], ["scaled"]),
                  helper.make_node("Add", ["scaled", "shift"], ["shifted"])]  # fmt: skip
        values |= {"scale": module.scale.cpu().numpy(), "shift": module.shift.cpu().numpy()}
    nodes[-1].output[0] = "outputs"
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", trees.features])
    given = helper.make_tensor_value_info("outputs", TensorProto.FLOAT, ["rows", trees.outputs])
    constants = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in values.items()]
    graph = helper.make_graph(nodes, "trees", [taken], [given], constants)
    versions = [helper.make_opsetid("", 21), helper.make_opsetid(DOMAIN, VERSION)]
    model = helper.make_model(graph, opset_imports=versions, ir_version=10)
    found: bytes = model.SerializeToString()
    return found


def _attributes(trees: Trees) -> tuple[dict[str, Any], NDArray[np.float64]]:
    """(attributes of the operator, what is added to the sum): a tree that is one leaf is a part of the latter."""
    from onnx import helper

    arrays = {name: value.cpu().numpy() for name, value in trees.state_dict().items()}
    low, high, value, roots = (arrays[name] for name in ("low", "high", "value", "root"))
    leaf, base = low == np.arange(len(low)), arrays["base"].copy()
    alone = leaf[roots]
    np.add.at(base, arrays["unit"][alone], value[roots[alone]])
    if alone.all():  # not a single split: the operator needs one
        return _attributes(_one_split(trees))[0], base
    unit = _units(roots, arrays["unit"], low, high)
    inner, ends = np.flatnonzero(~leaf & (unit >= 0)), np.flatnonzero(leaf & (unit >= 0))
    at = np.zeros(len(low), dtype=np.int64)  # the place of a node among the inner ones, or of a leaf among the leaves
    at[inner], at[ends] = np.arange(len(inner)), np.arange(len(ends))

    def tensor(name: str, of: NDArray[Any]) -> Any:
        return helper.make_tensor(name, helper.np_dtype_to_tensor_dtype(of.dtype), of.shape, of)

    subset = arrays["subset"][inner]
    members = [_members(arrays["subsets"][s]) for s in subset if s > 0]
    found = {
        "n_targets": trees.outputs, "tree_roots": at[roots[~alone]].tolist(),
        "nodes_featureids": arrays["feature"][inner].tolist(),
        "nodes_splits": tensor("splits", _rounded_down(arrays["threshold"][inner])),
        "nodes_modes": tensor("modes", np.where(subset > 0, MEMBER, AT_MOST).astype(np.uint8)),
        "nodes_missing_value_tracks_true": arrays["missing_low"][inner].astype(int).tolist(),
        "nodes_truenodeids": at[low[inner]].tolist(), "nodes_trueleafs": leaf[low[inner]].astype(int).tolist(),
        "nodes_falsenodeids": at[high[inner]].tolist(), "nodes_falseleafs": leaf[high[inner]].astype(int).tolist(),
        "leaf_targetids": unit[ends].tolist(), "leaf_weights": tensor("weights", value[ends].astype(np.float32)),
    }  # fmt: skip
    if members:
        found["membership_values"] = tensor("members", np.concatenate(members).astype(np.float32))
    return found, base


def _units(
    roots: NDArray[np.int64], units: NDArray[np.int64], low: NDArray[np.int64], high: NDArray[np.int64]
) -> NDArray[np.int64]:
    """[M] the output unit that each node's tree adds to; -1: no tree has the node.

    Raises:
        BundleError: two trees share a node.
    """
    unit, at, own = np.full(len(low), -1, dtype=np.int64), roots, units
    while len(at):
        if len(np.unique(at)) < len(at) or (unit[at] >= 0).any():
            raise BundleError("trees that share nodes cannot be written as ONNX")
        unit[at] = own
        split = low[at] != at
        at, own = np.concatenate([low[at[split]], high[at[split]]]), np.concatenate([own[split], own[split]])
    return unit


def _members(codes: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The codes of a set with the mark of its end; a set must have one, and -1 is no code."""
    return np.append(np.flatnonzero(codes) if codes.any() else -1.0, np.nan)


def _rounded_down(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 that are not above these values."""
    near = threshold.astype(np.float32)
    return np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near)


def _one_split(like: Trees) -> Trees:
    """Trees of a single split, both of whose leaves are 0."""
    import torch

    trees = Trees(like.features, like.outputs)
    zeros, one = torch.zeros(3, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
    trees.set({
        "feature": zeros, "threshold": zeros, "low": torch.tensor([1, 1, 2]), "high": torch.tensor([2, 1, 2]),
        "missing_low": zeros, "subset": zeros, "value": zeros, "subsets": torch.zeros((1, 1)), "root": one,
        "unit": one, "base": torch.zeros(like.outputs),
    })  # fmt: skip
    return trees


def check(node: Any, features: int) -> None:
    """Check the attributes of a `TreeEnsemble` that a stranger may have written: trees, each node in one of them.

    Args:
        node: of the graph.
        features: F, of the value that it takes.

    Raises:
        BundleError: says what is wrong.
    """
    from onnx import helper, numpy_helper

    given: dict[str, Any] = {}
    for attribute in node.attribute:
        value = helper.get_attribute_value(attribute)
        given[attribute.name] = numpy_helper.to_array(value) if hasattr(value, "data_type") else np.asarray(value)
    try:
        sound = _is_sound(given, features)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise BundleError(f"model.onnx: its trees are damaged ({type(error).__name__}: {error})") from error
    if not sound:
        raise BundleError("model.onnx: its trees are damaged: a number lies outside of its range")


def _is_sound(given: dict[str, Any], features: int) -> bool:
    feature, modes = given["nodes_featureids"], given["nodes_modes"]
    targets, roots = given["leaf_targetids"], given["tree_roots"]
    nodes, leaves, numbers = len(feature), len(targets), np.arange(len(feature))
    ends = {"true": given["nodes_trueleafs"] == 1, "false": given["nodes_falseleafs"] == 1}
    children = {side: given[f"nodes_{side}nodeids"] for side in ends}
    ranges = [(feature, features), (targets, int(given["n_targets"])), (roots, nodes), (modes, MEMBER + 1)]
    for side, leaf in ends.items():
        ranges += [(children[side][leaf], leaves), (children[side][~leaf], nodes)]
    used = np.concatenate([roots, *(children[side][~leaf] for side, leaf in ends.items())])
    later = all((children[side][~leaf] > numbers[~leaf]).all() for side, leaf in ends.items())
    members = np.asarray(given.get("membership_values", ()))
    lengths = [given["nodes_splits"], modes, *ends.values(), *children.values()]
    lengths += [given[name] for name in ("nodes_missing_value_tracks_true",) if name in given]
    return (
        all(one.ndim == 1 and len(one) == nodes for one in lengths)
        and len(given["leaf_weights"]) == leaves
        and all(not len(one) or (one.min() >= 0 and one.max() < limit) for one, limit in ranges)
        and later
        and len(np.unique(used)) == len(used)
        and int(np.isnan(members).sum()) == int((modes == MEMBER).sum())
        and (not len(members) or bool(np.isnan(members[-1])))
        and {"nodes_hitrates"}.isdisjoint(given)
    )
