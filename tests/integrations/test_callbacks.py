"""Callbacks inside the real Lightning and Hugging Face trainers (where they are installed).

Classes inside the training functions have no annotations: cloudpickle does not see names used in a class body.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import automl
from automl.integrations import callbacks

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
SPACE = {"lr": automl.Float(1e-3, 1e-1, log=True)}
X = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
Y = X.sum(1, keepdim=True)


class StopOdd:
    """A stopper that stops every second trial after its first report."""

    def verdict(self, history: Any, trial: int) -> Any:
        from automl.core.stopper import CONTINUE, Kind, Verdict

        return Verdict(Kind.STOP, "odd") if trial % 2 else CONTINUE

    def promote(self, history: Any) -> list[int]:
        return []

    def room(self, history: Any) -> None:
        return None

    def drop(self, history: Any) -> dict[int, str]:
        return {}


def search(train: Any, metric: str, path: Path) -> Any:
    return automl.search(
        train, space=SPACE, metric=metric, trials=4, stopper=StopOdd(), path=path, executor="inline", finalists=None
    )


def test_lightning(tmp_path: Path) -> None:
    package = pytest.importorskip("lightning.pytorch")

    def train(trial: automl.Trial) -> None:
        class Model(package.LightningModule):  # type: ignore[name-defined, misc]
            def __init__(self) -> None:
                super().__init__()
                self.layer = torch.nn.Linear(4, 1)

            def training_step(self, batch, index):
                return torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1])

            def validation_step(self, batch, index):
                self.log("val_loss", torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1]))

            def configure_optimizers(self):
                return torch.optim.SGD(self.parameters(), lr=trial["lr"])

        loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), batch_size=16)
        trainer = package.Trainer(
            max_epochs=3, callbacks=[callbacks.lightning(trial)], accelerator="cpu", logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(Model(), loader, loader)

    study = search(train, "val_loss", tmp_path / "s")
    assert [(t.state.value, t.step) for t in study.history.trials] == [("done", 3), ("stopped", 1)] * 2
    assert all(t.curve[-1][1] < t.curve[0][1] for t in study.history.done)


def test_transformers(tmp_path: Path) -> None:
    package = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")

    def train(trial: automl.Trial) -> None:
        class Model(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layer = torch.nn.Linear(4, 1)

            def forward(self, x, labels):
                out = self.layer(x)
                return {"loss": torch.nn.functional.mse_loss(out, labels), "logits": out}

        rows = [{"x": x, "labels": y} for x, y in zip(X, Y, strict=True)]
        arguments = package.TrainingArguments(
            output_dir=str(trial.folder), num_train_epochs=3, eval_strategy="epoch", save_strategy="no",
            learning_rate=trial["lr"], report_to=[], use_cpu=True, disable_tqdm=True,
        )  # fmt: skip
        package.Trainer(
            model=Model(), args=arguments, train_dataset=rows, eval_dataset=rows,
            callbacks=[callbacks.transformers(trial)],
        ).train()  # fmt: skip

    study = search(train, "eval_loss", tmp_path / "s")
    assert [(t.state.value, t.step) for t in study.history.trials] == [("done", 3), ("stopped", 1)] * 2


MISSING = """
import sys
for name in ("lightning.pytorch.callbacks", "pytorch_lightning.callbacks", "transformers"):
    sys.modules[name] = None
from automl import callbacks
from automl.errors import EnvironmentProblem
for make in (callbacks.lightning, callbacks.transformers):
    try:
        make(None)
    except EnvironmentProblem as error:
        print(error)
"""


def test_a_missing_package_is_told() -> None:
    done = subprocess.run([sys.executable, "-c", MISSING], capture_output=True, text=True, check=True)
    assert [line.rpartition(": ")[2] for line in done.stdout.splitlines()] == [
        "pip install lightning",
        "pip install transformers",
    ]
