"""What it costs to look at a search that runs elsewhere: the live page's feed, and the mirror in an Optuna storage.

    python benchmarks/watch.py [--trials 10000] [--steps 5] [--mirrored 1000]

Prints CPU seconds. A refresh follows ten new reports and one trial that has ended.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from automl.integrations import optuna_mirror
from automl.study.reader import StudyView
from automl.study.study import Study
from automl.testing.large import large
from automl.view.web.answers import Answers, Question
from automl.view.web.feed import Feed


@contextmanager
def measured(what: str) -> Iterator[None]:
    """Print the CPU time of what is done inside."""
    begin_s = time.process_time()
    yield
    print(f"{what:58} {time.process_time() - begin_s:9.4f} s")


def news(study: Study) -> None:
    """Ten reports, and a trial that ends."""
    running = study.history.running
    for record in running[:10]:
        study.report(record.number, record.step + 1, {"val_loss": 0.5, "acc": 0.5})
    study.finish(running[0].number)


def page(study: Study, path: Path) -> None:
    """The feed of the live page."""
    now = [0.0]
    with measured("a reading of the whole (StudyView)"):
        StudyView(path).close()
    with measured("the page's server begins"):
        answers = Answers(Feed(path, clock=lambda: now[0]), "token")
    headers, asked = {"host": "localhost", "authorization": "Bearer token"}, {"generation": "", "since": 0}

    def ask() -> int:
        rows, more = 0, True
        while more:
            query = "&".join(f"{name}={value}" for name, value in asked.items())
            told: dict[str, Any] = json.loads(answers.to(Question("GET", "/api/state", query, headers)).content)
            asked.update(generation=told["generation"], since=told["since"])
            rows, more = rows + len(told["rows"]), told["more"]
        return rows

    with measured("all rows, once for each page that is opened"):
        ask()
    for k in range(3):
        news(study)
        now[0] += 60
        with measured(f"refresh {k + 1}"):
            ask()
    now[0] += 60
    with measured("a refresh that finds nothing new"):
        ask()


def mirror(make: Callable[[Path], Study], storage: str, path: Path, trials: int) -> None:
    """The mirror in a storage."""
    with make(path) as study, optuna_mirror.quiet():
        there = optuna_mirror._opened(optuna_mirror._storage(storage), study, {"id": "a", "name": path.name})
        copy = optuna_mirror.Copy(path, there)
        with measured(f"{trials} trials into {storage.rpartition('/')[2]}"):
            copy.bring_up_to_date()
        news(study)
        with measured("ten reports and an end"):
            copy.bring_up_to_date()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=5, help="reports of a full trial")
    parser.add_argument("--mirrored", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        print(f"{options.trials} trials of up to {options.steps} reports")
        with large(Path(home) / "page", options.trials, options.steps, running=30) as study:
            page(study, Path(home) / "page")
        for name, storage in (("journal", f"{home}/journal.log"), ("sqlite", f"sqlite:///{home}/optuna.db")):
            mirror(lambda path: large(path, options.mirrored, running=30), storage, Path(home) / name, options.mirrored)


if __name__ == "__main__":
    main()
