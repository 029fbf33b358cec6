"""The network as ONNX, for ONNX Runtime on a CPU: in float32, and with whole numbers of 8 bits.

- `float32`: the exported network; the same outputs, usually less time at few rows.
- `static`: weights (per output channel) and activations are int8 at scales fixed by rows of the training part
  (QDQ format). An answer does not depend on the rows that are asked for with it.
- `dynamic`: weights are int8; scales of activations are found for each call, over all rows that are asked for together.

Processors without VNNI instructions add products of 8-bit numbers up in 16 bits, with saturation: a network quantized
for others can lose 8 points of accuracy there without any message. For them weights get 7 bits (`reduce_range`).
"""

import logging
import platform
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from automl.bundle import export
from automl.bundle.compressed.network import onnx_runtime
from automl.bundle.model import Model
from automl.errors import EnvironmentProblem

Mode = Literal["float32", "static", "dynamic"]
FLOAT32 = "float32.onnx"
"""The file that `float32` writes."""
CALIBRATION_ROWS = 512
"""So many training rows fix the scales of activations."""
CALIBRATION_VALUES = 2**22
"""The maximum number of input values that are taken for that."""
WEIGHTED = ("MatMul", "Gemm", "Conv", "Gather")
"""Operators that are quantized, where one of their inputs is a weight; of `Gather`, where its table is one."""


def float32(model: Model, folder: Path) -> Path:
    """Write the model's network as an ONNX file in `folder`, pre-processed for quantization; returns the file.

    Raises:
        EnvironmentProblem: onnx, onnxscript or onnxruntime is not installed.
        BundleError: the network cannot be written as ONNX.
    """
    file, ready = folder / "exported.onnx", folder / FLOAT32
    export.to_onnx(model, file)
    try:
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise EnvironmentProblem(f"int8 needs {error.name}: pip install 'automl-search[compress]'") from error
    with _quiet():
        quant_pre_process(str(file), str(ready))
    return ready


def network(ready: Path, mode: Mode, x: Tensor, *, vnni: bool | None = None) -> bytes:
    """The content of an ONNX file in one of the modes.

    Args:
        ready: what `float32` has written.
        mode: see the head of this file.
        x: [N, *inputs.shape] prepared training rows, by which scales are fixed.
        vnni: whether the processor has VNNI instructions; None: as this one is.
    """
    onnx_runtime()
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.onnx"
        if mode == "float32":
            return _stripped(onnx.load(ready))
        _quantize(ready, out, mode, x, reduce=not (has_vnni() if vnni is None else vnni))
        return _stripped(onnx.load(out))


def _quantize(ready: Path, out: Path, mode: Mode, x: Tensor, *, reduce: bool) -> None:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static

    common: dict[str, Any] = {
        "op_types_to_quantize": list(WEIGHTED), "nodes_to_exclude": _without_weights(ready), "per_channel": True,
        "reduce_range": reduce, "weight_type": QuantType.QInt8,
    }  # fmt: skip
    with _quiet():
        if mode == "dynamic":
            quantize_dynamic(ready, out, **common)
        else:
            # activations of a reduced range would be rounded more than needed: with 7-bit weights no sum saturates
            quantize_static(
                ready, out, _rows(ready, x), quant_format=QuantFormat.QDQ, activation_type=QuantType.QUInt8, **common
            )


def has_vnni() -> bool:
    """Whether products of 8-bit numbers are added up exactly: VNNI instructions on x86; other processors always do."""
    if platform.machine().lower() not in ("x86_64", "amd64", "i686", "x86"):
        return True
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False  # not known: 7 bits are right on every processor
    return "avx512_vnni" in flags or "avx_vnni" in flags


def note_on(way: str) -> str:
    """What is to be said of a variant that was made in this way, on this processor; mostly nothing."""
    seven = way == "int8" and not has_vnni()
    return "weights of 7 bits, as this processor has no VNNI instructions" if seven else ""


def _without_weights(ready: Path) -> list[str]:
    """Products of two activations (of attention), and lookups in what is no table of weights: they stay as they are."""
    import onnx

    graph = onnx.load(ready).graph
    weights = {t.name for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT and len(t.dims) > 1}
    return [
        node.name
        for node in graph.node
        if node.op_type in WEIGHTED and not weights & {*node.input[: 1 if node.op_type == "Gather" else None]}
    ]


def _rows(ready: Path, x: Tensor) -> Any:
    """A few training rows, spread over all of them, as the quantizer reads them."""
    from onnxruntime.quantization import CalibrationDataReader

    each = max(1, x[0].numel())
    number = max(1, min(len(x), CALIBRATION_ROWS, CALIBRATION_VALUES // each))
    rows = x[np.linspace(0, len(x) - 1, number).astype(int)].contiguous().numpy()

    class Rows(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._pieces: Iterator[NDArray[Any]] = iter(np.array_split(rows, max(1, number // 64)))

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            piece = next(self._pieces, None)
            return None if piece is None else {"x": piece}

    return Rows()


def _stripped(model: Any) -> bytes:
    """The file without names, shapes and stack traces for people: of a small network they are most of it."""
    graph = model.graph
    model.doc_string = model.producer_name = model.producer_version = ""
    used = {node.domain for node in graph.node}
    kept = [one for one in model.opset_import if one.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    del graph.value_info[:], model.metadata_props[:], graph.metadata_props[:]
    for k, node in enumerate(graph.node):
        node.doc_string, node.name = "", f"n{k}"
        del node.metadata_props[:]
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.doc_string = ""
        del value.metadata_props[:]
    content: bytes = _renamed(model).SerializeToString()
    return content


def _renamed(model: Any) -> Any:
    """Values get short names; inputs and outputs keep theirs."""
    graph, short = model.graph, {"": ""}
    for value in (*graph.input, *graph.output):
        short[value.name] = value.name
    for tensor in graph.initializer:
        tensor.name = short.setdefault(tensor.name, f"w{len(short)}")
    for node in graph.node:
        node.input[:] = [short.setdefault(name, f"v{len(short)}") for name in node.input]
        node.output[:] = [short.setdefault(name, f"v{len(short)}") for name in node.output]
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides the quantizer's advice: what it advises is done here."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
