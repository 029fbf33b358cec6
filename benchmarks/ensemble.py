"""What an ensemble of a search's models gains over its winner, where it is told (test rows) and in truth (all others).

The searches are those of `coverage.py` on other rows, with `ensemble: 8`. Printed for each data set: the winner's true
score; by how much (mean, its standard error) the ensemble is better, as told by the study and in truth; in how many of
the searches it is better in truth; the true gain of an ensemble chosen among the finalists' models alone; and how many
of the searches whose ensemble was told to be better in more than 95 % of draws of the test rows are better in truth.

    python benchmarks/ensemble.py [--searches 20] [--trials 40] [--cache runs.jsonl]
"""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from coverage import CASES, Case, arguments, draw, score, searches, tree

import automl
from automl import metrics, specfile
from automl.api import from_spec
from automl.evaluation import ensemble_selection
from automl.evaluation.finalists import holdout_of
from automl.tasks.builtin import BuiltinTask
from automl.tasks.from_spec import task_of

SIZE = 8


@dataclass(frozen=True)
class Result:
    """Of one search; values in the metric's own direction, gains above 0 are better."""

    winner: float
    told: float
    sure: float
    together: float
    finalists: float  # the true score of an ensemble of the finalists' models alone
    models: int
    seconds: float


def search(case: Case, frame: pd.DataFrame, number: int, rows: int, trials: int, folder: Path) -> Result:
    begun, rest = time.process_time(), draw(frame, number, rows, folder)
    found = specfile.from_json({**tree(case, number, trials), "ensemble": SIZE}, name="s", folder=folder)
    study = from_spec.prepare(found, folder / "s", objects={"executor": "inline"}).run()
    assert study.verdict is not None
    seconds, told, task = time.process_time() - begun, study.verdict["ensemble"], task_of(found)
    assert isinstance(task, BuiltinTask)
    bundles = {path.parent.name: path for path in (folder / "s" / "finalists" / "trials").glob("*/bundle")}
    ensemble_selection.make(folder / "few", bundles, holdout_of(task), SIZE, folder / "s" / "best")
    truths = [score(case, automl.load(folder / one), rest) for one in ("s", "s/ensemble", "few")]
    for one in ("s", "few"):
        shutil.rmtree(folder / one)
    return Result(truths[0], told["gain"], told["sure"], truths[1], truths[2], told["models"], seconds)


def table_row(case: Case, results: list[Result]) -> str:
    sign = -1.0 if metrics.direction(case.metric) == "minimize" else 1.0
    true = sign * np.array([r.together - r.winner for r in results])
    sure = np.array([r.sure > 0.95 for r in results])

    def mean(values: object) -> str:
        made = np.asarray(values, dtype=float)
        return f"{made.mean():+.4f} ({made.std(ddof=1) / np.sqrt(len(made)):.4f})"

    return (
        f"| {case.table} | {case.metric} | {np.mean([r.winner for r in results]):.4f} | "
        f"{mean([r.told for r in results])} | {mean(true)} | {(true > 0).sum()}/{len(true)} | "
        f"{mean(sign * np.array([r.finalists - r.winner for r in results]))} | {(true > 0)[sure].sum()}/{sure.sum()} | "
        f"{np.mean([r.models for r in results]):.1f} | {np.mean([r.seconds for r in results]):.1f} s |"
    )


def main() -> None:
    options = arguments(searches=20, trials=40).parse_args()
    print("| data | metric | winner | reported gain | true gain | better | finalists alone | sure and better | models "
          "| a search |")  # fmt: skip
    print("|" + "---|" * 10, flush=True)
    for case in CASES:
        print(table_row(case, [Result(**found) for found in searches(case, options, search)]), flush=True)


if __name__ == "__main__":
    main()
