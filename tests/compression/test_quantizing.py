"""ONNX networks: with VNNI instructions and without, and what their files hold."""

from pathlib import Path

import numpy as np
import pytest

from automl.bundle.compressed.network import OnnxNetwork
from automl.bundle.io import load_model
from automl.compression.ways import quantizing

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def ready(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return quantizing.float32(load_model(finished / "best"), tmp_path_factory.mktemp("ready"))


def largest_weight(content: bytes) -> int:
    """The largest absolute value of all weights with 8 bits, zero points aside."""
    tensors = (onnx.numpy_helper.to_array(t) for t in onnx.load_model_from_string(content).graph.initializer)
    return max(int(np.abs(t.astype(int)).max()) for t in tensors if t.dtype == np.int8 and t.ndim == 2)


@pytest.mark.parametrize("mode", ["static", "dynamic"])
def test_without_vnni_weights_have_7_bits_so_that_no_sum_saturates(finished: Path, ready: Path, mode: str) -> None:
    model = load_model(finished / "best")
    x = model.prepared(model.sample)
    x = x.repeat(16, 1)
    own = model.module(x).detach()
    for vnni, largest in ((True, 127), (False, 64)):
        content = quantizing.network(ready, mode, x, vnni=vnni)  # type: ignore[arg-type]
        assert largest_weight(content) in (largest, largest - 1)
        answers = OnnxNetwork(content, model_inputs(model))(x)
        assert (answers.argmax(1) == own.argmax(1)).float().mean() > 0.95


def model_inputs(model):  # type: ignore[no-untyped-def]
    from automl.data.shapes import Inputs

    return Inputs.from_json(model.manifest["inputs"])


def test_a_static_answer_depends_on_its_row_alone(finished: Path, ready: Path) -> None:
    model = load_model(finished / "best")
    x = model.prepared(model.sample).repeat(8, 1)
    network = OnnxNetwork(quantizing.network(ready, "static", x), model_inputs(model))
    other = x.clone()
    other[1:] *= 30
    assert np.allclose(network(x)[0], network(other)[0], atol=1e-5)


def test_files_hold_no_stack_traces_and_no_paths(ready: Path) -> None:
    content = quantizing.network(ready, "float32", None)  # type: ignore[arg-type]
    assert len(content) < 0.9 * ready.stat().st_size
    for word in (b".py", b"site-packages", b"aten", b"pkg.torch"):
        assert word not in content


@pytest.mark.parametrize(
    ("machine", "flags", "known"),
    [
        ("x86_64", "flags : sse avx2 avx512_vnni", True),
        ("AMD64", "flags : avx2 avx_vnni", True),
        ("x86_64", "flags : avx2 avx512f", False),
        ("x86_64", None, False),
        ("aarch64", None, True),
    ],
)
def test_vnni_is_found_out(machine: str, flags: str | None, known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(self: Path, **_: object) -> str:
        if flags is None:
            raise FileNotFoundError(self)
        return flags

    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr(Path, "read_text", read)
    assert quantizing.has_vnni() is known
