"""`automl repair`: saves what can still be read of a damaged ledger in a new one. The damaged file is never changed.

What is kept of what can be read (see `salvage`) is the longest consistent beginning of the study: trials 0, 1, 2, ...
without a gap, each with its config, and the reports, pauses and ends of those trials. A trial whose end was lost is
trained again from what is left of its curve, one that may have lost reports from the beginning.
"""

import json
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.core.trial import State
from automl.errors import LedgerError
from automl.study import paths, safety
from automl.study.ledger import kinds, salvage
from automl.study.ledger.checksums import CHECKSUM, COVERED
from automl.study.ledger.ledger import Ledger
from automl.study.ledger.lock import DriverLock
from automl.study.ledger.salvage import COLUMNS, Row, Rows
from automl.study.ledger.schema import MIGRATIONS


@dataclass(frozen=True)
class Repaired:
    """What `repair` saved."""

    file: Path  # the new ledger
    trials: int
    ended: int  # of these trials
    reports: int
    lost: tuple[str, ...] = ()  # what could not be saved, one sentence each

    def __str__(self) -> str:
        saved = f"{self.file}: {self.trials} trials ({self.ended} ended), {self.reports} reports saved"
        return "\n".join([saved, *(f"  {line}" for line in self.lost)])


def repair(folder: Path, out: Path | None = None) -> Repaired:
    """Write a new ledger with what can be read of a damaged one.

    Args:
        folder: of the study.
        out: the folder for the new ledger; None: it replaces the damaged one, which is kept as `ledger.sqlite.damaged`.

    Raises:
        LedgerError: there is no ledger, a driver holds it, or the study's space, metric, seed or budget are lost.
    """
    source = folder / paths.LEDGER
    if not source.exists():
        raise LedgerError(f"{folder}: no study here (no {paths.LEDGER})")
    target = (out or folder) / (paths.LEDGER if out else f"{paths.LEDGER}.repaired")
    if out and target.exists():
        raise LedgerError(f"{target} exists already")
    target.parent.mkdir(parents=True, exist_ok=True)
    safety.check_links(folder)
    lock = DriverLock.take(folder / paths.LOCK)
    try:
        found = salvage.read(source)
        kept, dropped = consistent(found.rows, found.cut, folder.name)
        target.unlink(missing_ok=True)
        _write(target, kept)
        if out is None:
            _swap(source, target)
    finally:
        lock.release()
    file = target if out else source
    Ledger.read_only(file.parent).close()  # it opens
    return Repaired(file, len(kept["trials"]), len(kept["ends"]), len(kept["reports"]), (*found.lost, *dropped))


def consistent(found: Rows, cut: set[int], name: str) -> tuple[Rows, list[str]]:
    """Choose the rows that are consistent with each other.

    Args:
        found: {table: its rows}, as `salvage.read` returns them.
        cut: trials that may have lost reports.
        name: of the study, where its own is lost.

    Returns:
        {table: its rows} to keep, and what had to be left out, one sentence each.

    Raises:
        LedgerError: the study's space, metric, seed or budget are lost.
    """
    study, notes = {}, []
    for key, value in found["study"]:
        with suppress(ValueError, TypeError, RecursionError):
            study[key] = json.loads(value)
            if problem := kinds.misfit(study[key], kinds.SHAPES.get(key, kinds.ANY)):
                notes.append(f"left out: the study's {key}{problem}")
                del study[key]
    if missing := [fact for fact in ("space", "metric", "seed", "plan") if fact not in study]:
        raise LedgerError(f"the ledger cannot be repaired: the study's {', '.join(missing)} cannot be read any more")
    if "name" not in study:
        study["name"] = name
        notes.append(f"the study's name cannot be read any more: it is called {name} now")
    trials = {row[0]: row for row in found["trials"] if _is_config(row[3]) and _numbers(row[0], row[1], row[2])}
    count = next(n for n in range(len(trials) + 1) if n not in trials)
    kept = {
        "study": [(key, json.dumps(value)) for key, value in study.items()],
        "trials": [trials[n] for n in range(count)],
        "attempts": [_attempt(r) for r in found["attempts"] if r[0] in range(count) and _numbers(*r[1:4])],
        "reports": [r for r in found["reports"] if r[0] in range(count) and _numbers(*r[1:6]) and _is_json(r[6])],
        "pauses": [r for r in found["pauses"] if r[1] in range(count) and _numbers(r[0], *r[2:4])],
        "ends": [r for r in found["ends"] if r[0] in range(count) and _numbers(*r[1:3]) and _is_end(r)],
        "edits": [r for r in found["edits"] if _numbers(*r[:2]) and _is_edit(r[4])],
    }
    curves: dict[int, list[int]] = {}
    for row in kept["reports"]:
        curves.setdefault(row[0], []).append(row[1])
    holed = {n for n, steps in curves.items() if n in cut or (min(steps) > 1 and len(steps) > 1)}
    whole = curves.keys() - holed
    kept["ends"] = [
        r for r in kept["ends"] if r[0] in whole or (r[0] not in curves.keys() | cut and r[3] != State.DONE)
    ]
    kept["reports"] = [r for r in kept["reports"] if r[0] not in holed]
    left = len(found["trials"]) - count
    notes += [f"{left} trials left out: an earlier one is lost"] if left > 0 else []
    if holed:
        notes.append(f"curves that are not whole, trained again: trials {', '.join(map(str, sorted(holed)))}")
    return kept, notes


def _write(target: Path, kept: Rows) -> None:
    with closing(sqlite3.connect(target, isolation_level=None)) as db:
        db.execute("BEGIN")
        for migration in MIGRATIONS:
            migration(db)
        for table, columns in COLUMNS.items():
            marks = ", ".join("?" * len(columns))
            statement = f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}, sum) VALUES ({marks}, ?)"
            covered = len(COVERED[table])
            db.executemany(statement, [(*row, CHECKSUM[table](*row[:covered])) for row in kept[table]])
        db.execute(f"PRAGMA user_version={len(MIGRATIONS)}")
        db.execute("COMMIT")


def _swap(source: Path, target: Path) -> None:
    """Replace the damaged file by the repaired one; the damaged file is renamed, with its write-ahead log."""
    damaged = source.with_name(f"{paths.LEDGER}.damaged")
    for suffix in ("", "-wal", "-shm"):
        part = source.with_name(paths.LEDGER + suffix)
        if part.exists():
            part.replace(damaged.with_name(damaged.name + suffix))
    target.rename(source)


def _numbers(*values: Any) -> bool:
    return all(isinstance(v, int | float) for v in values)


def _is_json(text: Any) -> bool:
    try:
        json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return False
    return True


def _is_config(text: Any) -> bool:
    return _is_json(text) and isinstance(json.loads(text), dict)


def _attempt(row: Row) -> Row:
    """An attempt without what no checksum covers and is no text: who ran it, and how it went."""
    covered = len(COVERED["attempts"])
    return *row[:covered], *(value if isinstance(value, str) else None for value in row[covered:])


def _is_edit(text: Any) -> bool:
    try:
        kinds.edit(text, "")
    except LedgerError:
        return False
    return True


def _is_end(row: Row) -> bool:
    ended = row[3] in [state.value for state in State if state.ended]
    return ended and (row[5] is None or _is_config(row[5]))
