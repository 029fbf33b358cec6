"""Embeddings of numbers train as lanes: `fuse: require` runs, and lanes end where trials alone do."""

import numpy as np
import pandas as pd
import pytest
import yaml

import automl


@pytest.mark.parametrize("kind", ["periodic", "cosine", "piecewise"])
def test_lanes_with_embedded_numbers_end_where_trials_alone_do(kind, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 3))
    table = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "y": np.where(np.sin(3 * x[:, 0]) > 0, "p", "q")})
    table.to_csv(tmp_path / "rows.csv", index=False)
    spec = {
        "model": "mlp", "data": "rows.csv", "target": "y", "metric": "val_loss", "epochs": 2, "seed": 1,
        "space": {"embed_numbers": kind, "embed_scale": {"float": [0.1, 0.5]}, "lr": {"float": [1e-3, 1e-2]},
                  "width": 16, "depth": 1, "batch_size": 32, "optimizer": "adamw"},
        "strategy": "random", "stopper": "none", "budget": {"trials": 3}, "finalists": "none",
    }  # fmt: skip
    losses = {}
    for fuse in ("require", "never"):
        (tmp_path / "space.yaml").write_text(yaml.safe_dump({**spec, "fuse": fuse}))
        study = automl.search(tmp_path / "space.yaml", dir=tmp_path, name=fuse, executor="inline")
        losses[fuse] = [t.loss for t in study.history.done]
    assert len(losses["require"]) == 3
    np.testing.assert_allclose(sorted(losses["require"]), sorted(losses["never"]), rtol=1e-3)
