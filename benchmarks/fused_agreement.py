"""The leaderboard of a search whose trials train together beside that of the same search with `--no-fuse`.

    OMP_NUM_THREADS=1 python benchmarks/fused_agreement.py
    OMP_NUM_THREADS=1 python benchmarks/fused_agreement.py --cases mnist --trials 8 --fuse require

Configs are drawn at random, so both searches try the same. A trial counts where both have finished it. `same bits`: of
those, trials whose whole curves are equal to the last digit reported, as is promised for plain stacks (fully connected
models).
"""

import argparse
import tempfile
from pathlib import Path

import automl
from automl.core.trial import State
from automl.study.ledger.ledger import Ledger

MLP = """
model: mlp
space:
  depth: {int: [1, 3]}
  width: {int: [16, 64], log: true}
  dropout: {float: [0.0, 0.4]}
  optimizer: [sgd, adamw]
  lr: {float: [1.0e-3, 1.0e-1], log: true}
  batch_size: {choice: [64, 128], ordered: true}
"""
CONVNET = """
model: convnet
space:
  stages: 2
  depth: 2
  width: {int: [4, 8]}
  stem: 3
  lr: {float: [1.0e-4, 3.0e-3], log: true}
  batch_size: 64
"""
CASES = {
    "digits": "data: digits\nepochs: 10\n" + MLP,
    "letter": "data: {data}/tables/letter.tsv.gz\ntarget: target\nepochs: 4\n" + MLP,
    "mnist": "data: mnist\nprepare: {rows: 6000}\nepochs: 5\nsplit: {train: 0.5, val: 0.4, test: 0.1}\n" + CONVNET,
}


def search(case: str, data: Path, trials: int, stopper: str, fuse: str, folder: Path) -> automl.Study:
    """One search with one worker in this process."""
    common = "metric: val_accuracy\nstrategy: random\nfinalists: none\nseed: 5\n"
    spec = folder / "space.yaml"
    spec.write_text(CASES[case].replace("{data}", str(data.resolve())) + common)
    settings = {"fuse": fuse, "stopper": stopper, "budget.trials": trials}
    return automl.search(spec, path=folder / fuse, executor="inline", workers=1, overrides=settings, screen=None)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    options.add_argument("--trials", type=int, default=16)
    options.add_argument("--fuse", choices=("auto", "require"), default="auto", help="auto: where it is quicker")
    options.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with tables/letter.tsv.gz")
    chosen = options.parse_args()
    print("| case | stopper | trials | both finished | most lanes | same bits | largest difference of accuracy |")
    print("|---|---|---|---|---|---|---|")
    for case in chosen.cases:
        for stopper in ("none", "halving"):
            with tempfile.TemporaryDirectory() as name:
                ways = (chosen.fuse, "never")
                fused, alone = (search(case, chosen.data, chosen.trials, stopper, w, Path(name)) for w in ways)
                pairs = [
                    (a.curve, b.curve)
                    for a, b in zip(fused.history.trials, alone.history.trials, strict=True)
                    if a.state is State.DONE and b.state is State.DONE
                ]
                lanes = most_lanes(fused)
            worst = max((abs(a[-1][1] - b[-1][1]) for a, b in pairs), default=float("nan"))
            same = sum(a == b for a, b in pairs)
            print(
                f"| {case} | {stopper} | {chosen.trials} | {len(pairs)} | {lanes} | {same} | {worst:.2g} |", flush=True
            )


def most_lanes(study: automl.Study) -> int:
    """The most lanes that have trained together."""
    assert study.path is not None
    ledger = Ledger.read_only(study.path)
    try:
        attempts = [one["details"] for t in study.history.trials for one in ledger.attempts(t.number)]
    finally:
        ledger.close()
    return max(int(one.get("lanes", 1)) for one in attempts)


if __name__ == "__main__":
    main()
