"""Do the reported intervals hold? Fresh searches on small samples of large tables; the rest of the table is the truth.

Each search gets `--rows` rows, split 50/25/25 as always, and ends with a winner in `best/` and an interval for its test
score. The saved models are then scored on the rows that no search has seen. Printed for each data set: how often the
interval held the true score of the model in `best/`, and how wide it is; by how much (mean, its standard error) these
were better than the truth: the search's best value (truth: mean of that config's models on fresh seeds), the winner's
mean over fresh seeds (the same), the test value (of the model in `best/`); and how often the interval of the fresh
seeds held the winner's true mean: it knows nothing of the luck with validation rows, so it need not.

    python benchmarks/coverage.py [--searches 50] [--rows 800] [--trials 20] [--quick]
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _cache import Cache

import automl
from automl import metrics, specfile
from automl.api import from_spec
from automl.evaluation.finalists import holdout_of
from automl.metrics import intervals as honest
from automl.tasks.builtin import BuiltinTask
from automl.tasks.from_spec import task_of

TABLES = Path(os.environ.get("AUTOML_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")) / "tables"
FRESH = 1000  # the first search's number: 0 to 49 were looked at while the method was chosen
SPACE = {
    "depth": {"int": [1, 2]},
    "width": {"int": [8, 64], "log": True},
    "dropout": {"float": [0.0, 0.5]},
    "lr": {"float": [1e-3, 1e-1], "log": True},
    "weight_decay": {"float": [1e-5, 1e-1], "log": True},
}


@dataclass(frozen=True)
class Case:
    """`table`: a file of the shared tables, or "made": two noisy classes out of four that are made up."""

    table: str
    metric: str
    task: str = "classification"


CASES = [
    Case("pendigits", "accuracy"),
    Case("phoneme", "auroc"),
    Case("adult", "balanced_accuracy"),
    Case("227_cpu_small", "rmse", "regression"),
    Case("made", "log_loss"),
]


@dataclass(frozen=True)
class Result:
    """Of one search; values in the metric's own direction."""

    found: float
    found_truth: float
    mean: float
    mean_truth: float
    seeds: tuple[float, float]
    test: float
    interval: tuple[float, float]
    alone: tuple[float, float]
    truth: float
    seconds: float


def read(case: Case) -> pd.DataFrame:
    if case.table != "made":
        return pd.read_csv(TABLES / f"{case.table}.tsv.gz", sep="\t")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30_000, 8))
    score = np.stack([x[:, 0], x[:, 1] * x[:, 2], np.abs(x[:, 3]), -x[:, 0] + x[:, 4]], 1)
    frame = pd.DataFrame(x, columns=[f"x{k}" for k in range(8)])
    frame["target"] = (score + rng.gumbel(size=score.shape)).argmax(1)
    return frame


def draw(frame: pd.DataFrame, number: int, rows: int, folder: Path) -> pd.DataFrame:
    """Write the rows of search `number` to `folder`; returns up to 20,000 others."""
    order = np.random.default_rng([number, 7]).permutation(len(frame))
    frame.iloc[order[:rows]].to_csv(folder / "mine.csv", index=False)
    return frame.iloc[order[rows:][:20_000]]


def tree(case: Case, number: int, trials: int) -> dict[str, object]:
    """The spec of search `number`."""
    return {
        "model": "mlp", "data": "mine.csv", "target": "target", "metric": f"val_{case.metric}", "epochs": 6,
        "prepare": {"task": case.task}, "space": SPACE,
        "strategy": "random", "stopper": "none", "budget": {"trials": trials}, "seed": number,
    }  # fmt: skip


def search(case: Case, frame: pd.DataFrame, number: int, rows: int, trials: int, folder: Path) -> Result:
    begun, rest = time.process_time(), draw(frame, number, rows, folder)
    read = specfile.from_json(tree(case, number, trials), name="s", folder=folder)
    study = from_spec.prepare(read, folder / "s", objects={"executor": "inline"}).run()
    assert study.verdict is not None
    assert study.best is not None
    assert study.best.loss is not None
    first, test, runs = study.verdict["finalists"][0], study.verdict["test"], study.verdict["asked"]["runs"]

    def again(trial: int) -> float:
        models = [automl.load(folder / "s" / "finalists" / "trials" / f"{n:05d}" / "bundle") for n in runs[str(trial)]]
        return float(np.mean([score(case, model, rest) for model in models]))

    task = task_of(read)
    assert isinstance(task, BuiltinTask)
    alone = honest.interval(holdout_of(task).sample(folder / "s" / "best", "test"))
    seconds = time.process_time() - begun
    truths = again(study.best.number), again(first["trial"]), score(case, automl.load(folder / "s"), rest)
    shutil.rmtree(folder / "s")
    return Result(
        study.metric.value(study.best.loss), truths[0], first["mean"], truths[1], tuple(first["interval"]),
        test["value"], tuple(test["interval"]), alone, truths[2], seconds,
    )  # fmt: skip


def score(case: Case, model: object, rest: pd.DataFrame) -> float:
    import torch

    from automl.bundle.ensemble import Ensemble
    from automl.bundle.model import Model

    assert isinstance(model, Model | Ensemble)
    outputs = model.outputs(rest.drop(columns="target"))
    if case.task == "regression":
        target = (model if isinstance(model, Model) else model.models[0]).preparation["target"]
        y = (rest["target"].to_numpy()[:, None] - target["center"]) / target["scale"]
        targets = torch.from_numpy(y).float()
        return metrics.compute(case.task, outputs, targets, scale=torch.tensor(target["scale"]))[case.metric]
    code = {str(c): k for k, c in enumerate(model.classes)}
    known = rest["target"].astype(str).isin(code).to_numpy(copy=True)
    targets = torch.tensor([code[str(v)] for v in rest["target"][known]])
    return metrics.compute(case.task, outputs[torch.from_numpy(known)], targets)[case.metric]


def table_row(case: Case, results: list[Result]) -> str:
    sign = -1.0 if metrics.direction(case.metric) == "minimize" else 1.0
    seeds = sum(r.seeds[0] <= r.mean_truth <= r.seeds[1] for r in results)
    n = len(results)

    def held(intervals: list[tuple[float, float]]) -> str:
        return f"{sum(low <= r.truth <= high for r, (low, high) in zip(results, intervals, strict=True))}/{n}"

    def gap(pairs: list[tuple[float, float]]) -> str:
        gaps = sign * np.array([told - truth for told, truth in pairs])
        return f"{gaps.mean():+.4f} ({gaps.std(ddof=1) / np.sqrt(n):.4f})"

    def width(intervals: list[tuple[float, float]]) -> str:
        return f"{np.median([high - low for low, high in intervals]):.4f}"

    inside, alone = [r.interval for r in results], [r.alone for r in results]
    return (
        f"| {case.table} | {case.metric} | {np.mean([r.truth for r in results]):.4f} | {held(inside)} | "
        f"{width(inside)} | {held(alone)} | {width(alone)} | "
        f"{gap([(r.found, r.found_truth) for r in results])} | {gap([(r.mean, r.mean_truth) for r in results])} | "
        f"{gap([(r.test, r.truth) for r in results])} | {seeds}/{n} | {np.mean([r.seconds for r in results]):.1f} s |"
    )


def arguments(*, searches: int, trials: int) -> argparse.ArgumentParser:
    """What this script and `ensemble.py` are asked alike; the numbers are defaults."""
    parser = argparse.ArgumentParser(
        description=sys.modules["__main__"].__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--searches", type=int, default=searches)
    parser.add_argument("--rows", type=int, default=800)
    parser.add_argument("--trials", type=int, default=trials)
    parser.add_argument("--first", type=int, default=FRESH, help="the number of the first search")
    parser.add_argument("--cache", type=Path, help="keep finished searches in this file")
    return parser


def searches(case: Case, options: argparse.Namespace, search: Callable[..., Any]) -> Iterator[dict[str, Any]]:
    """The result of each search of a data set, as a plain dict; those in the cache are not run again."""
    frame, cache = read(case), Cache(options.cache)
    for number in range(options.first, options.first + options.searches):

        def run(number: int = number) -> dict[str, Any]:
            with tempfile.TemporaryDirectory() as folder:
                return asdict(search(case, frame, number, options.rows, options.trials, Path(folder)))

        key = {"table": case.table, "number": number, "rows": options.rows, "trials": options.trials}
        yield cache.get(key, run)


def main() -> None:
    parser = arguments(searches=50, trials=20)
    parser.add_argument("--quick", action="store_true", help="four searches on each data set")
    parser.add_argument("--only", help="one data set")
    options = parser.parse_args()
    if options.quick:
        options.searches = 4
    print("| data | metric | truth | test interval held | median width | without | width | search too good by "
          "| fresh mean by | test by | seeds' interval held | a search |")  # fmt: skip
    print("|" + "---|" * 12, flush=True)
    for case in CASES:
        if options.only in (None, case.table):
            print(table_row(case, [Result(**found) for found in searches(case, options, search)]), flush=True)


if __name__ == "__main__":
    main()
