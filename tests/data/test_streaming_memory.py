"""Memory does not grow with a table: anonymous memory of a process that prepares it and trains on it, at two sizes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support import peak_memory

MOST_GROWTH = 24
"""MiB by which a table ten times as large may need more: less than a tenth of what its rows take."""
PEAK = """
import sys
from pathlib import Path
import torch
from automl.data import load
from automl.data.streaming import streaming
from automl.data.streaming.request import Request, Sizes
from automl.models import build
from automl.training import Trainer
from tests.support.peak_memory import Peak

torch.set_num_threads(1)
Trainer(build("mlp"), load("diabetes"), {"width": 8}, 1, seed=0).epoch()  # everything is imported
peak = Peak()
sizes = Sizes(shard=2**20, chunk=2**20, fit=2**21, known=2_500)
rules = {"train": 0.8, "val": 0.1, "test": 0.1}
data = streaming.load(Request.of(sys.argv[1], "y", rules, {"weight": "w"}, 0, sizes=sizes), cache=Path(sys.argv[2]))
trainer = Trainer(build("mlp"), data, {"width": 16, "batch_size": 512, "lr": 3e-3}, 1, seed=0)
values = sum(part.x.numel() for part in (data.train, data.val, data.test))
trainer.epoch()
print(values * 4 / 2**20, peak.growth())
"""


def write(folder: Path, kind: str, times: int) -> str:
    """A table of so many times 10,000 rows; what names it."""
    rng, columns = np.random.default_rng(0), [f"x{k}" for k in range(80)]
    block = pd.DataFrame(rng.integers(0, 1000, size=(10_000, 80)).astype(np.float32), columns=columns)
    block = block.assign(y=(block.x0 + block.x1 > 1000).astype(int), w=1.0)
    if kind == "csv":
        header, _, lines = block.to_csv(index=False).partition("\n")
        (folder / "t.csv").write_text(f"{header}\n" + times * lines)
        return "t.csv"
    if kind == "many":
        (folder / "t").mkdir()
        for k in range(times):
            block.to_parquet(folder / "t" / f"{k}.parquet", row_group_size=2_500)
        return "t"
    pd.concat([block] * times).to_parquet(folder / "t.parquet", row_group_size=2_500)
    return "t.parquet"


@pytest.mark.slow
@pytest.mark.skipif(not peak_memory.STATUS.is_file(), reason="needs Linux")
@pytest.mark.parametrize("kind", ["parquet", "csv", "many"])
def test_memory_does_not_grow_with_the_table(tmp_path, kind):
    measured = []
    for times in (1, 10):
        folder = tmp_path / str(times)
        folder.mkdir()
        arguments = (write(folder, kind, times), folder / "cache")
        measured.append(peak_memory.printed(PEAK, arguments, folder))
    (small, little), (large, much) = measured
    assert large == pytest.approx(10 * small, rel=0.01)
    assert large - small > 25
    assert much - little < MOST_GROWTH, measured
