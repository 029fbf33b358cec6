"""Many parameters and many trials: whether `auto` loses anything where its rules change.

    OMP_NUM_THREADS=1 python benchmarks/cliffs.py hidden [--seeds 10] [--strategies auto gp tpe]
    OMP_NUM_THREADS=1 python benchmarks/cliffs.py long [--trials 1000]

`hidden`: Hartmann's function of six parameters among 34 that do nothing, 100 trials. `long`: the 10-dimensional Ackley
function, 1,000 trials. Told are the regrets (0 optimum, 1 median of random configs) and CPU milliseconds a suggestion.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from _functions import ackley10, hartmann6

import automl
from automl.core.space import Config, Space

HIDDEN = Space.of({f"x{k}": automl.Float(0, 1) for k in range(40)})
LONG = Space.of({f"x{k}": automl.Float(-32, 32) for k in range(10)})
BEST = {hartmann6: -3.32237, ackley10: 0.0}
SHOWN = (50, 100, 250, 500, 750, 1000)


def scaled(function: Callable[[Config], float], space: Space) -> Callable[[Config], float]:
    """The function as regret."""
    rng = np.random.default_rng(0)
    median = statistics.median(function(space.sample(rng)) for _ in range(2000))
    return lambda config: (function(config) - BEST[function]) / (median - BEST[function])


def search(
    space: Space, regret: Callable[[Config], float], strategy: str, trials: int, seed: int
) -> tuple[list[float], list[float]]:
    """The lowest regret after each trial, and the CPU seconds of each suggestion."""
    best: list[float] = []
    spent: list[float] = []
    with automl.Study(space, metric="loss", trials=trials, seed=seed, strategy=strategy) as study:
        while True:
            begun = time.process_time()
            trial = study.ask()
            spent.append(time.process_time() - begun)
            if trial is None:
                return best, spent
            value = regret(trial.config)
            study.tell(trial, loss=value)
            best.append(min([value, *best[-1:]]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("hidden", "long"))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int)
    parser.add_argument("--strategies", nargs="*", default=["auto", "tpe"])
    given = parser.parse_args()
    function, space, usual = (hartmann6, HIDDEN, 100) if given.what == "hidden" else (ackley10, LONG, 1000)
    trials = given.trials or usual
    regret, shown = scaled(function, space), [n for n in SHOWN if n <= trials]
    print(f"| strategy | {' | '.join(f'{n} trials' for n in shown)} | CPU ms a suggestion |")
    print("|---" * (len(shown) + 2) + "|")
    for name in given.strategies:
        runs = [search(space, regret, name, trials, seed) for seed in range(given.seeds)]
        medians = " | ".join(f"{statistics.median(best[n - 1] for best, _ in runs):.3f}" for n in shown)
        cost = statistics.fmean(sum(spent) / trials for _, spent in runs) * 1e3
        print(f"| {name} | {medians} | {cost:.0f} |", flush=True)


if __name__ == "__main__":
    main()
