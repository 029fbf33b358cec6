"""CPU time of a lane's step by the kind of its target: means, quantiles, counts, labels, classes, ordered classes.

    OMP_NUM_THREADS=1 python benchmarks/target_kinds.py

16 lanes of an MLP (2 layers of 64 units, batches of 32) on 2,000 rows of 10 numbers; the least of 4 epochs, the
evaluation on 500 rows included.
"""

import time

import torch

from automl.data.prepared import Part
from automl.data.shapes import Inputs, Outputs
from automl.fused.engine import Engine
from automl.fused.problem import Entry, Options, Problem
from automl.metrics.kinds.kind import Kind
from automl.models import build

LANES, ROWS, BATCH, EPOCHS = 16, 2000, 32, 5


def cases() -> dict[str, tuple[Kind, Outputs, torch.Tensor]]:
    """Name -> the task, what a network returns, and the targets."""
    g = torch.Generator().manual_seed(0)
    y = torch.randn(ROWS, 1, generator=g)
    three, classes = y.expand(-1, 3).contiguous(), torch.bucketize(y[:, 0], torch.tensor([-1.0, 0.0, 1.0]))
    value, label = Kind("regression"), Kind("classification")
    levels, each = (0.1, 0.5, 0.9), {"kind": "quantiles", "each": 3}
    return {
        "a mean": (value, Outputs(1, "values"), y),
        "3 means": (value, Outputs(3, "values"), three),
        "3 quantiles": (Kind(value, "quantiles", levels), Outputs(3, "values", None, each), y),
        "a count": (Kind(value, "counts"), Outputs(1, "values", None, {"kind": "counts"}), torch.poisson(y.exp(), g)),
        "3 labels": (Kind(value, "labels"), Outputs(3, "values", None, {"kind": "labels"}), (three > 0).float()),
        "4 classes": (label, Outputs(4, "classes"), classes),
        "4 ordered": (Kind(label, "ordinal"), Outputs(4, "classes", None, {"kind": "ordinal"}), classes),
    }


def seconds(kind: Kind, outputs: Outputs, y: torch.Tensor) -> float:
    """CPU seconds of a lane's step."""
    x = torch.randn(ROWS, 10, generator=torch.Generator().manual_seed(1))
    unit = torch.ones(y.shape[1]) if kind == "regression" else None
    parts = Part(x, y), Part(x[:500], y[:500])
    engine = Engine(
        Problem(build("mlp"), Inputs((10,)), outputs, kind, *parts, unit, own_factory=False), Options("require")
    )
    config = {"width": 64, "depth": 2, "batch_size": BATCH, "lr": 1e-3}
    engine.admit([Entry(k, config, k, EPOCHS) for k in range(LANES)])
    engine.run_epoch()
    spent = []
    for _ in range(EPOCHS - 1):
        begun = time.process_time()
        engine.run_epoch()
        spent.append(time.process_time() - begun)
    return min(spent) / -(-ROWS // BATCH) / LANES


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name, (kind, outputs, y) in cases().items():
        print(f"{name:12} {seconds(kind, outputs, y) * 1e6:.0f} us of CPU for a lane's step", flush=True)
