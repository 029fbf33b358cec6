"""What earlier studies save: a new task of a family, with studies of all its other tasks.

    OMP_NUM_THREADS=1 python benchmarks/warm.py [--seeds 3] [--trials 20] [--earlier 40]

Leave one out over the public TaskSet tables: for each task, `--earlier` trials of `auto` on each of the others, then a
search on the task itself: cold, with `warm:`, and with one earlier study whose results were shuffled among its configs.
No early stopping; a config has the final loss of the nearest row. Told are the regrets (0 best row, 1 median row) and
the number of trials until the level that the cold search has after ten.
"""

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from _tables import DEVELOP, REPORT, SPACE, Table, table

import automl
from automl.core.space import Config

TASKS = (*DEVELOP, *REPORT)
LEVEL_AT = 10


def regret(task: Table, config: Config) -> float:
    """The regret of the nearest row; training that diverged counts as the worst."""
    return task.regret(int(((task.points - SPACE.encode(config)) ** 2).sum(axis=1).argmin()))


def search(task: Table, trials: int, seed: int, warm: Sequence[Path] = (), path: Path | None = None) -> list[float]:
    """The lowest regret after each trial of a search on a task."""
    best: list[float] = []
    with automl.Study(SPACE, metric="loss", trials=trials, seed=seed, warm=list(warm), path=path) as study:
        while (trial := study.ask()) is not None:
            value = regret(task, trial.config)
            study.tell(trial, loss=value)
            best.append(min([value, *best[-1:]]))
    return best


def shuffled(source: Path, path: Path, seed: int) -> Path:
    """A study with the configs of another one and its results in random order."""
    trials = automl.Study.open(source).history.done
    losses = np.random.default_rng(seed).permutation([t.loss for t in trials])
    with automl.Study(SPACE, metric="loss", path=path) as study:
        for trial, loss in zip(trials, losses, strict=True):
            study.add(trial.config, loss=float(loss))
    return path


def needed(best: Sequence[float], level: float) -> int:
    """Trials until the level is reached; one more than there are where it is not."""
    return next((k + 1 for k, value in enumerate(best) if value <= level), len(best) + 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--earlier", type=int, default=40)
    given = parser.parse_args()
    counts: dict[str, list[int]] = {"warm": [], "shuffled": [], "cold, another seed": []}
    regrets: dict[str, list[list[float]]] = {name: [] for name in ("cold", *counts)}
    for seed in range(given.seeds):
        with tempfile.TemporaryDirectory() as folder:
            paths = {name: Path(folder) / name for name in TASKS}
            for k, name in enumerate(TASKS):
                search(table(name), given.earlier, 1000 * seed + k, path=paths[name])
            for name in TASKS:
                others = [paths[other] for other in TASKS if other != name]
                bad = shuffled(others[0], Path(folder) / f"{name}-shuffled", seed)
                cold = search(table(name), given.trials, seed)
                runs = {
                    "warm": search(table(name), given.trials, seed, others),
                    "shuffled": search(table(name), given.trials, seed, [bad]),
                    "cold, another seed": search(table(name), given.trials, 500 + seed),
                }
                regrets["cold"].append(cold)
                for way, best in runs.items():
                    regrets[way].append(best)
                    counts[way].append(needed(best, cold[LEVEL_AT - 1]))
                print(seed, name, {way: counts[way][-1] for way in counts}, flush=True)
    heads = " | ".join(f"regret after {n}" for n in (3, 6, 10, given.trials))
    print(f"\n| | {heads} | trials for the cold level: median, most |")
    print("|---|" + "---|" * 5)
    for way, found in regrets.items():
        means = " | ".join(f"{np.mean([best[n - 1] for best in found]):.3f}" for n in (3, 6, 10, given.trials))
        own = f"{statistics.median(counts[way]):g}, {max(counts[way])}" if way in counts else f"{LEVEL_AT}"
        print(f"| {way} | {means} | {own} |")


if __name__ == "__main__":
    main()
