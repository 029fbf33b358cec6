"""Search with early stopping on real learning curves: regret at a number of full-budget equivalents.

    python benchmarks/curves.py --half report --repeats 20          # the table of docs/strategies.md
    python benchmarks/curves.py --quick                             # a minute
    python benchmarks/curves.py --workers 16                        # asynchronously, 16 trials in flight

A full-budget equivalent is the cost of one full trial (50 steps). Regret 0 is the best of the task's 1,000 rows, 1
the median one; what is judged is the trial a search would recommend then. Random streams are those of (task, repeat):
no two runs of a method share their first configs. Sized methods (halving) know their budget, so each column is a run of
its own; the others are read off one run.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import optuna
from _peers import OptunaPruner
from _tables import DEVELOP, HORIZON, REPORT, SPACE, table

from automl import plugins, seeds
from automl.space import config_key
from automl.stopping import Stopper
from automl.strategy import Strategy
from automl.testing.simulate import Simulated, simulate
from automl.trial import Plan


@dataclass(frozen=True)
class Method:
    name: str
    strategy: Callable[[], Strategy]
    stopper: Callable[[], Stopper]
    sized: bool = False  # knows its budget


def _ours(strategy: str, stopper: str, **options: object) -> Method:
    sized = stopper == "halving"
    told = " ".join(f"{k}={v}" for k, v in options.items())
    return Method(
        f"{strategy} + {stopper} {told}".strip(),
        lambda: plugins.make("strategies", strategy),
        lambda: plugins.make("stoppers", {"name": stopper, **options}),
        sized,
    )


METHODS = [
    _ours("auto", "halving"),
    _ours("random", "halving"),
    _ours("random", "halving", waves=1),
    _ours("auto", "halving", eta=3),
    _ours("tpe", "asha", mode="promote"),
    _ours("random", "asha"),
    _ours("random", "asha", mode="promote"),
    _ours("random", "hyperband"),
    _ours("random", "median", warmup=5),
    _ours("random", "none"),
    _ours("tpe", "none"),
    Method("Optuna TPE + SuccessiveHalvingPruner(1, 3)", lambda: plugins.make("strategies", "optuna"), OptunaPruner),
    Method(
        "Optuna TPE + HyperbandPruner",
        lambda: plugins.make("strategies", "optuna"),
        lambda: OptunaPruner(optuna.pruners.HyperbandPruner(1, HORIZON, 3)),
    ),
    Method("Optuna TPE", lambda: plugins.make("strategies", "optuna"), lambda: plugins.make("stoppers", "none")),
]


def run(method: Method, task: str, repeat: int, budget: int, workers: int) -> Simulated:
    rows = table(task)
    plan = Plan(trials=len(rows.configs), steps=budget * HORIZON, horizon=HORIZON, workers=workers)
    seed = seeds.derive(task, repeat)
    return simulate(SPACE, rows.objective(), method.strategy(), method.stopper(), plan=plan, seed=seed)


def regrets(method: Method, task: str, repeat: int, budgets: list[int], workers: int) -> list[float]:
    """Regret of what is recommended at each of `budgets`."""
    rows = table(task)
    found: list[float] = []
    simulated = None if method.sized else run(method, task, repeat, max(budgets), workers)
    for budget in budgets:
        done = run(method, task, repeat, budget, workers) if simulated is None else simulated
        best = done.recommended(budget * HORIZON)
        found.append(1.0 if best is None else rows.regret(rows.row_of[config_key(best.config)]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--half", choices=["develop", "report"], default="develop")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--budgets", type=int, nargs="+", default=[5, 10, 25])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[], help="methods whose name contains one of these")
    parser.add_argument("--quick", action="store_true", help="two repeats, budget 5")
    given = parser.parse_args()
    if given.quick:
        given.repeats, given.budgets = 2, [5]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    tasks = DEVELOP if given.half == "develop" else REPORT
    print(f"{given.half} tasks {', '.join(tasks)}; {given.repeats} repeats; {given.workers} in flight")
    print("| method | " + " | ".join(f"{b} FBE" for b in given.budgets) + " | CPU s a run |")
    print("|---" * (len(given.budgets) + 2) + "|")
    for method in METHODS:
        if given.only and not any(part in method.name for part in given.only):
            continue
        started = time.process_time()
        all_runs = [regrets(method, t, r, given.budgets, given.workers) for t in tasks for r in range(given.repeats)]
        values = np.array(all_runs)
        cells = [f"{m:.3f} ± {s:.3f}" for m, s in zip(values.mean(0), values.std(0) / len(values) ** 0.5, strict=True)]
        seconds = (time.process_time() - started) / len(values)
        print(f"| {method.name} | " + " | ".join(cells) + f" | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
