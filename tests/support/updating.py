"""A table whose rows change, and a model of it that is trained in a second."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from automl.bundle import io
from automl.data import load
from automl.models import build
from automl.training import Trainer

SPEC = {"model": "mlp", "metric": "val_accuracy", "epochs": 15, "seed": 0, "target": "kind"}
CONFIG = {"depth": 1, "width": 16, "lr": 1e-2, "batch_size": 32}


def flowers(rows: int, seed: int, *, bent: float = 0.0, lily: bool = False) -> pd.DataFrame:
    """Two kinds by size and colour. `bent`: beyond a size of 12, which old rows do not have, the kind is the other."""
    rng = np.random.default_rng(seed)
    size = rng.normal(5 + 12 * bent, 2, rows)
    frame = pd.DataFrame({"size": size, "colour": rng.choice(["red", "blue"], rows), "height": rng.normal(0, 1, rows)})
    iris = (size + 2 * (frame.colour == "red") > 6) & (size < 12)
    frame["kind"] = np.where(iris, "iris", "rose")
    if lily:
        frame.loc[frame.height > 0.8, "kind"] = "lily"
    return frame


def trained(folder: Path, data: Any, spec: dict[str, Any], config: dict[str, Any] | None = None) -> Path:
    """A bundle of a model that was trained on `data`."""
    options = {name: spec[name] for name in ("target", "prepare", "split") if name in spec}
    prepared, config = load(data, seed=0, **options), config or CONFIG
    trainer = Trainer(build(spec["model"]), prepared, config, spec["epochs"], seed=0)
    for _ in range(spec["epochs"]):
        trainer.train_epoch()
    return io.save(folder, model=spec["model"], config=config, prepared=prepared, state_dict=trainer.weights(),
                   metrics={}, spec=spec)  # fmt: skip
