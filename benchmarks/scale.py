"""What the driver costs at scale: true driver, study, strategy, stopper and ledger; simulated workers and clock.

    python benchmarks/scale.py [--strategy random] [--stopper asha] [--step 60] [--steps 27] [--disk] [--most 100000]

Every line is one search. `cost` is the driver's CPU time for one event (a worker that asks, reports or ends a trial),
`busy` its share of the search's virtual time, `delay` what a worker waits for its next trial (median and 99 %), and
`idle` the share of the workers' time spent waiting for any answer. The driver's CPU time passes on the virtual clock,
so that a driver that is too slow keeps its workers waiting. Aim: busy < 10 % at 1,000 workers with steps of 60 s.

A search in which there are fewer trials than workers is left out. All workers ask at once when a search begins: at
that moment the last of 10,000 waits for 9,999 suggestions, which is what the 99 % of short searches show.
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import psutil

from automl import Choice, Float, Int
from automl.core.space import Config
from automl.driver.driver import Driver
from automl.study.study import Study
from automl.testing.simulated import NOTHING, Simulated

SPACE = {
    "lr": Float(1e-4, 1, log=True),
    "weight_decay": Float(1e-6, 1e-1, log=True),
    "dropout": Float(0, 0.6),
    "width": Int(16, 256, log=True),
    "optimizer": Choice(("sgd", "adamw")),
    "momentum": Float(0.5, 0.99, when={"optimizer": ("sgd",)}),
}
WORKERS = (10, 100, 1_000, 10_000)
TRIALS = (100, 1_000, 10_000, 100_000)


def curve(config: Config, steps: int) -> Sequence[float]:
    """A loss that falls towards a value that depends on the config."""
    floor = abs(float(config["dropout"]) - 0.3) + abs(float(config["lr"]) - 0.1)  # type: ignore[arg-type]
    return [floor + 1 / step for step in range(1, steps + 1)]


def pace(number: int, step_s: float) -> float:
    """Seconds of a step: workers are not in step with each other."""
    return step_s * (0.75 + number * 0.618 % 0.5)


def measure(workers: int, trials: int, options: argparse.Namespace, path: Path | None) -> None:
    executor = Simulated(
        lambda config, number: curve(config, options.steps),
        lambda config, number: pace(number, options.step),
        workers,
        timer=time.process_time,
    )
    study = Study(
        SPACE,
        metric="loss",
        trials=trials,
        horizon=options.steps,
        clock=executor.clock,
        strategy=options.strategy,
        stopper=options.stopper,
        path=path,
    )
    Driver(study, NOTHING, executor, workers).run()
    counts, told = study.counts, executor.measured
    study.close()
    assert counts.done + counts.stopped == trials
    memory = psutil.Process().memory_info().rss / 2**20
    print(
        f"{workers:>7,} {trials:>8,} {told.events:>10,} {told.cost_s * 1e6:>9.0f} us {told.busy:>8.2%}"
        f" {told.delay_s() * 1e3:>9.1f} ms {told.delay_s(0.99) * 1e3:>9.0f} ms {told.idle:>8.3%}"
        f" {told.clock_s / 3600:>9.1f} h {told.busy_s:>7.1f} s {memory:>6.0f} MB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strategy", default="random")
    parser.add_argument("--stopper", default="asha")
    parser.add_argument("--step", type=float, default=60.0, help="seconds of a step")
    parser.add_argument("--steps", type=int, default=27, help="steps of a full trial")
    parser.add_argument("--disk", action="store_true", help="the ledger on the disk, not in memory")
    parser.add_argument("--most", type=int, default=TRIALS[-1], help="trials of the largest search")
    options = parser.parse_args()
    print(f"strategy {options.strategy}, stopper {options.stopper}, steps of about {options.step:g} s")
    names = ("events", "cost/event", "busy", "delay", "99 %", "idle", "search", "driver", "RSS")
    print(f"workers   trials {names[0]:>10} {names[1]:>12} {names[2]:>8} {names[3]:>12} {names[4]:>12}", end="")
    print(f" {names[5]:>8} {names[6]:>11} {names[7]:>9} {names[8]:>9}")
    for workers in WORKERS:
        for trials in TRIALS:
            if workers <= trials <= options.most:
                with ExitStack() as stack:
                    folder = stack.enter_context(tempfile.TemporaryDirectory()) if options.disk else None
                    measure(workers, trials, options, Path(folder) / "study" if folder else None)


if __name__ == "__main__":
    main()
