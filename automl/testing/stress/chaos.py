"""Random SIGKILLs of driver, workers and fork server: the search ends where the undisturbed one does.

    python -m automl.testing.stress.chaos --kills 300

For each of several searches: run it undisturbed, then again and again with kills until the share of kills is used up.
After every kill the ledger is read: no trial that had ended may be missing or different. At the end the leaderboard,
all curves and the spent budget must equal the undisturbed search's, and no driver may have left a traceback.

Searches whose strategy or stopper learns from results run with one worker, or with several and `deterministic`;
those whose configs depend on (seed, trial number) alone also run with several workers, and fused. Of fused trials that
a stopper compares without `deterministic`, only configs and curves must be equal, up to where a trial was stopped.
"""

import argparse
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from automl.core import plugins
from automl.errors import AutoMLError
from automl.study import paths
from automl.study.ledger.ledger import Ledger
from automl.study.ledger.schema import TABLES
from automl.study.reader import StudyView
from automl.testing.stress import replay
from automl.testing.stress.chaos_cases import CASES, Case, installed
from automl.testing.stress.victim import Victim

DRIVER_SHARE = 0.6  # of the kills; the others hit a worker
FORK_SERVER_SHARE = 0.2  # of the kills of a fused search
TRAINING_SHARE = 0.7  # of the kills: they wait until trials have reported, however long the start of workers takes
LIMIT_S = 600.0  # a search that has not ended by then hangs


@dataclass
class Tally:
    """What happened to one case."""

    case: Case
    kills: int = 0
    driver_kills: int = 0
    server_kills: int = 0  # of the fork server
    lives: int = 0  # drivers started
    runs: int = 0  # searches killed through to their end
    trials: int = 0
    attempts: int = 0
    wasted: int = 0  # steps trained more than once
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        per = self.attempts / max(1, self.trials)
        servers = f", {self.server_kills} fork server" if self.server_kills else ""
        told = f"{self.kills:5d} kills ({self.driver_kills} driver{servers}) in {self.runs:3d} searches, "
        told += f"{self.lives} drivers; "
        told += f"{per:.2f} attempts a trial, {self.wasted / max(1, self.kills):.2f} steps wasted a kill"
        return f"{self.case.name:42s}{told}" + "".join(f"\n    PROBLEM {p}" for p in self.problems)


def board(path: Path) -> list[tuple[Any, ...]]:
    """Everything that must not depend on what was killed, best trial first; then the trials without a place."""
    with closing(StudyView(path)) as view:
        ranked = view.history.ranked()
        rest = [t for t in view.history.trials if t not in ranked]
        return [(t.number, t.config, t.state.value, t.curve, t.reason, t.origin, t.vectors) for t in [*ranked, *rest]]


def ended(path: Path) -> dict[int, tuple[Any, ...]]:
    """Trials that have ended, as they stand in the ledger now."""
    return {row[0]: row for row in board(path) if row[2] in ("done", "stopped", "failed")}


def check_ledger(path: Path) -> Iterator[str]:
    """What is wrong with a ledger: damage, duplicates, gaps in curves."""
    with closing(sqlite3.connect(f"file:{path / paths.LEDGER}?mode=ro", uri=True)) as db:
        if (found := db.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
            yield f"integrity: {found}"
        seqs = [s for table in TABLES for (s,) in db.execute(f"SELECT seq FROM {table}")]
        if len(set(seqs)) != len(seqs):
            yield "two facts with one number"
    for number, _, state, curve, *_ in board(path):
        steps = [step for step, _ in curve]
        if steps != list(range(1, len(steps) + 1)):
            yield f"trial {number}: the curve has holes or doubles: {steps}"
        if state not in ("done", "stopped"):
            yield f"trial {number} is {state}"


def disturbed(case: Case, path: Path, whole: Sequence[Any], tally: Tally, rng: random.Random, kills: int) -> None:
    """One search with random kills (at most `kills`), driven to its end again and again."""
    known: dict[int, tuple[Any, ...]] = {}
    errors = path.with_suffix(".err")
    begun = time.monotonic()
    budget = kills
    while time.monotonic() - begun < LIMIT_S:
        code, killed = _life(Victim(case, path, errors), case, tally, rng, budget)
        budget -= killed
        if code == 0:
            break
        if code is not None:
            tally.problems.append(f"driver ended with {code}: {errors.read_text()[-2000:]}")
            break
        with suppress(AutoMLError):  # killed before there was a ledger
            now = ended(path)
            for number, row in known.items():
                if now.get(number) != row:
                    tally.problems.append(f"trial {number} had ended and is lost or different")
            known = now
    else:
        tally.problems.append("the search does not end")
    _compare(case, path, whole, tally)
    text = errors.read_text() if errors.exists() else ""
    for block in text.split("Traceback")[1:]:
        if "spawn_main" not in block:  # a worker that was starting when its driver was killed
            tally.problems.append(f"a driver's traceback:{block[-2000:]}")


def _life(victim: Victim, case: Case, tally: Tally, rng: random.Random, budget: int) -> tuple[int | None, int]:
    """One driver, until it ends or is killed: its exit code (None: killed), and how many kills that took."""
    tally.lives += 1
    for killed in range(budget):
        if rng.random() < TRAINING_SHARE:
            victim.wait_for_reports(1 + rng.randrange(case.trials * case.steps // 8))
        if (code := victim.wait(_pause(case, rng))) is not None:
            return code, killed
        tally.kills += 1
        if case.fused and rng.random() < FORK_SERVER_SHARE and victim.kill_the_fork_server(rng):
            tally.server_kills += 1
            continue
        of_driver = case.executor == "inline" or rng.random() < DRIVER_SHARE
        if not of_driver and not victim.kill_a_worker(rng):
            of_driver = True  # it has no worker yet
        tally.driver_kills += of_driver
        if of_driver:
            victim.kill()
            return None, killed + 1
    if (code := victim.wait(LIMIT_S)) is None:
        victim.kill()
        tally.problems.append("the driver hangs")
    return code, budget


def _pause(case: Case, rng: random.Random) -> float:
    """Seconds until the next kill: anything from before the first trial to several trials later."""
    return rng.uniform(0.002, 0.25) if case.executor == "inline" or case.fused else rng.uniform(0.05, 1.2)


def _compare(case: Case, path: Path, whole: Sequence[Any], tally: Tally) -> None:
    tally.runs += 1
    tally.problems += check_ledger(path)
    mine = board(path)
    if not case.exact:
        tally.problems += _differing_curves(mine, whole)
    elif mine != whole:
        differing = [a[0] for a, b in zip(sorted(mine), sorted(whole), strict=False) if a != b]
        tally.problems.append(f"{len(mine)} trials, not {len(whole)}; different from undisturbed: {differing[:10]}")
    tally.problems += replay.problems(path)
    with closing(Ledger.read_only(path)) as ledger:
        tally.attempts += sum(len(ledger.attempts(row[0])) for row in mine)
    tally.trials += len(mine)
    if (path / "steps").exists():
        tally.wasted += (path / "steps").stat().st_size - sum(len(row[3]) for row in mine)


def _differing_curves(mine: Sequence[Any], whole: Sequence[Any]) -> Iterator[str]:
    """Trials that are missing, or whose config or curve differs from the undisturbed one, up to where one ends."""
    others = {row[0]: row for row in whole}
    if {row[0] for row in mine} != others.keys():
        yield f"{len(mine)} trials, not {len(whole)}"
    for number, config, _, curve, *_ in mine:
        other = others.get(number)
        if other and (config != other[1] or any(a != b for a, b in zip(curve, other[3], strict=False))):
            yield f"trial {number}: its config or curve is not that of the undisturbed search"


def run(kills: int, seed: int, cases: Sequence[Case], folder: Path) -> list[Tally]:
    """At least `kills` kills, shared by the cases; each search in a folder of its own below `folder`."""
    tallies = []
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases:  # imported here once, so that every driver begins at once
        plugins.make("strategies", case.strategy)
        plugins.make("stoppers", case.stopper)
        plugins.load("executors", case.executor)
    for k, case in enumerate(cases):
        tally = Tally(case)
        wanted = kills // len(cases) + (k < kills % len(cases))
        rng = random.Random(f"{seed}/{case.name}")
        first = folder / f"{k}-whole"
        if Victim(case, first, first.with_suffix(".err")).wait(LIMIT_S) != 0:
            tally.problems.append(f"undisturbed: {first.with_suffix('.err').read_text()[-2000:]}")
            print(tally, flush=True)
            tallies.append(tally)
            continue
        whole = board(first)
        while tally.kills < wanted and not tally.problems:
            path = folder / f"{k}-{tally.runs}"
            disturbed(case, path, whole, tally, rng, wanted - tally.kills)
            if not tally.problems:
                shutil.rmtree(path)
        print(tally, flush=True)
        tallies.append(tally)
    return tallies


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the kills and print what was seen. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--keep", type=Path, help="folder for the studies (default: one that is deleted)")
    given = parser.parse_args(arguments)
    cases = [c for c in installed(CASES) if given.only in c.name]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        tallies = run(given.kills, given.seed, cases, given.keep or Path(temporary))
    kills = sum(t.kills for t in tallies)
    problems = sum(len(t.problems) for t in tallies)
    trials, attempts = sum(t.trials for t in tallies), sum(t.attempts for t in tallies)
    print(
        f"{kills} kills ({sum(t.driver_kills for t in tallies)} of drivers, {sum(t.server_kills for t in tallies)} of "
        f"fork servers) over {sum(t.runs for t in tallies)} "
        f"searches and {trials} trials in {time.monotonic() - begun:.0f} s: {problems} problems (lost, doubled, "
        f"different, torn, tracebacks), {attempts / max(1, trials):.2f} attempts a trial"
    )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
