"""What a trial costs outside of training: random search over an empty function, inline executor.

    python benchmarks/overhead.py [--trials 5000]

Prints wall and CPU time per trial, with the ledger on disk and in memory, and with one worker process.
"""

import argparse
import tempfile
import time
from pathlib import Path

from automl import Choice, Float, Int, Trial
from automl.driver.driver import Driver
from automl.executors.inline import Inline
from automl.executors.local import Local
from automl.study.study import Study
from automl.tasks.function import FunctionTask

SPACE = {
    "lr": Float(1e-4, 1, log=True),
    "weight_decay": Float(1e-6, 1e-1, log=True),
    "dropout": Float(0, 0.6),
    "width": Int(16, 256, log=True),
    "optimizer": Choice(("sgd", "adamw")),
    "momentum": Float(0.5, 0.99, when={"optimizer": ("sgd",)}),
}


def empty(trial: Trial) -> None:
    trial.report(loss=1.0)


def measure(name: str, executor: Inline | Local, trials: int, path: Path | None) -> None:
    study = Study(SPACE, metric="loss", strategy="random", trials=trials, path=path)
    wall, cpu = time.perf_counter(), time.process_time()
    Driver(study, FunctionTask.of(empty), executor, 1).run()
    study.close()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    each = 1e3 / trials
    print(f"{name:<28} {trials:>7} trials   wall {wall * each:6.3f} ms   driver CPU {cpu * each:6.3f} ms a trial")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=5000)
    trials = parser.parse_args().trials
    with tempfile.TemporaryDirectory() as folder:
        measure("inline, ledger on disk", Inline(), trials, Path(folder) / "inline")
        measure("inline, ledger in memory", Inline(), trials, None)
        measure("one process, ledger on disk", Local(), trials, Path(folder) / "local")


if __name__ == "__main__":
    main()
