"""The tables of the ledger, how older files are brought up to date, and SQLite's errors as ours."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from automl.errors import EnvironmentProblem, LedgerError

REPAIR = "`automl repair` saves what can be read"


def _create(db: sqlite3.Connection) -> None:
    for statement in (
        "CREATE TABLE study (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
        "CREATE TABLE trials (number INTEGER PRIMARY KEY, seq INT, at_s REAL, config TEXT NOT NULL, origin TEXT)",
        """CREATE TABLE attempts (trial INT, attempt INT, seq INT, at_s REAL, worker TEXT, outcome TEXT, details TEXT,
           PRIMARY KEY (trial, attempt)) WITHOUT ROWID""",
        """CREATE TABLE reports (trial INT, step INT, seq INT, at_s REAL, attempt INT, value REAL, metrics TEXT,
           PRIMARY KEY (trial, step)) WITHOUT ROWID""",
        "CREATE TABLE pauses (seq INTEGER PRIMARY KEY, trial INT, at_s REAL, step INT, reason TEXT)",
        """CREATE TABLE ends (trial INTEGER PRIMARY KEY, seq INT, at_s REAL, state TEXT NOT NULL, reason TEXT,
           failure TEXT)""",
    ):
        db.execute(statement)


def _batches_and_horizons(db: sqlite3.Connection) -> None:
    """Add how many configs the strategy was asked for at once, and each trial's last step: a replay needs both."""
    db.execute("ALTER TABLE trials ADD COLUMN asked INT")
    db.execute("ALTER TABLE reports ADD COLUMN horizon INT")


MIGRATIONS: list[Callable[[sqlite3.Connection], None]] = [_create, _batches_and_horizons]
"""The k-th brings a file of version k to version k + 1."""
TABLES = ("trials", "attempts", "reports", "pauses", "ends")
FACTS = {
    "begun": "SELECT seq, 'begun', number, config, origin, at_s, asked FROM trials",
    "again": "SELECT seq, 'again', trial, attempt, NULL, at_s, NULL FROM attempts WHERE attempt > 1",
    "report": "SELECT seq, 'report', trial, step, value, at_s, horizon FROM reports",
    "pause": "SELECT seq, 'pause', trial, step, reason, at_s, NULL FROM pauses",
    "end": "SELECT seq, 'end', trial, state, reason, at_s, failure FROM ends",
}
Fact = tuple[int, str, int, Any, Any, float, Any]
"""(seq, kind, trial, and the columns of the kind's query in `FACTS`)."""


@contextmanager
def translated(file: Path | None) -> Iterator[None]:
    """Turn SQLite's errors into ours, with what the user can do about them.

    Raises:
        EnvironmentProblem: the disk is full or cannot be written.
        LedgerError: anything else.
    """
    where = f"{file}: " if file else ""
    try:
        yield
    except sqlite3.OperationalError as error:
        if any(word in str(error) for word in ("full", "readonly", "unable to open", "disk I/O error")):
            raise EnvironmentProblem(f"{where}the ledger cannot be written: {error}") from error
        hint = f"; {REPAIR}" if any(word in str(error) for word in ("no such", "decode", "malformed")) else ""
        raise LedgerError(f"{where}{error}{hint}") from error
    except (sqlite3.DatabaseError, MemoryError) as error:  # a damaged length can ask for any amount of memory
        raise LedgerError(f"{where}the ledger is damaged ({error}); {REPAIR}") from error


def check_version(db: sqlite3.Connection, file: Path | None) -> int:
    """The version of an opened ledger.

    Raises:
        LedgerError: it was written by a newer automl.
    """
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise LedgerError(
            f"{file}: written by a newer automl (ledger version {version}, not {len(MIGRATIONS)}); update automl"
        )
    return version


def migrate(db: sqlite3.Connection, file: Path | None) -> None:
    """Bring a ledger to the current version; an older file is copied first, to `ledger.v1.backup` for version 1."""
    version = check_version(db, file)
    if version == len(MIGRATIONS):
        return
    if version and file is not None:
        backup = sqlite3.connect(file.with_suffix(f".v{version}.backup"))
        with backup:
            db.backup(backup)
        backup.close()
    db.execute("BEGIN IMMEDIATE")
    for migration in MIGRATIONS[version:]:
        migration(db)
    db.execute(f"PRAGMA user_version={len(MIGRATIONS)}")
    db.execute("COMMIT")
