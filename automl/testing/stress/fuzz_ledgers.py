"""Mutations of ledgers: whatever one holds, opening it gives the study, or a LedgerError that says why not.

python -m automl.testing.stress.fuzz_ledgers 20000 [seed]      ends with exit code 1 at the first thing that is neither

Half of the mutants are damaged files (flipped bits, random bytes, lost parts). The others are what a stranger could
write: other tables and columns, and wrong values in columns and in JSON fields, without checksums. Each one is opened
for reading, shown, opened for writing, gone on with, and repaired; nothing outside of its folder may change.
"""

import contextlib
import functools
import io
import json
import random
import shutil
import sqlite3
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from automl.core.space import Choice, Float, Int
from automl.core.trial import Failure
from automl.errors import AutoMLError, LedgerError, SpecError
from automl.leaderboard.board import Leaderboard
from automl.study import paths
from automl.study.ledger.checksums import COVERED
from automl.study.ledger.repair import repair
from automl.study.live.following import Followed
from automl.study.reader import StudyView
from automl.study.study import Study
from automl.testing.stress.fuzz_bundles import VALUES, changed
from automl.view.pages import final, trial

Part = Callable[[Path], None]
SPEC = """study: small
train: nothing:train
metric: loss
space: {x: {float: [0, 1]}, n: {int: [1, 64], log: true}, kind: [a, b]}
budget: {trials: 8}
"""
JSON = {"study": "value", "trials": "config", "attempts": "details", "reports": "metrics", "ends": "failure"}
WRONG = (*(v for v in VALUES if isinstance(v, str | int | float | None)), b"\x00\xff", -(2**63), 2**63 - 1, "1e999")
"""Values for a column."""


@functools.cache
def _spec() -> Mapping[str, Any]:
    from automl import specfile
    from automl.api import provenance

    return provenance.recorded_spec(specfile.parse(SPEC), Path("s"))


def begun(path: Path) -> Study:
    """The study whose ledger is changed, begun or gone on with."""
    space = {"x": Float(0, 1), "n": Int(1, 64, log=True), "kind": Choice(("a", "b"))}
    stopper = {"name": "asha", "eta": 2}
    return Study(space, metric="loss", strategy="random", stopper=stopper, trials=8, horizon=4, path=path,
                 facts={"spec": _spec(), "code": {"a.py": "1"}, "data": {"t.csv": "2"}})  # fmt: skip


def advance(study: Study, trials: int) -> None:
    """Run some trials: they report, pause or stop, fail, lose their worker, and end."""
    for k in range(trials):
        if (assignment := study.ask()) is None:
            break
        number = assignment.number
        details = {"seconds": 0.1, "samples_per_s": 1e3, "tflops": 0.1, "peak_share": 0.2}
        study.ledger.attempt_ended(number, assignment.attempt, "finished", details)
        if k % 4 == 3:
            study.fail(number, Failure("exception", "ValueError: no luck", 1, f"trials/{number:05d}/traceback-1.txt"))
            continue
        for step in range(1, 5):
            if (
                study.report(number, step, {"loss": float(str(assignment.config["x"])) / step, "other": 0.5}).kind.value
                != "continue"
            ):
                break
        else:
            study.finish(number)


def ledger(folder: Path) -> Path:
    """A small study, with a verdict on finalists."""
    with begun(folder) as study:
        advance(study, 6)
        winner = study.best.number if study.best else 0
        finalist = {
            "trial": winner,
            "found": 0.1,
            "mean": 0.2,
            "interval": [0.1, 0.3],
            "values": [0.1, 0.3],
            "seeds": 2,
        }
        test = {"metric": "test_loss", "value": 0.2, "interval": [0.1, 0.3], "rows": 30, "metrics": {"test_loss": 0.2}}
        verdict = {
            "winner": winner, "metric": "loss", "big": {}, "optimism": 0.1, "tied": [0], "seeds_have_no_effect": False,
            "finalists": [finalist, {**finalist, "trial": 0}], "default": {"trial": 0, "value": 0.5},
            "first": {"trial": winner, "value": 0.1}, "asked": {"runs": {"0": [0, 1]}, "refit": False, "ensemble": 0},
            "refit": False, "looks": 1, "test": {**test, "undefined": ""},
            "ensemble": {"models": 1, "among": 6, "weights": {"t0002": 1}, "metric": "test_loss", "val": 0.6,
                         "test": 0.6, "gain": 0.1, "sure": 0.5},
        }  # fmt: skip
        study.ledger.describe(finalists=verdict, origin={"token": "t", "proofs": ["p"]})
    for leftover in folder.glob(f"{paths.LEDGER}-*"):
        leftover.unlink()
    return folder / paths.LEDGER


# -- mutants -----------------------------------------------------------------------------------------------------------


def damaged(content: bytes, rng: random.Random) -> bytes:
    """A file with flipped bits, random bytes, or lost, doubled or exchanged parts."""
    found = bytearray(content)
    how = rng.random()
    if how < 0.4:
        for _ in range(rng.choice((1, 1, 2, 8))):
            found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    elif how < 0.6:
        at, length = rng.randrange(len(found)), rng.choice((1, 2, 8, 100, 4096))
        found[at : at + length] = rng.randbytes(min(length, len(found) - at))
    elif how < 0.7:
        del found[rng.randrange(len(found)) :]
    elif how < 0.8:
        at, length = rng.randrange(len(found)), rng.choice((1, 16, 512, 4096))
        del found[at : at + length]
    elif how < 0.9:
        a, b = rng.randrange(len(found) // 4096), rng.randrange(len(found) // 4096)
        found[a * 4096 : (a + 1) * 4096] = content[b * 4096 : (b + 1) * 4096]
    else:
        at = rng.randrange(100)  # the header
        found[at] = rng.randrange(256)
    return bytes(found)


def rewritten(file: Path, rng: random.Random) -> str:
    """Change a ledger as its author could; returns what was done."""
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        how = rng.choice((_schema, _column, _column, _json, _json, _json, _rows))
        with contextlib.suppress(sqlite3.Error, UnicodeError, OverflowError):
            return how(db, rng)
    return "nothing"


def _table(rng: random.Random) -> str:
    return rng.choice(list(COVERED))


def _key(db: sqlite3.Connection, table: str) -> str:
    return str(next(row[1] for row in db.execute(f"PRAGMA table_info({table})")))


def _schema(db: sqlite3.Connection, rng: random.Random) -> str:
    table = _table(rng)
    column = rng.choice([row[1] for row in db.execute(f"PRAGMA table_info({table})")])
    statement = rng.choice([
        f"DROP TABLE {table}", f"ALTER TABLE {table} RENAME TO other", f"ALTER TABLE {table} DROP COLUMN {column}",
        f"ALTER TABLE {table} RENAME COLUMN {column} TO other", f"ALTER TABLE {table} ADD COLUMN other",
        f"CREATE TABLE other AS SELECT * FROM {table}", f"CREATE INDEX other ON {table} ({column})",
        f"CREATE VIEW other AS SELECT * FROM {table}", f"PRAGMA user_version={rng.choice((-1, 0, 1, 2, 4, 2**31 - 1))}",
        f"CREATE TRIGGER other AFTER INSERT ON {table} BEGIN DELETE FROM trials; END",
        "PRAGMA encoding='UTF-16'; VACUUM", "PRAGMA journal_mode=DELETE", "PRAGMA auto_vacuum=1; VACUUM",
    ])  # fmt: skip
    db.executescript(statement)
    return statement


def _column(db: sqlite3.Connection, rng: random.Random) -> str:
    table = _table(rng)
    columns = [c for c in (row[1] for row in db.execute(f"PRAGMA table_info({table})")) if c != "sum"]
    column, value = rng.choice(columns), rng.choice(WRONG)
    where = "" if rng.random() < 0.3 else f" WHERE {columns[0]} = (SELECT {columns[0]} FROM {table} ORDER BY random())"
    db.execute(f"UPDATE OR REPLACE {table} SET sum = NULL, {column} = ?{where}", (value,))
    return f"{table}.{column} = {value!r:.50}{where and ' in one row'}"


def _json(db: sqlite3.Connection, rng: random.Random) -> str:
    table = rng.choice(("study", "study", "study", *JSON))
    column = JSON[table]
    key = _key(db, table)
    rows = db.execute(f"SELECT {key}, {column} FROM {table} WHERE {column} IS NOT NULL").fetchall()
    which, text = rng.choice(rows)
    tree: Any = json.loads(text)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        tree = changed(tree, rng) if isinstance(tree, dict | list) and tree else rng.choice(VALUES)
    text = (
        rng.choice((text[: rng.randrange(len(text) + 1)], "[" * 100_000, "{}"))
        if rng.random() < 0.05
        else json.dumps(tree)
    )
    db.execute(f"UPDATE {table} SET sum = NULL, {column} = ? WHERE {key} = ?", (text, which))
    return f"{table}.{column} of {which} = {text[:300]}"


def _rows(db: sqlite3.Connection, rng: random.Random) -> str:
    table = _table(rng)
    key = _key(db, table)
    statement = rng.choice([
        f"DELETE FROM {table}", f"DELETE FROM {table} WHERE {key} = (SELECT {key} FROM {table} ORDER BY random())",
        f"UPDATE OR REPLACE {table} SET sum = NULL, {key} = {key} + 1 WHERE typeof({key}) = 'integer'",
        f"UPDATE OR REPLACE {table} SET sum = NULL, {key} = -{key} WHERE typeof({key}) = 'integer'",
    ])  # fmt: skip
    db.execute(statement)
    return statement


# -- what may come out -------------------------------------------------------------------------------------------------


def read(folder: Path) -> None:
    """Show all of a study that can be shown without drawing."""
    view = StudyView(folder)
    try:
        str(view)
        board = Leaderboard.of(view.history, None, view.winner)
        board.text(80, unicode=True), board.json(), board.csv()
        for record in view.history.trials[:4]:
            trial.text(view, record.number, 80)
            json.dumps(trial.document(view, record.number), allow_nan=False)
        final.document_text(view)
        final.final(view)
    finally:
        view.close()


@functools.cache
def early() -> bytes:
    """The ledger of the study before its first trial."""
    with tempfile.TemporaryDirectory() as home:
        begun(Path(home)).close()
        return (Path(home) / paths.LEDGER).read_bytes()


def follow(folder: Path) -> None:
    """Read on from the study's beginning."""
    file = folder / paths.LEDGER
    content = file.read_bytes()
    file.write_bytes(early())
    try:
        followed = Followed(folder)
    finally:
        file.write_bytes(content)
    followed.look()


def go_on(folder: Path) -> None:
    """Continue the study."""
    with begun(folder) as study:
        advance(study, 3)


def again(folder: Path) -> None:
    """Prepare to resume it, as the command does; its code is not trusted."""
    from automl.api import from_ledger

    search = from_ledger.prepare(folder, None, trials="+1", workers=0, accept_changes=False)
    search.study.close()


def mend(folder: Path) -> None:
    """Save what can be read of it."""
    repair(folder)


PARTS: Mapping[str, tuple[Part, tuple[type[AutoMLError], ...]]] = {
    "read": (read, (LedgerError,)),
    "follow": (follow, (LedgerError,)),
    "resume": (again, (LedgerError, SpecError)),
    "go on": (go_on, (LedgerError, SpecError)),
    "repair": (mend, (LedgerError,)),
    "read again": (read, (LedgerError,)),
}
"""What is done with each mutant, in this order, and which errors may come out."""


def wrong(folder: Path) -> str:
    """What one of the parts does that it should not; empty if nothing."""
    for name, (part, expected) in PARTS.items():
        try:
            part(folder)
        except expected as error:
            if set("\x1b\x00\u202e") & set(str(error)):
                return f"{name}: an escape in the message: {error!r}"
        except BaseException:
            return f"{name}: {traceback.format_exc()}"
    return ""


def run(count: int, seed: int = 0) -> Mapping[str, int]:
    """Try `count` mutants.

    Returns:
        how many were damaged and how many were rewritten.

    Raises:
        AssertionError: one gave something else; it says what.
    """
    rng = random.Random(seed)
    seen = {"damaged": 0, "rewritten": 0}
    with tempfile.TemporaryDirectory() as home, warnings.catch_warnings(), _quiet():
        warnings.simplefilter("ignore")
        content = ledger(Path(home) / "whole").read_bytes()
        folder = Path(home) / "mutants" / "mutant"
        for k in range(count):
            folder.mkdir(parents=True)
            file = folder / paths.LEDGER
            file.write_bytes(content)
            kind = rng.choice(list(seen))
            done = rewritten(file, rng) if kind == "rewritten" else kind
            if kind == "damaged":
                file.write_bytes(damaged(content, rng))
            trouble = wrong(folder) or _outside(Path(home))
            if trouble:
                shutil.copy(file, Path(tempfile.gettempdir()) / "mutant.sqlite")
                raise AssertionError(f"mutant {k} (seed {seed}), {done}:\n{trouble}")
            seen[kind] += 1
            shutil.rmtree(folder)
    return seen


def _outside(home: Path) -> str:
    """What was written outside of the mutant's folder; empty if nothing."""
    there = {p.name for p in home.iterdir()} | {p.name for p in (home / "mutants").iterdir()}
    return "" if there <= {"whole", "mutants", "mutant"} else f"written outside: {sorted(there)}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with contextlib.redirect_stderr(io.StringIO()):
        yield


def main(count: int = 2000, seed: int = 0) -> int:
    """Run, and print how many mutants there were."""
    began = time.monotonic()
    seen = run(count, seed)
    print(f"{sum(seen.values())} changed ledgers in {time.monotonic() - began:.0f} s: {dict(sorted(seen.items()))}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:3])))
