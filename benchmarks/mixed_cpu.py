"""Searches over architectures, fused against `--no-fuse`: CPU time, trial-epochs and winners, seed by seed.

    OMP_NUM_THREADS=1 python benchmarks/mixed_cpu.py --seeds 5
    OMP_NUM_THREADS=1 python benchmarks/mixed_cpu.py --space small --seeds 5

`preset` is the preset `digits` (60 trials; depth 1 to 4, width 16 to 256, three activations, two optimizers, three
batch sizes), `small` 128 trials of depth 1 to 3 and width 16 to 64, `wide` 60 of depth 2 to 4 and width 128 to 512: the
models that are too small for their overhead, and those that are not. Both searches of a row have the same configs,
seeds, data and stopper and run in this process, taking turns in which is first; imports are excluded, everything else
is counted. The searches differ in what they stop: `--equal 3` trains three epochs of every trial instead, the same work
on both sides.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import automl_search_spaces
import sklearn.datasets  # noqa: F401  so that the first search does not pay for it

import automl
from automl.study.study import Study

SPACE = """
study: digits
model: mlp
data: digits
split: {{train: 0.5, val: 0.25, test: 0.25}}
metric: val_accuracy
epochs: 30
space:
  depth: {{int: {depth}}}
  width: {{int: {width}, log: true}}
  activation: [relu, gelu, silu]
  dropout: {{float: [0.0, 0.6]}}
  weight_decay: {{float: [1e-6, 1e-1], log: true}}
  optimizer: [sgd, adamw]
  lr: {{float: [1e-4, 1.0], log: true}}
  momentum: {{float: [0.5, 0.99], when: {{optimizer: sgd}}}}
  batch_size: {batch}
strategy: random
stopper: asha
budget: {{trials: {trials}}}
finalists: none
"""
SPACES = {
    "preset": (Path(automl_search_spaces.__file__).parent / "digits.yaml").read_text() + "\nfinalists: none\n",
    "small": SPACE.format(depth=[1, 3], width=[16, 64], batch=32, trials=128),
    "wide": SPACE.format(depth=[2, 4], width=[128, 512], batch=32, trials=60),
}


def run(spec: Path, fuse: str, seed: int, changes: dict[str, object]) -> tuple[float, Study]:
    """(CPU seconds, the finished study)."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.process_time()
        study = automl.search(spec, path=Path(folder) / "s", executor="inline", workers=1, seed=seed,
                              overrides={"fuse": fuse, **changes})  # fmt: skip
        return time.process_time() - begun, study


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", choices=SPACES, default="preset")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--equal", type=int, metavar="EPOCHS", help="stop nothing: that many epochs of every trial")
    asked = parser.parse_args()
    changes: dict[str, object] = {"stopper": "none", "epochs": asked.equal} if asked.equal else {}
    ratios, per_epoch, gains = [], [], []
    print("seed   CPU s fused  alone  ratio   epochs fused  alone  ratio per epoch   winner fused          alone")
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "space.yaml"
        spec.write_text(SPACES[asked.space])
        for fuse in ("auto", "never"):
            run(spec, fuse, 10**6, changes)
        for seed in range(asked.seeds):
            ways = ("auto", "never") if seed % 2 else ("never", "auto")
            found = {fuse: run(spec, fuse, seed, changes) for fuse in ways}
            (cpu, fused), (slow, alone) = found["auto"], found["never"]
            best, other = fused.best, alone.best
            assert best is not None and other is not None  # noqa: PT018
            assert best.loss is not None and other.loss is not None  # noqa: PT018
            spent = (fused.history.steps_spent, alone.history.steps_spent)
            ratios.append(slow / cpu)
            per_epoch.append(slow / spent[1] / (cpu / spent[0]))
            gains.append(other.loss - best.loss)
            winners = f"{-best.loss:.4f} (trial {best.number:3}) {-other.loss:.4f} (trial {other.number:3})"
            print(f"{seed:4} {cpu:13.2f} {slow:6.2f} {slow / cpu:5.2f}x {spent[0]:13} {spent[1]:6} "
                  f"{per_epoch[-1]:15.2f}x   {winners}", flush=True)  # fmt: skip
    middle, gain = statistics.median(per_epoch), statistics.mean(gains)
    print(f"median ratio {statistics.median(ratios):.2f}x (least {min(ratios):.2f}x), {middle:.2f}x per trial-epoch; "
          f"winner better (+) or worse by {gain:+.4f} on average")  # fmt: skip


if __name__ == "__main__":
    main()
