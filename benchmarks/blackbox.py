"""Search without curves: regret after a number of full trials on functions, real tables and a conditional tree.

    python benchmarks/blackbox.py --half report --repeats 10        # the table of docs/strategies.md
    python benchmarks/blackbox.py --quick
    python benchmarks/blackbox.py --workers 16                      # asynchronously, 16 trials in flight

Regret 0 is the best possible loss, 1 the median of random configs; of the best trial so far. Random streams are those
of (task, repeat).
"""

import argparse
import time

import numpy as np
import optuna
from _problems import Problem, problems

from automl import plugins, seeds
from automl.space import Config
from automl.stopping.never import Never
from automl.strategy import Strategy
from automl.testing.simulate import Curve, simulate
from automl.trial import History, Plan

METHODS: dict[str, dict[str, object]] = {
    "auto": {"name": "auto"},
    "tpe": {"name": "tpe"},
    "gp": {"name": "gp"},
    "forest": {"name": "forest"},
    "genetic": {"name": "genetic"},
    "random": {"name": "random"},
    "Optuna TPE": {"name": "optuna"},
    "Optuna GP": {"name": "optuna", "sampler": "GPSampler"},
    "skopt ET": {"name": "skopt"},
}
SLOW = ("Optuna GP", "skopt ET")


def regrets(problem: Problem, strategy: Strategy, repeat: int, budgets: list[int], workers: int) -> list[float]:
    """Regret of the best of the first so many trials to end."""

    def objective(config: Config, history: History) -> Curve:
        speed = history.rng(0, "speed").uniform(0.5, 1.5)  # trials in flight end in any order
        return Curve(config, [problem.loss(config)], step_s=float(speed))

    plan = Plan(trials=max(budgets), workers=workers)
    seed = seeds.derive(problem.name, repeat)
    done = simulate(problem.space, objective, strategy, Never(), plan=plan, seed=seed).history.done
    losses = [t.loss for t in done if t.loss is not None]
    return [problem.regret(min(losses[:budget])) for budget in budgets]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--half", choices=["develop", "report"], default="develop")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--budgets", type=int, nargs="+", default=[25, 50, 100])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--methods", nargs="*", default=[m for m in METHODS if m not in SLOW])
    parser.add_argument("--tasks", nargs="*", default=[])
    parser.add_argument("--quick", action="store_true", help="two repeats, 25 trials, no gp")
    given = parser.parse_args()
    if given.quick:
        given.repeats, given.budgets = 2, [25]
        given.methods = ["tpe", "forest", "genetic", "random", "Optuna TPE"]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    chosen = [p for p in problems(given.half) if not given.tasks or p.name in given.tasks]
    print(f"{given.half}; {given.repeats} repeats; {given.workers} in flight; regret after {given.budgets} trials")
    print("| method | " + " | ".join(p.name for p in chosen) + " | CPU s a run |")
    print("|---" * (len(chosen) + 2) + "|")
    for name in given.methods:
        strategy = plugins.make("strategies", METHODS[name])
        started = time.process_time()
        cells = []
        for problem in chosen:
            runs = [regrets(problem, strategy, r, given.budgets, given.workers) for r in range(given.repeats)]
            values = np.array(runs)
            error = values.std(0)[-1] / len(values) ** 0.5
            cells.append(" ".join(f"{v:.3f}" for v in values.mean(0)) + f" ± {error:.3f}")
        seconds = (time.process_time() - started) / (given.repeats * len(chosen))
        print(f"| {name} | " + " | ".join(cells) + f" | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
