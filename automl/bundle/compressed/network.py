"""`OnnxNetwork`: a network in an ONNX file, which ONNX Runtime computes on the CPU, in the place of a torch module."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from automl.bundle.compressed import graph
from automl.data.shapes import Inputs
from automl.errors import EnvironmentProblem


class OnnxNetwork(nn.Module):
    """Called with prepared samples [N, *inputs.shape], it returns the outputs of an ONNX network.

    It has no parameters, computes on the CPU in as many threads as torch has when it is made, and returns its outputs
    on the device of its inputs.

    Args:
        content: of the file; it is checked (see `graph.check`), as a stranger may have written it.
        inputs: layout of one sample.

    Raises:
        EnvironmentProblem: onnx or onnxruntime is not installed.
        BundleError: the file is damaged, or has something else in it than a network of this project.
    """

    def __init__(self, content: bytes, inputs: Inputs) -> None:
        super().__init__()
        runtime = onnx_runtime()
        graph.check(content, inputs)
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
        options.log_severity_level = 3  # errors alone
        self.content = content
        self._session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._name: str = self._session.get_inputs()[0].name
        self._tokens = inputs.kind == "tokens"

    def forward(self, x: Tensor) -> Tensor:
        rows = x.detach().cpu()
        rows = rows.long() if self._tokens else rows.float()
        computed = self._session.run(None, {self._name: np.ascontiguousarray(rows.numpy())})[0]
        return torch.from_numpy(np.asarray(computed)).to(x.device)


def onnx_runtime() -> Any:
    """The module onnxruntime.

    Raises:
        EnvironmentProblem: it, or onnx, is not installed.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime
    except ImportError as error:
        raise EnvironmentProblem(
            f"this compressed model needs {error.name}: pip install 'automl-search[onnx]'"
        ) from error
    return onnxruntime
