"""One small study on digits, compressed in each test in a copy of its own."""

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

import automl
from automl.compression import measuring

SPEC = """study: dig
model: {model}
data: {data}
metric: val_accuracy
epochs: {epochs}
space:
  width: {{choice: [{width}]}}
  depth: {{choice: [{depth}]}}
  lr: {{choice: [0.002]}}
budget: {{trials: 1}}
finalists: {{top: 1, seeds: 1}}
{more}"""


def searched(
    folder: Path, model: str = "mlp", width: int = 64, depth: int = 2, epochs: int = 12, more: str = "", rows: int = 0
) -> Path:
    """The folder of a finished study; with `rows`: on the first digits instead of all."""
    data = "digits"
    if rows:
        x, y = load_digits(return_X_y=True)
        np.savez(folder / "some.npz", x=x[:rows], y=y[:rows])
        data = "some.npz"
    text = SPEC.format(model=model, data=data, width=width, depth=depth, epochs=epochs, more=more)
    (folder / "space.yaml").write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = automl.search(folder / "space.yaml", dir=folder / "studies", executor="inline")
    assert study.path is not None
    return study.path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return searched(tmp_path_factory.mktemp("digits"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Latencies are measured a tenth as long, for tests that do not look at them."""
    monkeypatch.setattr(measuring, "BLOCK_S", measuring.BLOCK_S / 10)


@pytest.fixture
def study(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished study, beside a copy of its specification."""
    return copied(finished, tmp_path)


@pytest.fixture(scope="session")
def quantized(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose winner was compressed with ONNX Runtime alone."""
    study = copied(finished, tmp_path_factory.mktemp("quantized"))
    automl.compress(study, ways=["onnx", "int8"])
    return study


def copied(study: Path, folder: Path) -> Path:
    """A copy of a study, beside its specification."""
    shutil.copytree(study.parent.parent, folder / "project")
    return folder / "project" / "studies" / study.name
