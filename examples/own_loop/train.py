"""Your own loop in PyTorch, with early stopping and checkpoints: python train.py"""

import torch
from torch import nn

import automl


def train(trial: automl.Trial) -> None:
    torch.manual_seed(trial.seed)
    x = torch.randn(256, 4)
    y = x[:, :1] * x[:, 1:2] + 0.1 * torch.randn(256, 1)
    model = nn.Sequential(nn.Linear(4, trial["width"]), nn.ReLU(), nn.Linear(trial["width"], 1)).to(trial.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=trial["lr"], weight_decay=trial["decay"])
    if (saved := trial.load()) is not None:
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
    for _ in trial.steps(20):
        loss = nn.functional.mse_loss(model(x[:192]), y[:192])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            trial.report(val_loss=nn.functional.mse_loss(model(x[192:]), y[192:]))
        trial.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()})


if __name__ == "__main__":
    study = automl.search(
        train,
        space={
            "width": automl.Int(4, 64, log=True),
            "lr": automl.Float(1e-3, 0.3, log=True),
            "decay": automl.Float(1e-6, 1e-1, log=True),
        },
        metric="val_loss",
        trials=8,
        stopper="asha",
        finalists={"top": 2, "seeds": 2},
    )
    print(study.leaderboard())
