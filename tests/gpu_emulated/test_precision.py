"""What trials compute in on a GPU: TF32 for lanes, bf16 and a compiler for one that fills it, float64 for the probe."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from automl.core.trial import Metric
from automl.data.prepared import Part
from automl.data.shapes import Inputs, Outputs
from automl.fused.modules.blueprint import Blueprint
from automl.fused.sizing.measurements import MeasurementCache
from automl.fused.sizing.probe import probe
from automl.models import build
from automl.tasks.builtin import BuiltinTask
from automl.tasks.session import TrainingSession
from automl.training import precision
from automl.worker import gpu_memory
from automl.worker.link import Place
from tests.gpu_emulated.kit import patched, small_digits

GPU = torch.device("cuda")
SMALL = {"width": 64, "batch_size": 32, "lr": 1e-3}


def settings() -> tuple[str, bool]:
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(("tf32", "expected"), [(True, ("high", True)), (False, ("highest", False))])
def test_products_of_a_gpu_round_their_factors_or_do_not(tf32: bool, expected: tuple[str, bool]) -> None:
    before = settings()
    with precision.products(GPU, tf32=tf32):
        assert settings() == expected
    assert settings() == before
    with precision.products(torch.device("cpu"), tf32=tf32):
        assert settings() == before


def session(monkeypatch: pytest.MonkeyPatch, device: str = "cuda:0", **recipe: Any) -> TrainingSession:
    monkeypatch.setattr("automl.training.gpu.require", lambda device: None)
    task = BuiltinTask("mlp", "digits", 2, Metric("val_loss"), sent=small_digits(), **recipe)
    return TrainingSession(task, device)


@pytest.mark.parametrize(
    ("asked", "tf32", "bf16"),
    [("auto", True, False), ("tf32", True, False), ("fp32", False, False), ("bf16", True, True)],
)
def test_lanes_have_the_format_that_was_asked_for(
    asked: str, tf32: bool, bf16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = session(monkeypatch, settings={"precision": asked})
    assert (made.tf32, made.bf16) == (tf32, bf16)
    assert not session(monkeypatch, "cpu", settings={"precision": asked}).tf32


def test_who_fills_a_gpu_trains_in_the_trainer_whoever_else_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    large = {**SMALL, "width": 8192, "depth": 4, "batch_size": 256}
    assert session(monkeypatch).why_alone(SMALL) == ""
    assert "keeps the GPU busy by itself" in session(monkeypatch).why_alone(large)
    assert session(monkeypatch).why_alone({**large, "lr": 1e-2}) == session(monkeypatch).why_alone(large)
    assert session(monkeypatch, fuse="require").why_alone(large) == ""
    assert session(monkeypatch, "cpu").why_alone(large) == ""


def test_the_data_are_on_the_device_once_for_lanes_and_trials_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[int] = []

    def to(self: Part, device: str) -> Part:
        moved.append(len(self))
        return Part(self.x, self.y, self.weight)

    monkeypatch.setattr(Part, "to", to)
    monkeypatch.setattr("automl.training.gpu.require_room", lambda *given: None)
    made = session(monkeypatch)
    assert made.resident(SMALL) is made.resident({**SMALL, "lr": 1e-2})
    assert moved == [len(made.prepared.train), len(made.prepared.val)]


def rounded(values: torch.Tensor) -> torch.Tensor:
    """As TF32 does: ten bits of the mantissa are kept."""
    if values.dtype != torch.float32:
        return values
    bits = values.detach().contiguous().view(torch.int32)
    return values + (((bits + 0x1000) & ~0x1FFF).view(torch.float32) - values).detach()


@pytest.mark.parametrize("depth", [1, 2])
def test_convolutions_in_tf32_do_not_make_a_model_unfusable(depth: int) -> None:
    convolution = F.conv2d

    def tf32(x: Any, weight: Any, *given: Any, **more: Any) -> Any:
        return convolution(rounded(x), rounded(weight), *given, **more)

    made = Blueprint(build("convnet"), Inputs((3, 16, 16)), Outputs(4), torch.device("cpu"))
    images = torch.randn(32, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    data = Part(images, torch.arange(32) % 4)
    with patched(F, "conv2d", tf32):
        found = probe(made, {"width": 8, "depth": depth, "batch_size": 16}, "classification", data)
    assert found.ok, found.reason


def test_what_was_measured_belongs_to_the_model_of_the_gpu(tmp_path: Path) -> None:
    file = tmp_path / "lanes.json"
    MeasurementCache(file, "NVIDIA H100 80GB HBM3").put("mlp", {"lanes": 128})
    assert MeasurementCache(file, "NVIDIA H100 80GB HBM3").get("mlp") == {"lanes": 128}
    assert MeasurementCache(file, "NVIDIA T4").get("mlp") is None


def test_workers_that_share_a_gpu_share_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    capped: list[tuple[float, str]] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda share, device: capped.append((share, device))
    )
    monkeypatch.setattr(gpu_memory, "_capped", {})
    for _ in range(2):
        gpu_memory.cap_memory(Place(0, ("cuda:0",), gpu_share=0.5))
    gpu_memory.cap_memory(Place(0, ("cuda:0",)))
    gpu_memory.cap_memory(Place(0, ("cpu",), gpu_share=0.5))
    assert capped == [(0.5, "cuda:0")]
