"""Whole optimizers of others, asked and told one trial at a time in their own loop: SMAC3 and scikit-optimize."""

import json
import os
import shutil
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _problems import Problem
from automl_strategies.bridges.optuna_storage import distribution, from_optuna, to_optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from automl.core.space import Config, Space, Value

WORKER = Path(__file__).with_name("_smac_worker.py")


@dataclass(frozen=True)
class Run:
    """The losses of one search, in the order its trials ended, and what choosing them cost."""

    losses: list[float]
    cpu_s: float


def smac_python() -> str | None:
    """The interpreter that has SMAC3: $SMAC_PYTHON, or this one; None where there is none."""
    for python in (os.environ.get("SMAC_PYTHON", ""), sys.executable):
        there = python and shutil.which(python)
        if there and not subprocess.run([python, "-c", "import smac"], capture_output=True, check=False).returncode:
            return python
    return None


def smac(problem: Problem, seed: int, trials: int, python: str) -> Run:
    """SMAC3's HyperparameterOptimizationFacade (forest, log expected improvement, Sobol start)."""
    first = {"params": described(problem.space), "trials": trials, "seed": seed % 2**31}
    losses: list[float] = []
    with subprocess.Popen([python, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        _say(worker.stdin, json.dumps(first))
        for _ in range(trials):
            config = _config(problem.space, json.loads(worker.stdout.readline()))
            losses.append(problem.loss(config))
            _say(worker.stdin, repr(losses[-1]))
        cpu_s = json.loads(worker.stdout.readline())["cpu_s"]
    return Run(losses, cpu_s)


def skopt(problem: Problem, seed: int, trials: int, base: str) -> Run:
    """scikit-optimize's `Optimizer` with its defaults; conditions are flattened, it knows none."""
    from skopt import Optimizer
    from skopt.space import Categorical, Integer, Real

    dimensions: list[Any] = []
    for p in described(problem.space):
        prior = "log-uniform" if p["log"] else "uniform"
        if p["kind"] == "choice":
            dimensions.append(Categorical(list(range(p["high"] + 1))))
        else:
            dimensions.append((Real if p["kind"] == "float" else Integer)(p["low"], p["high"], prior=prior))
    losses: list[float] = []
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        optimizer = Optimizer(dimensions, base, random_state=seed % 2**31)
        for _ in range(trials):
            drawn = optimizer.ask()
            config = _config(problem.space, dict(zip(problem.space.names, drawn, strict=True)))
            losses.append(problem.loss(config))
            optimizer.tell(drawn, losses[-1])
    return Run(losses, time.process_time() - started)


def described(space: Space) -> list[dict[str, Any]]:
    """Parameters as plain data, as Optuna gets them: stepped numbers and ordered choices by their index."""
    rows = []
    for name, p in space.params.items():
        d = distribution(p)
        when = {q: [to_optuna(space.params[q], v) for v in allowed] for q, allowed in p.when.items()}
        row: dict[str, Any] = {"name": name, "when": when, "log": False, "low": 0}
        if isinstance(d, CategoricalDistribution):
            row |= {"kind": "choice", "high": len(d.choices) - 1}
        elif isinstance(d, FloatDistribution | IntDistribution):
            kind = "float" if isinstance(d, FloatDistribution) else "int"
            row |= {"kind": kind, "low": d.low, "high": d.high, "log": d.log}
        rows.append(row)
    return rows


def _config(space: Space, drawn: dict[str, Any]) -> Config:
    def value(_: int, name: str) -> Value:
        return from_optuna(space.params[name], drawn[name])

    return space.build(value)


def _say(pipe: Any, line: str) -> None:
    pipe.write(line + "\n")
    pipe.flush()
