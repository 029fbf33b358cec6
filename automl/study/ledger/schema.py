"""The tables of the ledger, how older files are brought up to date, and SQLite's errors as ours."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from automl.errors import AutoMLError, EnvironmentProblem, LedgerError
from automl.study.ledger.checksums import COVERED

REPAIR = "`automl repair` saves what can be read"
CLOSED = "the study is closed; begin it again with its path"


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


def _checksums(db: sqlite3.Connection) -> None:
    """Add a checksum to every row; rows that are there have none."""
    for table in (name for name in COVERED if name not in SINCE):
        db.execute(f"ALTER TABLE {table} ADD COLUMN sum INT")


def _edits(db: sqlite3.Connection) -> None:
    """Add what people and programs have asked for while the study ran, and rows of earlier studies."""
    db.execute("CREATE TABLE edits (seq INTEGER PRIMARY KEY, at_s REAL, request TEXT, source TEXT, what TEXT, sum INT)")


MIGRATIONS: list[Callable[[sqlite3.Connection], None]] = [_create, _batches_and_horizons, _checksums, _edits]
"""The k-th brings a file of version k to version k + 1."""
TABLES = ("trials", "attempts", "reports", "pauses", "ends", "edits")
"""Those whose rows have a number, `seq`."""
SINCE = {"edits": 4}
"""The version of the ledger since which there is a table, where it is not the first."""
INSERT = {
    "study": "INSERT OR REPLACE INTO study VALUES (?, ?, ?)",
    "trials": "INSERT INTO trials VALUES (?, ?, ?, ?, ?, ?, ?)",
    "reports": "INSERT OR IGNORE INTO reports VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "pauses": "INSERT INTO pauses VALUES (?, ?, ?, ?, ?, ?)",
    "ends": "INSERT INTO ends VALUES (?, ?, ?, ?, ?, ?, ?)",
    "edits": "INSERT INTO edits VALUES (?, ?, ?, ?, ?, ?)",
}
"""A row of each table to which facts are only added, with its checksum."""
FACTS = {
    "begun": "SELECT seq, 'begun', number, config, origin, at_s, asked FROM trials",
    "again": "SELECT seq, 'again', trial, attempt, NULL, at_s, NULL FROM attempts WHERE attempt > 1",
    "report": "SELECT seq, 'report', trial, step, value, at_s, horizon FROM reports",
    "pause": "SELECT seq, 'pause', trial, step, reason, at_s, NULL FROM pauses",
    "end": "SELECT seq, 'end', trial, state, reason, at_s, failure FROM ends",
    "edit": "SELECT seq, 'edit', -1, what, source, at_s, request FROM edits",
}
Fact = tuple[int, str, int, Any, Any, float, Any]
"""(seq, kind, trial, and the columns of the kind's query in `FACTS`)."""


def tables(db: sqlite3.Connection) -> list[str]:
    """Those of `TABLES` that a ledger of its version has."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    return [table for table in TABLES if SINCE.get(table, 1) <= version]


@contextmanager
def translated(file: Path | None, *, reading: bool = False) -> Iterator[None]:
    """Turn SQLite's errors into ours, see `ours`."""
    try:
        yield
    except (sqlite3.Error, MemoryError, UnicodeError) as error:  # UnicodeError: damaged names
        raise ours(error, file, reading=reading) from error


def ours(error: Exception, file: Path | None = None, *, reading: bool = False) -> AutoMLError:
    """An error of SQLite's as one of ours, with what the user can do about it.

    Args:
        error: a sqlite3.Error, or a MemoryError, because a damaged length can ask for any amount of memory.
        file: for the message.
        reading: nothing is written, so nothing but the file can be the cause.

    Returns:
        An EnvironmentProblem where the disk is full or cannot be written, a LedgerError for anything else.
    """
    where = f"{file}: " if file else ""
    text = "".join(c if c.isprintable() else "?" for c in str(error)[:200])  # SQLite quotes the file's content
    if isinstance(error, sqlite3.ProgrammingError):  # the file was not touched
        return LedgerError(f"{where}{CLOSED}")
    if not isinstance(error, sqlite3.OperationalError):
        return LedgerError(f"{where}the ledger is damaged ({text or 'a row of impossible length'}); {REPAIR}")
    if not reading and any(word in text for word in ("full", "readonly", "unable to open", "disk I/O error")):
        return EnvironmentProblem(f"{where}the ledger cannot be written: {text}")
    hint = f"; {REPAIR}" if any(word in text for word in ("no such", "decode", "malformed", "I/O")) else ""
    return LedgerError(f"{where}{text}{hint}")


def structure(db: sqlite3.Connection) -> str:
    """What SQLite finds wrong with the pages of a file; empty where nothing is. A second for some 100 MB."""
    problem = str(db.execute("PRAGMA quick_check(1)").fetchone()[0])
    return "" if problem == "ok" else " ".join(problem.replace("*** in database main ***", "").split())


def check_version(db: sqlite3.Connection, file: Path | None) -> int:
    """The version of an opened ledger; 0 where nothing was written into it yet.

    Raises:
        LedgerError: it was written by a newer automl, or no automl.
    """
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise LedgerError(
            f"{file}: written by a newer automl (ledger version {version}, not {len(MIGRATIONS)}); update automl"
        )
    if version < 0:
        raise LedgerError(f"{file}: not the ledger of a study but another program's database (version {version})")
    return version


def migrate(db: sqlite3.Connection, file: Path | None) -> None:
    """Bring a ledger to the current version; an older file is copied first, to `ledger.v1.backup` for version 1."""
    version = check_version(db, file)
    if version == len(MIGRATIONS):
        return
    if version and file is not None:
        _back_up(db, file.with_suffix(f".v{version}.backup"))
    db.execute("BEGIN IMMEDIATE")
    for migration in MIGRATIONS[version:]:
        migration(db)
    db.execute(f"PRAGMA user_version={len(MIGRATIONS)}")
    db.execute("COMMIT")


def _back_up(db: sqlite3.Connection, file: Path) -> None:
    """Copy a ledger to `file`; a symbolic link of that name is replaced."""
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(temporary)) as copy:
            db.backup(copy)
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
