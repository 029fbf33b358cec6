"""How long until a study is ready to go on: python benchmarks/resume.py [trials ...]

Writes a study with so many ended trials of five reports each (straight into the ledger), then opens it again as a
resume does: lock, ledger, history, first suggestion. Prints seconds of wall and CPU time.
"""

import sys
import tempfile
import time
from pathlib import Path

from automl.core.space import Choice, Float, Int
from automl.study.study import Study

SPACE = {
    "lr": Float(1e-5, 1, log=True),
    "width": Int(16, 1024, log=True),
    "dropout": Float(0, 0.7),
    "activation": Choice(("relu", "gelu", "silu")),
}
STEPS = 5


def opened(path: Path, trials: int) -> Study:
    return Study(SPACE, metric="val_loss", strategy="random", stopper="none", trials=trials, seed=1, path=path)


def fill(path: Path, trials: int) -> None:
    """Tell results without any training."""
    with opened(path, trials) as study:
        while asked := study.ask(min(1000, trials - study.started)):
            for trial in asked:
                for step in range(1, STEPS + 1):
                    study.report(trial, step, {"val_loss": 1 / step + float(trial["dropout"]), "val_accuracy": 0.5})  # type: ignore[arg-type]
                study.finish(trial)


def main() -> None:
    for trials in [int(word) for word in sys.argv[1:]] or [1_000, 100_000]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "s"
            begun = time.perf_counter()
            fill(path, trials)
            filled = time.perf_counter() - begun
            wall, cpu = time.perf_counter(), time.process_time()
            study = opened(path, trials + 1)
            assert study.ask() is not None
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            assert study.counts.done == trials
            study.close()
            size = (path / "ledger.sqlite").stat().st_size / 2**20
            told = f"{trials:7d} trials, {size:6.1f} MiB: ready in {wall:.2f} s ({cpu:.2f} s CPU)"
            print(f"{told}; written in {filled:.1f} s")


if __name__ == "__main__":
    main()
