"""What is checked of a study's folder and ledger before anything in them is used: they may come from somebody else."""

import re
import sqlite3
from pathlib import Path

from automl.core import files
from automl.errors import LedgerError
from automl.study import paths
from automl.study.ledger.schema import SINCE

LOG = f"{paths.LEDGER}-wal"
JOURNAL = f"{paths.LEDGER}-journal"
IN_PLACE = (paths.LEDGER, LOG, f"{paths.LEDGER}-shm", JOURNAL, paths.LOCK)
"""Files that are not replaced by a rename but written in place."""
LEFT = (paths.TRIALS, paths.BEST, paths.ENSEMBLE, paths.FINALISTS)
"""What only a study with a ledger leaves in its folder."""
TABLES = {"study", "trials", "attempts", "reports", "pauses", "ends", "edits"}
COMPUTES = re.compile(r"\b(CHECK|DEFAULT|GENERATED|AS|COLLATE|REFERENCES|VIRTUAL|TEMP|TEMPORARY)\b", re.IGNORECASE)
"""Words in the definition of a table with which its content could compute something."""
UNFINISHED = "changes since then are in the write-ahead log"
"""A line in the lock's file from the first write until the ledger is closed."""


def check_folder(folder: Path) -> None:
    """Check that nothing outside of a study's folder would be written or deleted, and that no part of it was lost.

    Raises:
        LedgerError: a file or folder in it is a link; the ledger was emptied, or it or its write-ahead log is missing.
    """
    check_links(folder)
    if (folder / paths.LEDGER).exists():
        return check_files(folder)
    left = [name for name in LEFT if (folder / name).is_dir() and any((folder / name).iterdir())]
    left += [name for name in (LOG,) if (folder / name).exists()]
    if left:
        raise LedgerError(
            f"{folder}: there is {left[0]} of a study, but no {paths.LEDGER}: put it back, or begin in another folder"
        )
    return None


def check_links(folder: Path) -> None:
    """Check that nothing outside of a study's folder would be written or deleted through what lies in it.

    Raises:
        LedgerError: something in it is a link; or a journal lies there, which could have SQLite delete another file.
    """
    files.refuse_links(*folder.iterdir())
    files.refuse_links(*(folder / name for name in IN_PLACE), files=True)
    for below in (paths.TRIALS, paths.REFIT, paths.LOGS):
        inner = list((folder / below).iterdir()) if (folder / below).is_dir() else []
        files.refuse_links(*inner, files=below == paths.LOGS)
        if below == paths.TRIALS:
            files.refuse_links(*(trial / paths.BUNDLE for trial in inner))
    if (folder / JOURNAL).exists() and (folder / JOURNAL).stat().st_size:
        raise LedgerError(f"{folder / JOURNAL}: no search leaves this file; move it away, then try again")


def check_files(folder: Path) -> None:
    """Check that a ledger which exists was not emptied, and has its write-ahead log where it needs one.

    Raises:
        LedgerError: it was, or has not.
    """
    ledger = folder / paths.LEDGER
    files.refuse_links(ledger, ledger.with_name(LOG))
    if not ledger.is_file():
        raise LedgerError(f"{ledger} is no file")
    if ledger.stat().st_size == 0 and not _has_log(folder):
        raise LedgerError(
            f"{ledger} is empty: put a copy of it back; to begin a new study, delete its folder or choose another"
        )
    # The log is looked for twice, because a driver may have begun or ended between.
    if not _has_log(folder) and _unfinished(folder) and not _has_log(folder):
        raise LedgerError(
            f"{folder}: the last search was killed, and {LOG} is missing, which holds its last changes: "
            "put it back; `automl repair` goes on without it (nothing is lost if another program has merged it)"
        )


def check_header(ledger: Path) -> None:
    """Check that SQLite would not take a ledger for one that may only be read, because two bytes are damaged.

    Raises:
        LedgerError: it would.
    """
    with ledger.open("rb") as file:
        header = file.read(20)
    if header.startswith(b"SQLite format 3\0") and not set(header[18:20]) <= {1, 2}:
        raise LedgerError(f"{ledger}: the ledger is damaged (its header); `automl repair` saves what can be read")


def _has_log(folder: Path) -> bool:
    log = folder / LOG
    return log.is_file() and log.stat().st_size > 0


def _unfinished(folder: Path) -> bool:
    try:
        with (folder / paths.LOCK).open(errors="replace") as file:
            return UNFINISHED in file.read(1000)
    except OSError:
        return False


def check_content(db: sqlite3.Connection, file: Path | None) -> None:
    """Check that an opened database is a ledger, and that nothing in it would run or compute when it is used.

    Raises:
        LedgerError: it is another program's database, or has triggers, views, indexes or computed columns.
    """
    db.execute("PRAGMA trusted_schema=OFF")
    db.execute("PRAGMA cell_size_check=ON")
    entries = db.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    for kind, name, sql in entries:
        if (kind != "table" and sql is not None) or (name in TABLES and COMPUTES.search(str(sql))):
            raise LedgerError(f"{file}: it has a {kind} {str(name)[:50]!r} that no ledger has, so it is not used")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    needed = {name for name in TABLES if SINCE.get(name, 1) <= version}
    missing = needed - {name for kind, name, _ in entries if kind == "table"}
    if missing or not version:
        what = "another program's database" if entries else "a database without content"
        lacks = f" (there is no table {min(missing)})" if missing else ""
        raise LedgerError(
            f"{file}: not the ledger of a study but {what}{lacks}; put a copy back, or begin in another folder"
        )
