"""Does muP hold? Coordinate check, best learning rate over a 16-fold width, and what transfer costs. Prints Markdown.

OMP_NUM_THREADS=1 python benchmarks/mup.py                            about 6 CPU-minutes
OMP_NUM_THREADS=1 python benchmarks/mup.py --transfer mnist           about 35 CPU-minutes: transfer alone, one pass
"""

import argparse
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch

from automl.data import load
from automl.data.prepared import Prepared
from automl.models import build
from automl.training import Trainer
from automl.training.mup_check import alignment_check, coordinate_check
from automl.training.throughput import operations

WIDTHS = (64, 128, 256, 512, 1024)
BASE = {"depth": 3, "activation": "gelu", "schedule": "linear", "batch_size": 64, "weight_decay": 0.0, "base_width": 64}
LRS = {"adamw": range(-13, -1), "sgd": range(-9, 2), "muon": range(-13, -1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    parser.add_argument("--transfer", metavar="DATA", help="only the transfer, on this data, in one pass over it")
    parser.add_argument("--drawn", type=int, default=48, help="points that are trained at both widths")
    parser.add_argument("--points", type=int, default=24, help="of them that one search sees")
    parser.add_argument("--promoted", type=int, default=2, help="points that the narrow search trains wide once")
    parser.add_argument("--searches", type=int, default=200)
    parser.add_argument("--fresh", type=int, default=6, help="seeds that judge a choice")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.transfer:
        ends, data = (options.widths[1], options.widths[-1]), load(options.transfer, seed=0)
        transfer(data, *ends, 1, options)
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
    transfer(data, options.widths[1], options.widths[-1], 4, options)
    print(f"\n{time.process_time() - start:.0f} CPU-seconds")


@dataclass
class Runs:
    """Final validation losses of (point, width, seed), each trained once."""

    data: Prepared
    points: list[dict[str, float]]
    epochs: int
    known: dict[tuple[int, int, int], float] = field(default_factory=dict)

    def losses(self, point: int, width: int, seeds: Iterable[int]) -> np.ndarray:
        """The losses with `seeds`. [seeds]"""
        for key in [(point, width, seed) for seed in seeds]:
            if key not in self.known:
                config = {**BASE, "parametrization": "mup", "width": width, **self.points[point]}
                trainer = Trainer(build("mlp"), self.data, config, self.epochs, key[-1])
                self.known[key] = [trainer.epoch() for _ in range(self.epochs)][-1]["val_loss"]
        return np.array([self.known[point, width, seed] for seed in seeds])


def transfer(data: Prepared, narrow: int, wide: int, epochs: int, asked: argparse.Namespace) -> None:
    """Searches of `asked.points` random points (lr, warm-up, beta2), each a draw from `asked.drawn`, three ways.

    On the narrow model; on the narrow one with the best few trained wide once and the better chosen (what `fidelity:`
    does); on the wide model. All are judged by what their choice reaches on the wide model with fresh seeds.
    """
    rng = np.random.default_rng(0)
    points = [
        {"lr": 2.0 ** rng.uniform(-10, -3), "warmup": rng.uniform(0, 0.3), "beta2": 1 - 10 ** rng.uniform(-3, -1)}
        for _ in range(asked.drawn)
    ]
    runs, seeds = Runs(data, points, epochs), range(asked.seeds)
    small, large = (
        np.array([runs.losses(k, width, seeds).mean() for k in range(asked.drawn)]) for width in (narrow, wide)
    )
    chosen: list[list[int]] = []
    for _ in range(asked.searches):
        among = rng.choice(asked.drawn, asked.points, replace=False)
        best = among[np.argsort(small[among])][: asked.promoted]
        trained = [runs.losses(int(k), wide, [asked.seeds])[0] for k in best]
        found = (best[0], best[int(np.argmin(trained))], among[np.argmin(large[among])])
        chosen.append([int(k) for k in found])
    judges = range(100, 100 + asked.fresh)
    judged = {k: runs.losses(k, wide, judges) for k in sorted({k for row in chosen for k in row})}
    table = np.array([[judged[k] for k in row] for row in chosen])  # [searches, 3, fresh]
    each = [operations(build("mlp"), {**BASE, "width": width}, data.inputs, data.outputs) for width in (narrow, wide)]
    work = asked.points * asked.seeds
    share = [(work * each[0] + k * each[1]) / (work * each[1]) for k in (0, asked.promoted)]
    what = f"{asked.searches} searches of {asked.points} points out of {asked.drawn}, {asked.seeds} seeds a point"
    print(f"\nFrom width {narrow} to {wide}: {what}, judged on {len(judges)} fresh seeds.")
    print(f"found at width {wide}: loss {table[:, 2].mean():.4f}")
    names = (f"found at width {narrow}", f"and the best {asked.promoted} trained wide once")
    for name, rows, cost in zip(names, (table[:, 0], table[:, 1]), share, strict=True):
        gaps = rows.mean(1) / table[:, 2].mean(1) - 1
        draws = np.random.default_rng(1).integers(asked.fresh, size=(1000, asked.fresh))
        error = np.std([(rows[:, d].mean(1) / table[:, 2][:, d].mean(1) - 1).mean() for d in draws])
        low, high = np.quantile(gaps, [0.1, 0.9])
        print(f"{name}: {gaps.mean():+.2%} (standard error {error:.2%}; 80 % of searches {low:+.1%} to {high:+.1%}) "
              f"for {cost:.1%} of the work")  # fmt: skip


if __name__ == "__main__":
    main()
