"""A saved model in the formats of other programs, ONNX and torch.export.

What is written is the network alone: it takes rows that were prepared as `preparation.json` says (`Model.prepared`)
and gives logits, or values in standard units, for any number of rows. The file is kept only if it gives the same
outputs as the model.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from automl.bundle.compressed.network import OnnxNetwork
from automl.bundle.model import Model
from automl.core import files as plain
from automl.errors import BundleError, EnvironmentProblem

TOLERANCE = 1e-4
"""How much the written network's outputs may differ from the model's own, absolute plus relative."""


def to_onnx(model: Model, file: Path) -> float:
    """Write one ONNX file, and run it with onnxruntime on the bundle's sample rows.

    Args:
        model: a loaded bundle.
        file: where to write.

    Returns:
        The largest difference between its outputs and the model's.

    Raises:
        EnvironmentProblem: the extra `onnx` is not installed.
        BundleError: the model cannot be written in this format, or its outputs differ.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise EnvironmentProblem(f"ONNX needs {error.name}: pip install 'automl-search[onnx]'") from error
    if isinstance(model.module, OnnxNetwork):  # a compressed model that is one already
        file.parent.mkdir(parents=True, exist_ok=True)
        plain.write(file, model.module.content)
        return 0.0

    def write(x: Tensor, part: Path) -> Callable[[Tensor], Tensor]:
        torch.onnx.export(
            model.module, (x,), part, dynamo=True, external_data=False, input_names=["x"], output_names=["outputs"],
            dynamic_shapes=({0: torch.export.Dim("rows")},), verbose=False,
        )  # fmt: skip
        session = onnxruntime.InferenceSession(part, providers=["CPUExecutionProvider"])
        return lambda rows: torch.from_numpy(np.asarray(session.run(None, {"x": rows.numpy()})[0]))

    return _written(model, file, write, "ONNX")


def to_pt2(model: Model, file: Path) -> float:
    """Write a `torch.export` archive (for AOTInductor and C++), load it again, and run it on the bundle's sample rows.

    Args:
        model: a loaded bundle.
        file: where to write.

    Returns:
        The largest difference between its outputs and the model's.

    Raises:
        BundleError: the model cannot be written in this format, or its outputs differ.
    """

    if isinstance(model.module, OnnxNetwork):
        raise BundleError(
            "this compressed model is an ONNX network: export it as ONNX; torch.export takes torch modules"
        )

    def write(x: Tensor, part: Path) -> Callable[[Tensor], Tensor]:
        program = torch.export.export(model.module, (x,), dynamic_shapes=({0: torch.export.Dim("rows")},))
        torch.export.save(program, part)
        run: Callable[[Tensor], Tensor] = torch.export.load(part).module()
        return run

    return _written(model, file, write, "torch.export")


def _written(model: Model, file: Path, write: Callable[[Tensor, Path], Callable[[Tensor], Tensor]], name: str) -> float:
    """Write to another file, compare outputs for two numbers of rows, and only then rename it to `file`.

    `write` writes the network for samples like `x` and returns how the written one is called.
    """
    x = model.prepared(model.sample)
    x = torch.cat([x, x])[: max(len(x), 3)]  # a batch of one would be taken for a constant
    part = file.with_name(f".{file.stem}.part{file.suffix}")
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _quiet():
            run = write(x, part)
            gaps = [_gap(model, run, rows) for rows in (x, x[:1])]
        part.replace(file)
    except BundleError:
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise BundleError(f"this model cannot be written as {name}: {type(error).__name__}: {reason}") from error
    finally:
        part.unlink(missing_ok=True)
    return max(gaps)


def _gap(model: Model, run: Callable[[Tensor], Tensor], rows: Tensor) -> float:
    with torch.no_grad():
        expected, computed = model.module(rows.to(model.device)).cpu(), run(rows)
    if computed.shape != expected.shape or not torch.allclose(computed, expected, rtol=TOLERANCE, atol=TOLERANCE):
        raise BundleError("the written model does not give the outputs of the saved one; nothing was kept")
    return float((computed - expected).abs().max())


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides the exporters' progress lines, and their warnings about coming versions."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
