"""Searches with a budget of time alone: what it is worth that models know how long a config trains.

    python benchmarks/cost_aware.py --seeds 10
    python benchmarks/cost_aware.py --seeds 3 --strategies tpe --tasks hpobench_credit_g

Losses are exhaustive tables of real trainings; the virtual seconds of a trial follow from width and depth (a formula:
1 to 20), in `hartmann6` from a seventh parameter that changes nothing else. Each search has the time of 40 average
trials. `blind` is the same search with a budget of steps beside that of time, too large to matter, so that time counts
for nothing. Printed are the regret (0: the best config, 1: the median one) after a quarter, half and all of the time;
and, of the time to the worse of both last regrets, that of the search that knows over that of the blind one, with
Wilcoxon's p over the seeds.
"""

import argparse
from functools import lru_cache
from math import exp, log
from statistics import fmean

import numpy as np
from _functions import hartmann6
from _grids import grid
from _problems import Problem
from scipy.stats import wilcoxon

from automl.core import plugins
from automl.core.history import History
from automl.core.space import Config, Float, Space
from automl.core.trial import Plan
from automl.stopping.never import Never
from automl.testing.simulate import Curve, simulate

TASKS = {"hpobench_credit_g": "develop", "hpobench_phoneme": "report", "hartmann6": ""}
TRIALS = 40  # average trials that fit into the time
SHARES = (0.25, 0.5, 1.0)


def seconds(config: Config) -> float:
    """Virtual seconds of a trial: from 1 to 20, even in the logarithm of the operations for a row."""
    if "free" in config:
        return float(20 ** float(config["free"]))  # type: ignore[arg-type]
    width, depth = (float(config[name]) for name in ("width", "depth"))  # type: ignore[arg-type]
    operations = 60 * width + (depth - 1) * width**2
    least, most = 60 * 16, 60 * 1024 + 2 * 1024**2
    return float(20 ** (np.log(operations / least) / np.log(most / least)))


@lru_cache
def task(name: str) -> Problem:
    """A table, or Hartmann's function with a parameter that only takes time."""
    if TASKS[name]:
        return grid(name, TASKS[name])
    box = {**{f"x{k}": Float(0, 1) for k in range(6)}, "free": Float(0, 1)}
    return Problem(name, Space.of(box), hartmann6, -3.32237, "numeric", "report")


@lru_cache
def budget(problem: Problem) -> float:
    """The seconds of `TRIALS` random trials."""
    rng = np.random.default_rng(0)
    return TRIALS * fmean(seconds(problem.space.sample(rng)) for _ in range(500))


def search(strategy: str, problem: Problem, seed: int, *, blind: bool) -> list[tuple[float, float]]:
    """(share of the time, regret) each time that the best trial changes."""

    def objective(config: Config, history: History) -> Curve:
        return Curve(config, [problem.loss(config)], seconds(config))

    plan = Plan(time_s=budget(problem), steps=10**9 if blind else None, workers=1)
    made = plugins.make("strategies", strategy)
    events = simulate(problem.space, objective, made, Never(), plan=plan, seed=seed)
    found: list[tuple[float, float]] = []
    for clock_s, _, number, _ in events.events:
        regret = max(0.0, problem.regret(events.history.trials[number].loss or 0.0))
        if clock_s <= budget(problem) and (not found or regret < found[-1][1]):
            found.append((clock_s / budget(problem), regret))
    return found


def at(found: list[tuple[float, float]], share: float) -> float:
    """The regret after a share of the time."""
    return min((regret for when, regret in found if when <= share), default=1.0)


def log_ratio(blind: list[tuple[float, float]], knows: list[tuple[float, float]]) -> float:
    """The log of the time of the one that knows over that of the blind one, to the worse of their last regrets."""
    level = max(at(blind, 1.0), at(knows, 1.0))
    times = [next(when for when, regret in found if regret <= level) for found in (knows, blind)]
    return log(times[0] / times[1])


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--strategies", nargs="+", default=["auto", "quick_gp", "tpe"])
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    args = parser.parse_args()
    print("| strategy | task | blind: regret at 1/4, 1/2, 1 | knows | time for the same: geometric mean, p |")
    print("|---|---|---|---|---|")
    for strategy in args.strategies:
        for name in args.tasks:
            problem = task(name)
            blind = [search(strategy, problem, seed, blind=True) for seed in range(args.seeds)]
            knows = [search(strategy, problem, seed, blind=False) for seed in range(args.seeds)]
            logs = [log_ratio(b, k) for b, k in zip(blind, knows, strict=True)]
            p = wilcoxon(logs).pvalue if any(logs) else 1.0
            cells = [" ".join(f"{fmean(at(f, s) for f in runs):.3f}" for s in SHARES) for runs in (blind, knows)]
            print(f"| {strategy} | {name} | {cells[0]} | {cells[1]} | {exp(fmean(logs)):.2f}, {p:.2g} |", flush=True)


if __name__ == "__main__":
    main()
