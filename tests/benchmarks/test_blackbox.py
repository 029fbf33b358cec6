"""The black-box benchmark: its tasks are what they claim to be, its table is right, and it can be continued."""

import importlib
import itertools
import json
import os
import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest

from tests.support.paths import ROOT


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> "Bench":
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return Bench()


class Bench:
    def __getattr__(self, name: str) -> ModuleType:
        return importlib.import_module(name)


def test_best_of_the_ring_of_choices_is_that_of_all_its_configs(bench) -> None:
    functions = bench._functions
    every = np.array(list(itertools.product(range(4), repeat=8)))
    values = sum(functions.BLOCKS[k, every[:, k], every[:, (k + 1) % 8]] for k in range(8))
    assert values.min() == pytest.approx(functions._best_ring())


def test_optima_of_formulas_are_reached(bench) -> None:
    f = bench._functions
    at = (0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573)
    assert f.hartmann6({f"x{k}": v for k, v in enumerate(at)}) == pytest.approx(-3.32237, abs=1e-4)
    assert f.levy6({f"x{k}": 1 + v for k, v in enumerate(np.linspace(-3, 4, 6))}) == pytest.approx(0, abs=1e-9)
    assert f.rosenbrock5({f"x{k}": 1.0 for k in range(5)}) == 0
    assert f.pipeline({"learner": "svm", "prepare": "scale", "c": 10**1.5, "gamma": 10**-2.5}) == pytest.approx(0)
    widths = {f"width{k}": 2 ** (8 - 0.7 * k) for k in range(3)}
    network = {"depth": 3, **widths, **{f"activation{k}": "gelu" for k in range(3)}}
    assert f.layers({**network, "rate": 1e-3, "optimizer": "adam", "decay": 1e-2}) == pytest.approx(0)


def test_surrogates_give_the_accuracies_published_with_them(bench, shared_data) -> None:
    s = bench._surrogates
    known = json.loads((shared_data / "surrogates" / "best_known.json").read_text())
    for key, best in known.items():
        _, scenario, task, _ = key.split("/")
        config = {**best["cfg"], **s.GIVEN[scenario], s.CHOICES[scenario].split()[0]: task}
        scale = 100 if scenario == "lcbench" else 1
        assert s.accuracy(scenario, config) == pytest.approx(-best["best"], abs=1e-5 * scale)


def test_halves_are_large_enough_and_apart(bench, shared_data) -> None:
    develop, report = (bench._problems.problems(half) for half in ("develop", "report"))
    assert len(report) >= 10
    assert not {p.name for p in develop} & {p.name for p in report}
    assert {p.kind for p in report} == {p.kind for p in develop} == {"numeric", "mixed", "conditional"}
    rng = np.random.default_rng(0)
    for problem in (*develop, *report):
        regrets = np.array([problem.regret(problem.loss(problem.space.sample(rng))) for _ in range(400)])
        assert regrets.min() >= 0  # a random config may be the best row of a table, none is better
        assert (regrets <= 1).mean() > 0.4
        assert (regrets < 1).mean() < 0.6  # about half the cells of nasbench201 learn nothing: many are exactly 1


def test_ranks_and_the_paired_test_are_over_tasks_and_repeats(bench) -> None:
    run, tables = bench._rivals.Run, bench._blackbox_tables
    space = bench._functions.TREE
    problem = bench._problems.Problem("tree", space, bench._functions.tree, 0.0, "conditional", "develop")
    good, bad = ([run([2.0, worst], 1.0) for worst in losses] for losses in ((0.1, 0.2, 0.3), (0.2, 0.3, 0.3)))
    results = {"good": {"tree": good}, "bad": {"tree": bad}}
    assert tables.mean_ranks(results, [problem], 2).tolist() == pytest.approx([3.5 / 3, 5.5 / 3])
    assert tables.mean_ranks(results, [problem], 1).tolist() == [1.5, 1.5]
    text = tables.table(results, [problem], [1, 2], "good")
    assert "- bad: better 2, worse 0 of 3" in text


@pytest.mark.slow
def test_a_table_is_continued_from_its_cache(tmp_path, shared_data) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "blackbox.py"), "--tasks", "tree", "--budgets", "12"]
    command += ["--methods", "random", "tpe", "--cache", str(tmp_path / "runs.jsonl"), "--against", "tpe"]
    told = []
    for repeats in ("1", "2", "2"):
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run([*command, "--repeats", repeats], check=True, capture_output=True, text=True, env=env)
        told.append((done.stdout, len((tmp_path / "runs.jsonl").read_text().splitlines())))
    assert [lines for _, lines in told] == [2, 4, 4]
    assert told[1] == told[2]
    assert "| tree (conditional) |" in told[2][0]
