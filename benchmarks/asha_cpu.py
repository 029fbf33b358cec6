"""One ASHA search over digits, fused against `--no-fuse`: CPU time, trial-epochs and winners, seed by seed.

    OMP_NUM_THREADS=1 python benchmarks/asha_cpu.py --trials 128 --seeds 5

Both searches have the same configs, seeds, data and stopper, one worker, and run in this process one after the other
(after a warm-up), so the CPU time counts everything but imports: driver, ledger, strategy, training, saved winner.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import sklearn.datasets  # noqa: F401  so that the first search does not pay for it

import automl
from automl.study.study import Study

SPEC = """
study: digits
model: mlp
data: digits
metric: val_accuracy
epochs: {epochs}
space:
  depth: 2
  width: {width}
  dropout: {{float: [0.0, 0.6]}}
  weight_decay: {{float: [1e-6, 1e-1], log: true}}
  optimizer: adamw
  lr: {{float: [1e-4, 3e-2], log: true}}
  batch_size: 32
strategy: random
stopper: asha
budget: {{trials: {trials}}}
finalists: none
"""


def run(spec: Path, fuse: str, seed: int) -> tuple[float, Study]:
    """(CPU seconds, the finished study)."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.process_time()
        changes = {"fuse": fuse}
        study = automl.search(spec, path=Path(folder) / "s", executor="inline", workers=1, seed=seed, overrides=changes)
        return time.process_time() - begun, study


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=30)
    asked = parser.parse_args()
    ratios, gains = [], []
    print("seed   CPU s fused  alone  ratio   epochs fused  alone   winner fused          alone")
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "space.yaml"
        spec.write_text(SPEC.format(trials=asked.trials, epochs=asked.epochs, width=asked.width))
        run(spec, "auto", 10**6)
        for seed in range(asked.seeds):
            (cpu, fused), (slow, alone) = run(spec, "auto", seed), run(spec, "never", seed)
            best, other = fused.best, alone.best
            assert best is not None and other is not None  # noqa: PT018
            assert best.loss is not None and other.loss is not None  # noqa: PT018
            ratios.append(slow / cpu)
            gains.append(other.loss - best.loss)
            spent = (fused.history.steps_spent, alone.history.steps_spent)
            winners = f"{-best.loss:.4f} (trial {best.number:3}) {-other.loss:.4f} (trial {other.number:3})"
            print(f"{seed:4} {cpu:13.2f} {slow:6.2f} {slow / cpu:5.1f}x {spent[0]:13} {spent[1]:6}   {winners}")
    print(f"median ratio {statistics.median(ratios):.1f}x (least {min(ratios):.1f}x); winner better (+) or worse by "
          f"{statistics.mean(gains):+.4f} on average")  # fmt: skip


if __name__ == "__main__":
    main()
