"""Search without curves: regret after a number of full trials on functions, tables, surrogates and conditional spaces.

    python benchmarks/blackbox.py --half report --repeats 10        # the table of docs/measured/strategies.md
    python benchmarks/blackbox.py --quick
    python benchmarks/blackbox.py --workers 16                      # asynchronously, 16 trials in flight
    python benchmarks/blackbox.py --methods auto 'gp, 4 climbs={"name": "gp", "climbs": 4}' --cache runs.jsonl

Regret 0 is the best possible loss, 1 the median of random configs; of the best trial so far. Random streams are those
of (task, repeat). `--cache` keeps every finished run, so that a table can be continued, or methods added to it; after
a change of a strategy its lines must be deleted there. SMAC3 needs an environment of its own: $SMAC_PYTHON.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
from _blackbox_tables import Results, table
from _problems import Problem, problems
from _rivals import Run, skopt, smac, smac_python

from automl.core import plugins, seeds
from automl.core.history import History
from automl.core.space import Config
from automl.core.trial import Plan
from automl.stopping.never import Never
from automl.testing.simulate import Curve, simulate

METHODS: dict[str, dict[str, object]] = {
    "auto": {"name": "auto"},
    "tpe": {"name": "tpe"},
    "gp": {"name": "gp"},
    "forest": {"name": "forest"},
    "genetic": {"name": "genetic"},
    "sobol": {"name": "sobol"},
    "random": {"name": "random"},
    "Optuna TPE": {"name": "optuna"},
    "Optuna GP": {"name": "optuna", "sampler": "GPSampler"},
}
RIVALS = ("SMAC3", "skopt GP", "skopt ET")  # whole optimizers with a loop of their own, one trial at a time


def run(method: str, problem: Problem, repeat: int, trials: int, workers: int, python: str | None) -> Run:
    """One search of `trials` trials."""
    seed = seeds.derive(problem.name, repeat)
    if method == "SMAC3":
        assert python is not None
        return smac(problem, seed, trials, python)
    if method.startswith("skopt "):
        return skopt(problem, seed, trials, method.split()[1])

    def objective(config: Config, history: History) -> Curve:
        speed = history.rng(0, "speed").uniform(0.5, 1.5)  # trials in flight end in any order
        return Curve(config, [problem.loss(config)], step_s=float(speed))

    strategy = plugins.make("strategies", METHODS[method])
    started = time.process_time()
    done = simulate(
        problem.space, objective, strategy, Never(), plan=Plan(trials=trials, workers=workers), seed=seed
    ).history.done
    ended = sorted(done, key=lambda t: t.ended_s or 0.0)
    return Run([t.loss for t in ended if t.loss is not None], time.process_time() - started)


class Cache:
    """Finished runs, one JSON object a line; nothing is kept without a file."""

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self.runs: dict[tuple[object, ...], Run] = {}
        for line in file.read_text().splitlines() if file and file.exists() else ():
            row = json.loads(line)
            self.runs[tuple(row["key"])] = Run(row["losses"], row["cpu_s"])

    def add(self, key: tuple[object, ...], found: Run) -> Run:
        self.runs[key] = found
        if self.file:
            with self.file.open("a") as out:
                out.write(json.dumps({"key": key, "losses": found.losses, "cpu_s": round(found.cpu_s, 3)}) + "\n")
        return found


def main() -> None:
    given = _arguments()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    chosen = [p for p in problems(given.half) if not given.tasks or p.name in given.tasks]
    methods = list(_methods(given.methods, given.workers))
    python = smac_python() if "SMAC3" in methods else None
    if "SMAC3" in methods and python is None:
        print("SMAC3 is left out: no interpreter with it ($SMAC_PYTHON; pip install smac into an own environment)")
        methods.remove("SMAC3")
    cache = Cache(given.cache)
    trials = max(given.budgets)
    results: Results = {}
    for repeat in range(given.repeats):
        for problem in chosen:
            for name in methods:
                key = (name, problem.name, repeat, trials, given.workers)
                found = cache.runs.get(key) or cache.add(key, run(name, problem, repeat, trials, given.workers, python))
                results.setdefault(name, {}).setdefault(problem.name, []).append(found)
    print(f"{given.half}; {given.repeats} repeats; {given.workers} in flight; regret after {given.budgets} trials")
    print(table(results, chosen, given.budgets, given.against))


def _methods(given: list[str], workers: int) -> Iterator[str]:
    """Names of methods; `NAME={...}` is a strategy with options, named for this run."""
    for item in given:
        name, _, options = item.partition("=")
        if options:
            METHODS[name] = json.loads(options)
        if name not in METHODS and name not in RIVALS:
            raise SystemExit(f"no method {name!r}; there are {', '.join([*METHODS, *RIVALS])}")
        if name in RIVALS and workers > 1:
            print(f"{name} is left out: it runs one trial at a time")
        else:
            yield name


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--half", choices=["develop", "report"], default="develop")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--budgets", type=int, nargs="+", default=[25, 50])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--methods", nargs="*", default=[*METHODS, *RIVALS[:2]])
    parser.add_argument("--tasks", nargs="*", default=[])
    parser.add_argument("--cache", type=Path, help="a file of finished runs to read and to add to")
    parser.add_argument("--against", default="auto", help="the method whom the paired test compares with the others")
    parser.add_argument("--quick", action="store_true", help="two repeats, 25 trials, the cheap methods")
    given = parser.parse_args()
    if given.quick:
        given.repeats, given.budgets = 2, [25]
        given.methods = ["auto", "tpe", "forest", "genetic", "random", "Optuna TPE"]
    return given


if __name__ == "__main__":
    main()
