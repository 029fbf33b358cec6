"""Compressed models of a stranger: no other file is read, no memory is taken that the weights do not ask for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import automl
from automl.bundle import files
from automl.bundle.compressed import graph, writing
from automl.bundle.compressed.writing import Network
from automl.bundle.io import load_model
from automl.data.shapes import Inputs
from automl.errors import BundleError
from automl.models import build
from tests.compression.conftest import copied
from tests.support.bundles import Change, edit, rehash

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper  # noqa: E402


def network(nodes: list[Any], weights: list[Any] = (), shape: tuple[Any, ...] = ("rows", 4)) -> Any:  # type: ignore[assignment]
    """An ONNX model from `x` to `outputs`."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    out = helper.make_tensor_value_info("outputs", TensorProto.FLOAT, None)
    opset = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1), helper.make_opsetid("evil", 1)]
    return helper.make_model(helper.make_graph(nodes, "g", [x], [out], weights), opset_imports=opset)


def weight(name: str, value: Any) -> Any:
    return onnx.numpy_helper.from_array(np.asarray(value), name)


def external() -> Any:
    tensor = weight("w", np.ones((4, 3), np.float32))
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return network([helper.make_node("MatMul", ["x", "w"], ["outputs"])], [tensor])


def external_constant() -> Any:
    tensor = weight("w", np.ones((4, 3), np.float32))
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    nodes = [helper.make_node("Constant", [], ["w"], value=tensor), helper.make_node("MatMul", ["x", "w"], ["outputs"])]
    return network(nodes)


def huge() -> Any:
    """One small file that would take 4 TB."""
    to = weight("to", np.array([1, 2**20, 2**20]))
    nodes = [helper.make_node("ReduceSum", ["x"], ["s"]), helper.make_node("Expand", ["s", "to"], ["outputs"])]
    return network(nodes, [to])


def product_of_large_ones() -> Any:
    a, b = weight("a", np.ones((2**14, 1), np.float32)), weight("b", np.ones((1, 2**14), np.float32))
    nodes = [helper.make_node("MatMul", ["a", "b"], ["c"]), helper.make_node("ReduceSum", ["c"], ["d"], keepdims=0)]
    return network([*nodes, helper.make_node("Add", ["x", "d"], ["outputs"])], [a, b])


def unknown_size() -> Any:
    """How often `x` is repeated depends on its values."""
    nodes = [
        helper.make_node("Cast", ["x"], ["n"], to=TensorProto.INT64), helper.make_node("Reshape", ["n", "flat"], ["m"]),
        helper.make_node("Expand", ["one", "m"], ["outputs"]),
    ]  # fmt: skip
    return network(nodes, [weight("flat", np.array([4])), weight("one", np.ones(1, np.float32))])


STRANGE: dict[str, tuple[Callable[[], Any], str]] = {
    "other domain": (lambda: network([helper.make_node("Run", ["x"], ["outputs"], domain="evil")]), "evil.Run is not"),
    "loop": (lambda: network([helper.make_node("Loop", ["", "", "x"], ["outputs"])]), "Loop is not allowed"),
    "microsoft": (lambda: network([helper.make_node("FusedMatMul", ["x", "x"], ["outputs"], domain="com.microsoft")]),
                  "FusedMatMul is not allowed"),
    "external": (external, "names another file"),
    "external constant": (external_constant, "names another file"),
    "huge": (huge, "is above"),
    "product": (product_of_large_ones, "is above"),
    "unknown": (unknown_size, "is unknown"),
    "shape": (lambda: network([helper.make_node("Relu", ["x"], ["outputs"])], shape=("rows", 5)), "does not take"),
    "does not fit": (lambda: network([helper.make_node("MatMul", ["x", "w"], ["outputs"])],
                                     [weight("w", np.ones((7, 3), np.float32))]), "do not fit together"),
}  # fmt: skip


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_network_is_refused_before_it_is_run(name: str) -> None:
    make, told = STRANGE[name]
    with pytest.raises(BundleError, match=told):
        graph.check(make().SerializeToString(), Inputs((4,)))


def test_a_plain_network_passes_and_no_other_content_does() -> None:
    plain = network([helper.make_node("MatMul", ["x", "w"], ["outputs"])], [weight("w", np.ones((4, 3), np.float32))])
    content = plain.SerializeToString()
    graph.check(content, Inputs((4,)))
    for other in (b"", b"\x00" * 100, b"GIF89a", content[: len(content) // 2], content[::-1]):
        with pytest.raises(BundleError, match=r"model\.onnx"):
            graph.check(other, Inputs((4,)))


def test_a_changed_network_in_a_bundle_is_refused(quantized: Path, tmp_path: Path) -> None:
    bundle = copied(quantized, tmp_path) / "compressed" / "best"
    automl.load(bundle)
    whole = (bundle / files.NETWORK).read_bytes()
    (bundle / files.NETWORK).write_bytes(whole[:-1] + b"\x00")
    with pytest.raises(BundleError, match="is not the file that was saved"):
        automl.load(bundle)
    (bundle / files.NETWORK).write_bytes(huge().SerializeToString())
    rehash(bundle, files.NETWORK)
    with pytest.raises(BundleError, match="samples of the shape"):
        automl.load(bundle)
    (bundle / files.NETWORK).write_bytes(whole)
    rehash(bundle, files.NETWORK)
    other = {"rows": lambda s: s["rows"], "outputs": lambda s: s["outputs"]}
    edit(bundle, "sample.json", lambda sample: other["outputs"](sample)[0].__setitem__(0, 1000.0))
    with pytest.raises(BundleError, match="does not give the outputs"):
        automl.load(bundle)


@pytest.fixture
def small(finished: Path, tmp_path: Path) -> Path:
    """A bundle of the digits network with 3 of its 64 units in the first layer."""
    model = load_model(finished / "best")
    layers = {"1.0": {"kind": "linear", "inputs": 64, "outputs": 3, "bias": True},
              "2.0": {"kind": "linear", "inputs": 3, "outputs": 64, "bias": True}}  # fmt: skip
    weights = dict(model.module.state_dict())
    weights |= {"1.0.weight": torch.ones(3, 64), "1.0.bias": torch.ones(3), "2.0.weight": torch.ones(64, 3)}
    network = Network(model.config, layers, weights)
    return writing.write(tmp_path / "small", finished / "best", network, build("mlp"), {"name": "three"}, {})


def test_a_cut_network_is_a_bundle_like_any_other(small: Path) -> None:
    model = load_model(small)
    assert model.module[1][0].weight.shape == (3, 64)
    assert model.predict(np.zeros((2, 64))).shape == (2,)


@pytest.mark.parametrize(
    ("file", "change", "told"),
    [
        ("model.json", lambda m: m["layers"]["1.0"].update(outputs=2**24), "do not fit the model|not enough memory"),
        ("model.json", lambda m: m["layers"]["1.0"].update(outputs=4), "do not fit the model"),
        ("model.json", lambda m: m["layers"]["1.0"].update(outputs=-4), "whole numbers"),
        ("model.json", lambda m: m["layers"].update({"8": {"kind": "linear"}}), "no layer '8'"),
        ("model.json", lambda m: m.update(layers=3), "no table of layers"),
        ("model.json", lambda m: m.update(layers={"1.0": 3}), "no table of layers"),
        ("model.json", lambda m: m.pop("layers"), "no table of layers"),
        ("model.json", lambda m: m.update(model="os:system"), "outside this bundle"),
        ("manifest.json", lambda m: m.update(version=99), "a newer automl wrote it"),
        ("manifest.json", lambda m: m.update(format="automl-bundle"), "not a bundle this version can read"),
        ("manifest.json", lambda m: m["files"].update({"model.onnx": "0"}), "model.onnx is missing"),
    ],
)
def test_wrong_descriptions_in_a_bundle_are_refused(small: Path, file: str, change: Change, told: str) -> None:
    edit(small, file, change)
    with pytest.raises(BundleError, match=told):
        automl.load(small)
