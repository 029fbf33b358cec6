"""`automl repair`: saves what can still be read of a damaged ledger in a new one. The damaged file is never changed.

SQLite reads a table page by page: the rows of a damaged page are lost, the others can be read. So all tables are read
twice, from the beginning and from the end, each time up to the first damaged page. What is kept is the longest
consistent beginning of the study: trials 0, 1, 2, ... without a gap, each with its config, and the reports, pauses and
ends of those trials. A trial whose end was lost is trained again from what is left of its curve.

A row whose checksum is wrong because of a single flipped bit is put right, others are not used.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.core.trial import State
from automl.errors import LedgerError
from automl.study import paths, safety
from automl.study.ledger import kinds
from automl.study.ledger.checksums import CHECKSUM, COVERED, corrected
from automl.study.ledger.ledger import Ledger
from automl.study.ledger.lock import DriverLock
from automl.study.ledger.schema import MIGRATIONS, SINCE
from automl.study.opening import MOST_BYTES

KEYS = {"study": "rowid", "trials": "number", "attempts": "trial", "reports": "trial", "pauses": "seq", "ends": "trial",
        "edits": "seq"}  # fmt: skip
COLUMNS = {**COVERED, "attempts": (*COVERED["attempts"], "worker", "outcome", "details")}
Rows = dict[tuple[Any, ...], tuple[Any, ...]]  # by what makes a row of its table unique


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
        found, lost, cut = salvaged(source)
        kept, dropped = fitting(found, cut)
        target.unlink(missing_ok=True)
        _write(target, kept)
        if out is None:
            _swap(source, target)
    finally:
        lock.release()
    file = target if out else source
    Ledger.read_only(file.parent).close()  # it opens
    return Repaired(file, len(kept["trials"]), len(kept["ends"]), len(kept["reports"]), (*lost, *dropped))


def salvaged(source: Path) -> tuple[dict[str, list[tuple[Any, ...]]], list[str], set[int]]:
    """Read a damaged ledger.

    Returns:
        {table: its rows that can be read}; what could not be read, one sentence each; and the trials on both edges of
        what is lost of the reports: some of theirs may be lost, too.

    Raises:
        LedgerError: nothing can be read.
    """
    found: dict[str, list[tuple[Any, ...]]] = {}
    lost: list[str] = []
    cut: set[int] = set()
    for table, columns in COLUMNS.items():
        rows: Rows = {}
        errors: set[str] = set()
        changed: set[Any] = set()
        mended: set[Any] = set()
        for order in ("ASC", "DESC"):
            last: tuple[Any, ...] = ()
            try:
                for row in _rows(source, table, order, changed, mended):
                    last = row
                    rows.setdefault(_identity(table, row), row)
            except (
                sqlite3.Error,
                MemoryError,
                UnicodeError,
            ) as error:  # a damaged length can ask for any amount of memory
                errors.add(str(error) or "a row of impossible length")
                if table == "reports" and last:
                    cut.add(last[0])
        found[table] = [row for row in rows.values() if len(row) == len(columns)]
        if mended:
            lost.append(f"{table}: a flipped bit was put right in: {_listed(mended)}")
        if changed:
            lost.append(f"{table}: not used, because they are not what was written: {_listed(changed)}")
            cut |= changed if table == "reports" else set()
        if errors:
            lost.append(f"{table}: not all can be read ({'; '.join(sorted(errors))})")
    if not found["study"] and not found["trials"]:
        raise LedgerError(f"{source}: nothing in it can be read ({'; '.join(lost) or 'it is empty'})")
    return found, lost, cut


def _rows(source: Path, table: str, order: str, changed: set[Any], mended: set[Any]) -> Iterator[tuple[Any, ...]]:
    """Rows of a table up to the first damaged one; in a new connection, because an error may make it unusable.

    Args:
        source, table: the ledger, and which of its tables.
        order: ASC or DESC.
        changed: gets the first column of rows that are not what was written; they are left out.
        mended: gets that of rows in which a single bit was flipped, and is right again.
    """
    with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as db:
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_BYTES)
        db.text_factory = lambda raw: raw.decode(errors="surrogateescape")
        present = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
        if not present and table in SINCE:  # an older file
            return
        columns = ", ".join(c if c in present else f"NULL AS {c}" for c in (*COLUMNS[table], "sum"))
        covered = len(COVERED[table])
        for *read, sum_ in db.execute(f"SELECT {columns} FROM {table} NOT INDEXED ORDER BY {KEYS[table]} {order}"):
            row: tuple[Any, ...] | None = tuple(read[:covered])
            if sum_ is not None and sum_ != CHECKSUM[table](*read[:covered]):
                row = corrected(table, read[:covered], sum_)
                (changed if row is None else mended).add(read[0])
            if row is not None:
                yield tuple(_clean(value) for value in (*row, *read[covered:]))


def _clean(value: Any) -> Any:
    return value.encode(errors="surrogateescape").decode(errors="replace") if isinstance(value, str) else value


def _listed(names: set[Any]) -> str:
    shown = sorted(str(name)[:50] for name in names)
    return f"{', '.join(shown[:10])}{f' and {len(shown) - 10} more' if len(shown) > 10 else ''}"


def _identity(table: str, row: tuple[Any, ...]) -> tuple[Any, ...]:
    return row[:2] if table in ("attempts", "reports") else row[:1]


def fitting(
    found: dict[str, list[tuple[Any, ...]]], cut: set[int]
) -> tuple[dict[str, list[tuple[Any, ...]]], list[str]]:
    """Choose the rows that are consistent with each other.

    Args:
        found: {table: its rows}, as `salvaged` returns them.
        cut: trials that may have lost reports.

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
    trials = {row[0]: row for row in found["trials"] if _is_config(row[3]) and _numbers(row[0], row[1], row[2])}
    count = next(n for n in range(len(trials) + 1) if n not in trials)
    kept = {
        "study": [(key, json.dumps(value)) for key, value in study.items()],
        "trials": [trials[n] for n in range(count)],
        "attempts": [r for r in found["attempts"] if r[0] in range(count) and _numbers(*r[1:4])],
        "reports": [r for r in found["reports"] if r[0] in range(count) and _numbers(*r[1:6]) and _is_json(r[6])],
        "pauses": [r for r in found["pauses"] if r[1] in range(count) and _numbers(r[0], *r[2:4])],
        "ends": [r for r in found["ends"] if r[0] in range(count) and _numbers(*r[1:3]) and _is_end(r)],
        "edits": [r for r in found["edits"] if _numbers(*r[:2]) and _is_edit(r[4])],
    }
    curves: dict[int, list[int]] = {}
    for row in kept["reports"]:
        curves.setdefault(row[0], []).append(row[1])
    holed = {n for n, steps in curves.items() if n in cut or (min(steps) > 1 and len(steps) > 1)}
    kept["ends"] = [r for r in kept["ends"] if r[0] not in holed and (r[0] in curves or r[3] != State.DONE)]
    kept["reports"] = [r for r in kept["reports"] if r[0] not in holed]
    left = len(found["trials"]) - count
    notes += [f"{left} trials left out: an earlier one is lost"] if left > 0 else []
    if holed:
        notes.append(f"curves that are not whole, trained again: trials {', '.join(map(str, sorted(holed)))}")
    return kept, notes


def _write(target: Path, kept: dict[str, list[tuple[Any, ...]]]) -> None:
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


def _is_edit(text: Any) -> bool:
    try:
        kinds.edit(text, "")
    except LedgerError:
        return False
    return True


def _is_end(row: tuple[Any, ...]) -> bool:
    ended = row[3] in [state.value for state in State if state.ended]
    return ended and (row[5] is None or _is_config(row[5]))
