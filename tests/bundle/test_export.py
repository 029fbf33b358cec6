"""Exported networks: the same outputs for any number of rows, or nothing written."""

from pathlib import Path
from typing import Any

import pytest
import torch

from automl.bundle import export, io
from automl.bundle.model import Model
from automl.data import load
from automl.errors import BundleError
from automl.models import build
from automl.training import Trainer


def saved(folder: Path, model: str, config: dict[str, Any], own: Any = None) -> Model:
    prepared = load("digits", seed=1, prepare={"form": "images"} if model == "convnet" else None)
    trainer = Trainer(own or build(model), prepared, config, 1, seed=0)
    report = trainer.epoch()
    io.save(
        folder, model=model, config=config, prepared=prepared, state_dict=trainer.weights(), metrics=report, build=own
    )
    return io.load_model(folder, build=own)


MODELS = [("mlp", {"depth": 2, "width": 16, "norm": "batch", "residual": True}), ("convnet", {"width": 8, "stages": 2})]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "config"), MODELS)
def test_pt2_gives_the_same_outputs(tmp_path: Path, name: str, config: dict[str, Any]) -> None:
    model = saved(tmp_path / "best", name, config)
    assert export.to_pt2(model, tmp_path / "out" / "model.pt2") < 1e-4
    again = torch.export.load(tmp_path / "out" / "model.pt2").module()
    x = torch.randn(37, *model.prepared(model.sample).shape[1:])
    assert torch.allclose(again(x), model.module(x), atol=1e-4)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["model.pt2"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "config"), MODELS)
def test_onnx_gives_the_same_outputs(tmp_path: Path, name: str, config: dict[str, Any]) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = saved(tmp_path / "best", name, config)
    assert export.to_onnx(model, tmp_path / "model.onnx") < 1e-4
    session = runtime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    x = torch.randn(37, *model.prepared(model.sample).shape[1:])
    found = torch.from_numpy(session.run(None, {"x": x.numpy()})[0])
    assert torch.allclose(found, model.module(x).detach(), atol=1e-4)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best", "model.onnx"]


class Doubtful(torch.nn.Module):
    """One way while it is looked at, another one later: no exporter can see that."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(inputs, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) * (1.0 if torch.compiler.is_exporting() else 2.0)


def test_a_network_that_answers_differently_is_not_written(tmp_path: Path) -> None:
    model = saved(tmp_path / "best", "mine:own", {}, own=lambda config, inputs, outputs: Doubtful(inputs, outputs))
    with pytest.raises(BundleError, match="does not give the outputs"):
        export.to_pt2(model, tmp_path / "model.pt2")
    assert [p.name for p in tmp_path.iterdir()] == ["best"]


def test_a_network_that_cannot_be_traced_is_told(tmp_path: Path) -> None:
    class Branching(torch.nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) if x.sum().item() > -1e9 else x

    model = saved(tmp_path / "best", "mine:own", {}, own=lambda config, inputs, outputs: Branching(inputs, outputs))
    with pytest.raises(BundleError, match=r"cannot be written as torch\.export"):
        export.to_pt2(model, tmp_path / "model.pt2")
