"""Trees for ONNX Runtime, and fewer trees: what stays the same, and which files of strangers are refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from automl.bundle.compressed import tree_graph
from automl.bundle.compressed.network import OnnxNetwork
from automl.compression.measuring import count
from automl.compression.ways import tree_pruning
from automl.data.shapes import Inputs, Outputs
from automl.errors import BundleError
from automl.models.adjusting import SCALE, SHIFT, adjusted
from automl.models.tables.trees import Trees, build
from automl.training.trees.growing import Tree, packed

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
FEATURES, CODES = 5, 4


def one_tree(rng: np.random.Generator, unit: int, splits: int) -> Tree:
    """A random tree whose last feature is a category."""
    low, high, leaves = [0], [0], [0]
    for _ in range(splits):
        node = leaves.pop(int(rng.integers(len(leaves))))
        low[node], high[node] = len(low), len(low) + 1
        leaves += [len(low), len(low) + 1]
        low += leaves[-2:]
        high += leaves[-2:]
    nodes = len(low)
    feature = rng.integers(FEATURES, size=nodes)
    inner = [node for node in range(nodes) if low[node] != node]
    sets = {node: rng.random(CODES) < 0.5 for node in inner if feature[node] == FEATURES - 1}
    return Tree(
        unit, feature, rng.normal(size=nodes), np.array(low), np.array(high), rng.random(nodes) < 0.5,
        rng.normal(size=nodes), sets,
    )  # fmt: skip


def random_trees(seed: int, splits: int = 9, count: int = 12) -> Trees:
    rng = np.random.default_rng(seed)
    module = build({}, Inputs(FEATURES), Outputs(2))
    assert isinstance(module, Trees)
    trees = [one_tree(rng, int(rng.integers(2)), splits if k else 0) for k in range(count)]
    module.set(packed(trees, rng.normal(size=2)))
    return module


def rows(seed: int, number: int = 400) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(number, FEATURES)).astype(np.float32)
    x[:, -1] = rng.integers(CODES, size=number)
    x[rng.random(x.shape) < 0.1] = np.nan
    return torch.from_numpy(x)


@pytest.mark.parametrize("seed", range(4))
def test_the_operator_gives_the_same_answers_also_at_thresholds_for_missing_values_and_sets(seed: int) -> None:
    module, x = random_trees(seed), rows(seed)
    numbers = module.feature != FEATURES - 1
    near = torch.from_numpy(tree_graph._rounded_down(module.threshold.numpy()))
    for step, at in enumerate(torch.nonzero(numbers).flatten()[:300].tolist()):  # rows exactly at thresholds
        x[step, int(module.feature[at])] = near[at]
    for of in (module, adjusted(module, {SCALE: torch.tensor([0.5]), SHIFT: torch.tensor([1.0, -2.0])})):
        network = OnnxNetwork(tree_graph.content(of), Inputs(FEATURES))
        assert torch.allclose(network(x), of(x), atol=1e-5)


def test_trees_without_a_split_are_a_constant() -> None:
    module, x = random_trees(0, splits=0), rows(0)
    assert torch.allclose(OnnxNetwork(tree_graph.content(module), Inputs(FEATURES))(x), module(x), atol=1e-6)


def damaged(change: Callable[[dict[str, Any]], None]) -> bytes:
    model = onnx.load_model_from_string(tree_graph.content(random_trees(1)))
    node = model.graph.node[0]
    given = {attribute.name: attribute for attribute in node.attribute}
    change(given)
    return bytes(model.SerializeToString())


def child_above_parent(given: dict[str, Any]) -> None:
    at = next(k for k, leaf in enumerate(given["nodes_trueleafs"].ints) if not leaf)
    given["nodes_truenodeids"].ints[at] = 0


def shared_node(given: dict[str, Any]) -> None:
    inner = [k for k, leaf in enumerate(given["nodes_trueleafs"].ints) if not leaf]
    given["nodes_truenodeids"].ints[inner[0]] = given["nodes_truenodeids"].ints[inner[-1]]


@pytest.mark.parametrize(
    "change",
    [
        child_above_parent,
        shared_node,
        lambda given: given["nodes_featureids"].ints.__setitem__(0, FEATURES),
        lambda given: given["leaf_targetids"].ints.__setitem__(0, 2),
        lambda given: given["tree_roots"].ints.__setitem__(0, 10**6),
        lambda given: given["leaf_weights"].t.CopyFrom(onnx.numpy_helper.from_array(np.zeros(3, np.float32))),
        lambda given: given["nodes_modes"].t.CopyFrom(onnx.numpy_helper.from_array(np.zeros(1, np.uint8))),
        lambda given: given["tree_roots"].ints.__setitem__(0, -1),
        lambda given: given.pop("nodes_featureids").ints.__delitem__(slice(None)),
    ],
)
def test_trees_of_strangers_are_checked_before_they_are_run(change: Callable[[dict[str, Any]], None]) -> None:
    with pytest.raises(BundleError, match="trees are damaged"):
        OnnxNetwork(damaged(change), Inputs(FEATURES))
    OnnxNetwork(damaged(lambda given: None), Inputs(FEATURES))


def test_the_trees_that_stay_are_fitted_to_what_all_had_said() -> None:
    module, x = random_trees(2, count=40), rows(3, 2000)
    module.value *= torch.linspace(2.0, 0.5, len(module.value))
    whole = module(x)
    for share, near in ((0.3, 0.6), (0.5, 0.8)):
        fewer = tree_pruning.pruned(module, x, share)
        assert isinstance(fewer, Trees)
        assert len(fewer.root) == round((1 - share) * 40)
        assert count(fewer) < count(module)
        cut = random_trees(2, count=40)
        cut.set({**fewer.state_dict(), "value": _own_values(module, fewer)})
        lost = [float((one(x) - whole).square().mean()) for one in (fewer, cut)]
        assert lost[0] < near * lost[1]  # than those of the same trees as they were
    assert torch.equal(module(x), whole)


def _own_values(module: Trees, fewer: Trees) -> torch.Tensor:
    """The values that the leaves of the trees that stay had: they lie first."""
    return module.value[: len(fewer.value)]
