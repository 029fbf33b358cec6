"""Failures as knowledge: how many trials fail after the start, and what that costs, by strategy.

    python benchmarks/failures.py --seeds 10 --json failures.json
    python benchmarks/failures.py --seeds 3 --strategies gp tpe

Losses are exhaustive tables of real trainings (`credit_g` and `phoneme`). `memory`: 40 % of the space does not fit a
device; what a config needs follows from width, depth and batch size. `chance`: 30 % of the trials fail whatever their
config. Each search has 30 trials, one at a time. Of trials 11 to 30 the share that failed is printed, and the regret
of the best trial that ended well (0: the best config that fits, 1: the median one).
"""

import argparse
import itertools
import json
import time
from functools import lru_cache
from pathlib import Path
from statistics import fmean

import numpy as np
from _grids import HPOBENCH, grid
from _problems import Problem

from automl.core import plugins, seeds
from automl.core.history import History
from automl.core.space import Config, Space
from automl.core.trial import Plan
from automl.stopping.never import Never
from automl.testing.simulate import Curve, simulate

TASKS = {"hpobench_credit_g": "develop", "hpobench_phoneme": "report"}
STRATEGIES = ("auto", "gp", "quick_gp", "forest", "tpe", "random")
SPACE = Space.of(HPOBENCH)
TRIALS, STARTUP = 30, 10
TOO_LARGE = 0.4  # share of the configs that do not fit
BY_CHANCE = 0.3  # share of the trials that fail by chance


def needed(config: Config) -> float:
    """Memory of a training, in arbitrary units: weights and their optimizer state, and activations of one batch."""
    width, depth, batch = (float(config[name]) for name in ("width", "depth", "batch_size"))  # type: ignore[arg-type]
    weights = 4 * (depth - 1) * width**2 + 60 * width
    return weights + 40 * batch * depth * width


def every_config() -> list[Config]:
    """All configs of the tables, in the order of their axes."""
    values = [[p.from_unit((k + 0.5) / p.size) for k in range(int(p.size))] for p in SPACE.params.values()]
    return [dict(zip(SPACE.params, row, strict=True)) for row in itertools.product(*values)]


@lru_cache
def limit() -> float:
    """The memory that `TOO_LARGE` of all configs exceed."""
    return float(np.quantile([needed(config) for config in every_config()], 1 - TOO_LARGE))


def search(strategy: str, problem: Problem, how: str, seed: int) -> dict[str, float]:
    """One search: share of failures after the start, regret, CPU seconds."""
    chance = np.random.default_rng(seeds.derive(problem.name, how, seed))
    fails = chance.random(TRIALS) < BY_CHANCE

    def objective(config: Config, history: History) -> Curve:
        failed = needed(config) > limit() if how == "memory" else bool(fails[history.next_number])
        return Curve(config, [float("nan") if failed else problem.loss(config)])

    began = time.process_time()
    plan = Plan(trials=TRIALS, workers=1)
    history = simulate(
        problem.space, objective, plugins.make("strategies", strategy), Never(), plan=plan, seed=seed
    ).history
    seconds = time.process_time() - began
    late = history.trials[STARTUP:]
    failed = fmean(trial.failure is not None for trial in late)
    best = min((trial.loss for trial in history.done if trial.loss is not None), default=problem.median)
    return {"failed": failed, "regret": max(0.0, problem.regret(best)), "seconds": seconds}


def best_that_fits(problem: Problem) -> Problem:
    """The problem with the best loss among the configs that fit as its best."""
    low = min(problem.loss(config) for config in every_config() if needed(config) <= limit())
    return Problem(problem.name, problem.space, problem.loss, low, problem.kind, problem.half)


def main() -> None:
    """Print a table; write all single searches as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--strategies", nargs="+", default=STRATEGIES)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    tasks = {name: grid(name, half) for name, half in TASKS.items()}
    rows = []
    print("| strategy | failures | task | failed of trials 11-30 | regret | CPU s |\n|---|---|---|---|---|---|")
    for strategy in args.strategies:
        for how in ("memory", "chance"):
            for name, problem in tasks.items():
                judged = best_that_fits(problem) if how == "memory" else problem
                runs = [search(strategy, judged, how, seed) for seed in range(args.seeds)]
                mean = {key: fmean(run[key] for run in runs) for key in runs[0]}
                rows += [{"strategy": strategy, "how": how, "task": name, "seed": s, **r} for s, r in enumerate(runs)]
                print(
                    f"| {strategy} | {how} | {name} | {mean['failed']:.0%} | {mean['regret']:.3f} |"
                    f" {mean['seconds']:.1f} |",
                    flush=True,
                )
    if args.json:
        args.json.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
