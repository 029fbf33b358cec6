"""Noise inside a search: what it is worth to give the leaders further seeds while it runs.

    python benchmarks/replicates.py --seeds 20
    python benchmarks/replicates.py --seeds 5 --noise 1 --strategies tpe

Losses are exhaustive tables of real trainings (means over repeats) with noise of a seed's own: its standard deviation
is a share of that of random configs below their median. Each search has 60 trials of full length, one at a time; then
its finalists are trained again on 3 fresh seeds and the winner is chosen by their means. Printed is the regret of the
true loss of the winner (0: the best config, 1: the median one), without finalists and with 5.
"""

import argparse
from statistics import fmean

import numpy as np
from _grids import grid
from _problems import Problem
from scipy.stats import wilcoxon

from automl.core import plugins, seeds
from automl.core.history import History
from automl.core.space import Config
from automl.core.trial import Plan
from automl.evaluation.candidates import candidates
from automl.stopping.never import Never
from automl.testing.simulate import Curve, simulate

TASKS = {"hpobench_credit_g": "develop", "hpobench_phoneme": "report", "hpolib_protein_structure": "report"}
TRIALS = 60


def spread(problem: Problem) -> float:
    """The standard deviation of the better half of random configs."""
    rng = np.random.default_rng(0)
    losses = np.sort([problem.loss(problem.space.sample(rng)) for _ in range(1000)])
    return float(losses[:500].std())


def search(strategy: object, problem: Problem, noise: float, seed: int) -> tuple[float, float]:
    """The regret of the winner without finalists, and with 5 on 3 fresh seeds."""

    def objective(config: Config, history: History) -> Curve:
        drawn = np.random.default_rng(seeds.derive(problem.name, seed, history.next_number)).normal()
        return Curve(config, [problem.loss(config) + noise * drawn])

    plan = Plan(trials=TRIALS, workers=1)
    made = plugins.make("strategies", strategy)  # type: ignore[arg-type]
    history = simulate(problem.space, objective, made, Never(), plan=plan, seed=seed).history
    finalists = candidates(history, 5)
    rng = np.random.default_rng(seeds.derive(problem.name, seed, "fresh"))
    means = [problem.loss(t.config) + noise * rng.normal(size=3).mean() for t in finalists]
    won = finalists[int(np.argmin(means))]
    return problem.regret(problem.loss(finalists[0].config)), problem.regret(problem.loss(won.config))


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 0.3, 1.0])
    parser.add_argument("--strategies", nargs="+", default=["auto"])
    args = parser.parse_args()
    print("| strategy | noise | no finalists: once, replicates, p | 5 finalists: once, replicates, p |")
    print("|---|---|---|---|")
    for strategy in args.strategies:
        for share in args.noise:
            once, more = [], []
            for name, half in TASKS.items():
                problem = grid(name, half)
                noise = share * spread(problem)
                for seed in range(args.seeds):
                    once.append(search(strategy, problem, noise, seed))
                    more.append(search({"name": "replicates", "strategy": strategy}, problem, noise, seed))
            cells = []
            for k in (0, 1):
                a, b = [one[k] for one in once], [one[k] for one in more]
                p = wilcoxon(a, b).pvalue if a != b else 1.0
                cells.append(f"{fmean(a):.3f}, {fmean(b):.3f}, {p:.2g}")
            print(f"| {strategy} | {share:g} | {cells[0]} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main()
