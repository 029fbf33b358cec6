"""What is checked of an ONNX network before ONNX Runtime gets it: a stranger may have written it.

Such a file holds no code, but it can name other files, operators of other libraries, and operations that take any
amount of memory. So operators are from a list, all weights are in the file, and the size of every value is computed
from the sizes of inputs and weights before anything is run.
"""

from collections.abc import Iterator
from typing import Any

from automl.bundle.compressed import tree_graph
from automl.data.shapes import Inputs
from automl.errors import BundleError

LARGEST_BYTES = 2**31 - 1
"""A larger file is refused; no larger ONNX file can be read whole."""
LARGEST_VALUE = 2**26
"""No value in the network has more numbers for one sample."""
MOST_NODES = 50_000
_NAMES = """
Add And BatchNormalization Cast Ceil Clip Concat Constant Conv ConvInteger Cos CumSum DequantizeLinear Div
DynamicQuantizeLinear Einsum Equal Erf Exp Expand Flatten Floor Gather GatherElements Gelu Gemm GlobalAveragePool
Greater GreaterOrEqual GroupNormalization Identity InstanceNormalization IsNaN LSTM LayerNormalization Less
LessOrEqual Log MatMul MatMulInteger Max Min Mul Neg Not Or Pad Pow QuantizeLinear RMSNormalization Reciprocal
ReduceMax ReduceMean ReduceSum Relu Reshape Shape Sigmoid Sin Slice Softmax Softplus Split Sqrt Squeeze Sub Sum Swish
Tanh Tile Transpose Trilu Unsqueeze Where
"""
OPERATORS = frozenset(_NAMES.split())
"""The operators that networks of this project's families consist of, exported and quantized."""


def check(content: bytes, inputs: Inputs) -> None:
    """Check an ONNX network.

    Args:
        content: of the file.
        inputs: layout of one sample that it has to take.

    Raises:
        BundleError: says what is wrong with it.
    """
    import onnx

    if len(content) > LARGEST_BYTES:
        raise BundleError(f"model.onnx: larger than {LARGEST_BYTES} bytes")
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # of the parser, whatever it is
        raise BundleError("model.onnx: not an ONNX file") from error
    nodes = model.graph.node
    if len(nodes) > MOST_NODES or model.functions or model.training_info:
        raise BundleError(f"model.onnx: it has functions, training information, or more than {MOST_NODES} operators")
    for node in nodes:
        if (node.domain, node.op_type) == (tree_graph.DOMAIN, tree_graph.OPERATOR):
            if list(node.input) != [model.graph.input[0].name] or len(inputs.shape) != 1:
                raise BundleError("model.onnx: trees take the samples themselves, as rows of numbers")
            tree_graph.check(node, int(inputs))
        elif node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS:
            raise BundleError(f"model.onnx: the operator {node.domain or 'ai.onnx'}.{node.op_type} is not allowed")
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data for tensor in _tensors(model)):
        raise BundleError("model.onnx: it names another file for its weights")
    _check_sizes(model, inputs)


def _tensors(model: Any) -> Iterator[Any]:
    """All tensors that are stored in the file."""
    yield from model.graph.initializer
    for sparse in model.graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in model.graph.node:
        for attribute in node.attribute:
            yield from (
                attribute.t,
                *attribute.tensors,
                attribute.sparse_tensor.values,
                attribute.sparse_tensor.indices,
            )


def _check_sizes(model: Any, inputs: Inputs) -> None:
    """Check that the network takes the samples, and that no value in it is too large."""
    import onnx

    known = {tensor.name for tensor in model.graph.initializer}
    taken = [value for value in model.graph.input if value.name not in known]
    if len(taken) != 1 or len(model.graph.output) != 1:
        raise BundleError("model.onnx: it needs one input and one output")
    dimensions = taken[0].type.tensor_type.shape.dim
    if [dimension.dim_value for dimension in dimensions[1:]] != list(inputs.shape):
        raise BundleError(f"model.onnx: it does not take samples of the shape {list(inputs.shape)}")
    dimensions[0].dim_value = 1  # one sample; with more of them, values grow in proportion
    del model.graph.value_info[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    try:
        found = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as error:  # of the library, whatever it is
        raise BundleError(f"model.onnx: its values do not fit together ({str(error)[:200]})") from error
    sizes = {value.name: _size(value) for value in (*found.graph.value_info, *found.graph.output)}
    for node in found.graph.node:
        for name in filter(None, node.output):
            if not 0 <= sizes.get(name, -1) <= LARGEST_VALUE:
                what = "is unknown" if sizes.get(name, -1) < 0 else f"is above {LARGEST_VALUE}"
                raise BundleError(f"model.onnx: the size of {name!r:.80} ({node.op_type}) {what}")


def _size(value: Any) -> int:
    """How many numbers a value has; -1 where that is not known."""
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return -1
    size = 1
    for dimension in kind.shape.dim:
        if not dimension.HasField("dim_value"):
            return -1
        size *= dimension.dim_value
    return int(size)
