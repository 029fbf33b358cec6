"""Hugging Face's Trainer reports by a callback: python train.py (needs: pip install transformers accelerate)"""

import torch
import transformers
from torch import nn

import automl
from automl import callbacks


class Net(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 1))

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        out = self.net(x)
        return {"loss": nn.functional.mse_loss(out, labels), "logits": out}


def train(trial: automl.Trial) -> None:
    transformers.set_seed(trial.seed % 2**32)
    x = torch.randn(128, 4)
    rows = [{"x": row, "labels": row[:1]} for row in x]
    arguments = transformers.TrainingArguments(
        output_dir=str(trial.folder or "out"), num_train_epochs=3, learning_rate=trial["lr"], eval_strategy="epoch",
        save_strategy="no", report_to=[], disable_tqdm=True,
    )  # fmt: skip
    transformers.Trainer(
        Net(trial["width"]), arguments, train_dataset=rows, eval_dataset=rows,
        callbacks=[callbacks.transformers(trial)],
    ).train()  # fmt: skip


if __name__ == "__main__":
    space = {"width": automl.Int(4, 32), "lr": automl.Float(1e-3, 1e-1, log=True)}
    print(automl.search(train, space=space, metric="eval_loss", trials=3, finalists=None).leaderboard())
