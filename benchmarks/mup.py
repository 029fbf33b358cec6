"""Does muP hold? Coordinate check, best learning rate over a 16-fold width, and what transfer costs. Prints Markdown.

OMP_NUM_THREADS=1 python benchmarks/mup.py                            about 6 CPU-minutes
OMP_NUM_THREADS=1 python benchmarks/mup.py --transfer mnist           about 20 CPU-minutes: transfer alone, one pass
"""

import argparse
import time

import numpy as np
import torch

from automl.data import load
from automl.models import build
from automl.training import Solo
from automl.training.transfer import alignment_check, coordinate_check

WIDTHS = (64, 128, 256, 512, 1024)
BASE = {"depth": 3, "activation": "gelu", "schedule": "linear", "batch_size": 64, "weight_decay": 0.0, "base_width": 64}
LRS = {"adamw": range(-13, -1), "sgd": range(-9, 2), "muon": range(-13, -1)}


def flops(width: int, inputs: int, outputs: int, samples: int) -> float:
    """Multiply-adds of training a three-layer MLP on so many samples, forward and backward."""
    return 6.0 * samples * (inputs * width + 2 * width * width + width * outputs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    parser.add_argument("--transfer", metavar="DATA", help="only the transfer, on this data, in one pass over it")
    parser.add_argument("--points", type=int, default=24, help="points that are searched on the wide model")
    parser.add_argument("--narrow", type=int, default=24, help="and on the narrow one, where they are cheaper")
    parser.add_argument("--fresh", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.transfer:
        ends, data = (options.widths[1], options.widths[-1]), load(options.transfer, seed=0)
        transfer(data, range(options.seeds), *ends, 1, (options.narrow, options.points), options.fresh)
        return
    data, seeds, start = load("digits", seed=0), range(options.seeds), time.process_time()
    print("| optimizer | parametrization | worst slope | best log2 lr by width | spread (octaves) | loss at best lr |")
    print("|---|---|---|---|---|---|")
    for optimizer, exponents in LRS.items():
        for kind in ("mup", "standard"):
            config = {**BASE, "optimizer": optimizer, "parametrization": kind}
            lr = {"sgd": 0.05}.get(optimizer, 4e-3)
            slope = coordinate_check(build("mlp"), data, {**config, "lr": lr}, options.widths).worst()
            found = alignment_check(build("mlp"), data, config, options.widths, [2.0**k for k in exponents], 2, seeds)
            best = ", ".join(f"{value:.2f}" for value in found.best())
            lowest = ", ".join(f"{value:.3f}" for value in found.losses.min(1))
            print(f"| {optimizer} | {kind} | {slope:.3f} | {best} | {found.spread():.2f} | {lowest} |", flush=True)
    transfer(data, seeds, options.widths[1], options.widths[-1], 4, (options.narrow, options.points), options.fresh)
    print(f"\n{time.process_time() - start:.0f} CPU-seconds")


def transfer(data, seeds, narrow: int, wide: int, epochs: int, counts: tuple[int, int], fresh: int) -> None:
    """Search random (lr, warm-up, beta2) on the narrow and, for comparison, on the wide model."""
    rng = np.random.default_rng(0)
    points = [
        {"lr": 2.0 ** rng.uniform(-10, -3), "warmup": rng.uniform(0, 0.3), "beta2": 1 - 10 ** rng.uniform(-3, -1)}
        for _ in range(max(counts))
    ]

    def losses(point, width, which) -> np.ndarray:
        config = {**BASE, "parametrization": "mup", "width": width, **point}
        trainers = (Solo(build("mlp"), data, config, epochs, seed) for seed in which)
        return np.array([[trainer.epoch() for _ in range(epochs)][-1]["val_loss"] for trainer in trainers])

    found = min(points[: counts[0]], key=lambda point: losses(point, narrow, seeds).mean())
    target = min(points[: counts[1]], key=lambda point: losses(point, wide, seeds).mean())
    a, b = (losses(point, wide, range(100, 100 + fresh)) for point in (found, target))
    each = [flops(width, int(data.inputs), int(data.outputs), len(data.train)) for width in (narrow, wide)]
    error = (a - b).std(ddof=1) / fresh**0.5 / b.mean()
    work = counts[0] * each[0] / (counts[1] * each[1])
    how = f"{counts[0]} and {counts[1]} points, {len(seeds)} seeds, judged on {fresh} fresh ones"
    print(f"\nTransfer from width {narrow} to {wide}, {how}:")
    print(f"found narrow {a.mean():.4f} {found}\nfound wide {b.mean():.4f} {target}")
    print(f"{a.mean() / b.mean() - 1:+.1%} (standard error {error:.1%}), for {work:.1%} of the work")


if __name__ == "__main__":
    main()
