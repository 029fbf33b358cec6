"""Lightning's Trainer reports by a callback: python train.py (needs: pip install lightning)"""

import lightning
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import automl
from automl import callbacks


class Net(lightning.LightningModule):
    def __init__(self, width: int, lr: float) -> None:
        super().__init__()
        self.net, self.lr = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 1)), lr

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        return nn.functional.mse_loss(self.net(batch[0]), batch[1])

    def validation_step(self, batch: list[torch.Tensor], _: int) -> None:
        self.log("val_loss", nn.functional.mse_loss(self.net(batch[0]), batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=self.lr)


def train(trial: automl.Trial) -> None:
    lightning.seed_everything(trial.seed % 2**32)
    x = torch.randn(128, 4)
    data = DataLoader(TensorDataset(x, x[:, :1]), batch_size=32)
    trainer = lightning.Trainer(
        max_epochs=3, callbacks=[callbacks.lightning(trial)], logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Net(trial["width"], trial["lr"]), data, data)


if __name__ == "__main__":
    space = {"width": automl.Int(4, 32), "lr": automl.Float(1e-3, 1e-1, log=True)}
    print(automl.search(train, space=space, metric="val_loss", trials=3, finalists=None).leaderboard())
