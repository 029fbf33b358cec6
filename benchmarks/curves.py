"""Search with early stopping on real learning curves: regret at a number of full-budget equivalents.

    python benchmarks/curves.py --half report --repeats 20          # the table of docs/measured/strategies.md
    python benchmarks/curves.py --half late --by-task               # simulated: the best trials are slow
    python benchmarks/curves.py --quick                             # a minute
    python benchmarks/curves.py --workers 16                        # asynchronously, 16 trials in flight
    python benchmarks/curves.py --cache runs.jsonl                  # go on where it was interrupted

A full-budget equivalent is the cost of one full trial (50 steps). Regret 0 is the best of the task's 1,000 rows, 1
the median one; what is judged is the trial a search would recommend then. Random streams are those of (task, repeat):
no two runs of a method share their first configs. Sized methods (halving) know their budget, so each column is a run of
its own; the others are read off one run.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from _cache import Cache
from _late import LATE
from _peers import OptunaPruner
from _tables import DEVELOP, HORIZON, REPORT, table
from scipy.stats import wilcoxon

from automl.core import plugins, seeds
from automl.core.space import config_key
from automl.core.stopper import Stopper
from automl.core.strategy import Strategy
from automl.core.trial import Plan
from automl.testing.simulate import Simulated, simulate


@dataclass(frozen=True)
class Method:
    name: str
    strategy: Callable[[], Strategy]
    stopper: Callable[[], Stopper]
    sized: bool = False  # knows its budget


@dataclass(frozen=True)
class Row:
    """One run of a method: its regret at each budget and its CPU seconds."""

    regrets: list[float]
    seconds: float


def _ours(strategy: str, stopper: str, **options: object) -> Method:
    sized = stopper == "halving"
    told = " ".join(f"{k}={v}" for k, v in options.items())
    return Method(
        f"{strategy} + {stopper} {told}".strip(),
        lambda: plugins.make("strategies", strategy),
        lambda: plugins.make("stoppers", {"name": stopper, **options}),
        sized,
    )


DEFAULT = "auto + halving"
METHODS = [
    _ours("auto", "halving"),
    _ours("random", "halving"),
    _ours("auto", "halving", near_misses=0),
    _ours("random", "halving", near_misses=0),
    _ours("random", "halving", waves=1),
    _ours("auto", "halving", waves=1),
    _ours("auto", "halving", waves=3),
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
    return simulate(rows.space, rows.objective(), method.strategy(), method.stopper(), plan=plan, seed=seed)


def regrets(method: Method, task: str, repeat: int, budgets: list[int], workers: int) -> tuple[list[float], float]:
    """Regret of what is recommended at each of `budgets`, all read off one run; and its CPU seconds."""
    rows, started = table(task), time.process_time()
    done = run(method, task, repeat, max(budgets), workers)
    found = [done.recommended(budget * HORIZON) for budget in budgets]
    values = [1.0 if best is None else rows.regret(rows.row_of[config_key(best.config)]) for best in found]
    return values, time.process_time() - started


def cell(cache: Cache, method: Method, task: str, repeat: int, budgets: list[int], workers: int) -> Row:
    """`regrets` at all budgets, each in a run of its own for a method that knows its budget."""
    key = {"method": method.name, "task": task, "repeat": repeat, "workers": workers}
    groups = [[b] for b in budgets] if method.sized else [budgets]
    parts = [
        cache.get({**key, "budgets": g}, lambda g=g: regrets(method, task, repeat, g, workers))  # type: ignore[misc]
        for g in groups
    ]
    return Row([value for values, _ in parts for value in values], sum(seconds for _, seconds in parts))


def compared(name: str, rows: list[Row], default: list[Row], budgets: list[int]) -> str:
    """A line of the table; where the default ran too, its share of the mean regret and a paired test."""
    values = np.array([row.regrets for row in rows])
    ours = np.array([row.regrets for row in default])
    cells = []
    for k in range(len(budgets)):
        mean, error = values[:, k].mean(), values[:, k].std() / len(values) ** 0.5
        told = f"{mean:.3f} ± {error:.3f}"
        if default is not rows and len(default) == len(rows):
            apart = values[:, k] - ours[:, k]
            p = wilcoxon(apart).pvalue if apart.any() else 1.0
            told += f" (default: {ours[:, k].mean() / mean:.2f} of it, p {p:.1g})" if mean else ""
        cells.append(told)
    return f"| {name} | " + " | ".join(cells) + f" | {np.mean([row.seconds for row in rows]):.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--half", choices=["develop", "report", "late"], default="develop")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--budgets", type=int, nargs="+", default=[5, 10, 25])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[], help="methods whose name contains one of these")
    parser.add_argument("--exactly", nargs="*", default=[], help="methods of these names")
    parser.add_argument("--cache", type=Path, help="keep finished runs here, and go on from those that are there")
    parser.add_argument("--quick", action="store_true", help="two repeats, budget 5")
    parser.add_argument("--by-task", action="store_true", help="a table for each task")
    given = parser.parse_args()
    if given.quick:
        given.repeats, given.budgets = 2, [5]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    tasks = {"develop": DEVELOP, "report": REPORT, "late": LATE}[given.half]
    for group in [(task,) for task in tasks] if given.by_task else [tuple(tasks)]:
        report(group, given)


def report(tasks: tuple[str, ...], given: argparse.Namespace) -> None:
    """A table of all methods over `tasks`."""
    cache = Cache(given.cache)
    print(f"{given.half} tasks {', '.join(tasks)}; {given.repeats} repeats; {given.workers} in flight")
    print("| method | " + " | ".join(f"{b} FBE" for b in given.budgets) + " | CPU s a run |")
    print("|---" * (len(given.budgets) + 2) + "|")
    default: list[Row] = []
    for method in METHODS:
        named = method.name in given.exactly or any(part in method.name for part in given.only)
        if (given.only or given.exactly) and not named:
            continue
        where = [(task, repeat) for task in tasks for repeat in range(given.repeats)]
        rows = [cell(cache, method, task, repeat, given.budgets, given.workers) for task, repeat in where]
        default = rows if method.name == DEFAULT else default
        print(compared(method.name, rows, default, given.budgets), flush=True)


if __name__ == "__main__":
    main()
