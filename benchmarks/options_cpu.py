"""Options of training in lanes: CPU time of a trial-epoch in the plain trainer, in a lane alone, and in eight lanes.

    OMP_NUM_THREADS=1 python benchmarks/options_cpu.py
    OMP_NUM_THREADS=1 python benchmarks/options_cpu.py --cases convnet --lanes 8 --repeats 5

Each round trains an epoch of eight trials in all three ways, taking turns; evaluation is included. Ratios are medians
over the rounds. The last column is what `fuse: auto` chooses for eight trials.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from automl.data import load
from automl.data.prepared import Part
from automl.fused.engine import Engine
from automl.fused.problem import Entry, Options, Problem
from automl.models import build
from automl.training import Settings, Trainer

MOVES = {"flip": 0.5, "shift": 0.1, "rotate": 10.0}
CASES: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "mlp": ("mlp", "digits", {"width": 64}, {}),
    "mlp, noise and mixup": ("mlp", "digits", {"width": 64, "noise": 0.1, "mixup": 0.4}, {}),
    "mlp, moved images": ("mlp", "digits", {"width": 64, **MOVES}, {}),
    "mlp, focal loss": ("mlp", "digits", {"width": 64, "loss": "focal"}, {}),
    "mlp, bf16": ("mlp", "digits", {"width": 64}, {"precision": "bf16"}),
    "convnet": ("convnet", "digits", {"width": 8, "stages": 2}, {}),
    "convnet, moved and mixed": ("convnet", "digits", {"width": 8, "stages": 2, **MOVES, "mixup": 0.4}, {}),
    "transformer, muon": ("transformer", "digits", {"width": 32, "depth": 2, "heads": 2, "optimizer": "muon"}, {}),
}


def runs(name: str, lanes: int) -> tuple[list[Callable[[], object]], str]:
    """Functions that train an epoch of all trials: trainer, alone, together; and what `auto` chooses."""
    family, source, config, settings = CASES[name]
    data = load(source, prepare={"rows": 700})
    configs = [{"batch_size": 32, **config, "lr": 1e-3 * (1 + t)} for t in range(lanes)]
    few = Part(data.train.x, data.train.y)
    trainers = [Trainer(build(family), data, c, 1000, t, settings=Settings(**settings)) for t, c in enumerate(configs)]

    def engine(fuse: Any) -> Engine:
        problem = Problem(build(family), data.inputs, data.outputs, data.kind, few, data.val, own_factory=False)
        return Engine(problem, Options(fuse=fuse, bf16=settings.get("precision") == "bf16", epochs=1000))

    entries = [Entry(t, c, t, 1000) for t, c in enumerate(configs)]
    alone, together = engine("never"), engine("require")
    alone.admit(entries)
    together.admit(entries)
    chosen = engine("auto").reason_to_run_alone(configs)
    return [
        lambda: [t.epoch() for t in trainers],
        alone.run_epoch,
        together.run_epoch,
    ], "alone" if chosen else "together"


def seconds(run: Callable[[], object]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="*", default=list(CASES))
    parser.add_argument("--lanes", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    print("| case | trainer, ms a trial-epoch | lane alone | lanes | trainer / lanes | alone / lanes | auto |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for name in given.cases:
        ways, chosen = runs(name, given.lanes)
        for run in ways:
            run()
        rounds = [[seconds(run) for run in ways] for _ in range(given.repeats)]
        spent = [statistics.median(column) * 1000 / given.lanes for column in zip(*rounds, strict=True)]
        ratios = [statistics.median(r[k] / r[2] for r in rounds) for k in (0, 1)]
        print(f"| {name} | {spent[0]:.1f} | {spent[1]:.1f} | {spent[2]:.1f} | {ratios[0]:.2f} | {ratios[1]:.2f} |"
              f" {chosen} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
