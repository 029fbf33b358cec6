"""How the file of a ledger is opened, for writing or for reading, after it was checked (see `safety`)."""

import sqlite3
from contextlib import closing
from pathlib import Path

from automl.core import files
from automl.errors import EnvironmentProblem, LedgerError
from automl.study import paths, safety
from automl.study.ledger.schema import REPAIR, check_version, migrate, tables, translated

WAL = b"\2\2"
"""Bytes 18 and 19 of a file with a write-ahead log. A new one has it at once: to switch it on later takes a journal."""
MOST_BYTES = 2**28
"""No single value of a ledger is longer; a damaged length could ask for any amount of memory."""
Opened = tuple[sqlite3.Connection, int]
"""A ledger, and the number of its last fact."""

FORKED = (
    "the study belongs to process {}, from which this one was forked: ask and tell there, and give other processes "
    "only the configs"
)


def for_writing(folder: Path) -> Opened:
    """The ledger of `folder`, brought up to date; a new one where there is none.

    Raises:
        LedgerError: the file is damaged, no ledger, or a newer version wrote it.
        EnvironmentProblem: it cannot be written.
    """
    file = folder / paths.LEDGER
    with translated(file):
        if not file.exists():
            _begin(file)
        safety.check_header(file)
        db = sqlite3.connect(file, isolation_level=None, timeout=5, check_same_thread=False)
        try:
            _check(db, file)
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            migrate(db, file)
            return db, _last(db, file)
        except BaseException:
            db.close()
            raise


def for_reading(folder: Path, *, scan: bool = True) -> sqlite3.Connection:
    """The ledger of `folder`; also while a driver writes it, and without write access to the folder.

    `scan`: go through all tables once, so that damage of their pages is told here; it takes a second for ten million
    rows, so one who reads on, from where another look ended, does without.

    Raises:
        LedgerError: there is no ledger, the file is damaged, no ledger, or a newer version wrote it.
    """
    file = folder / paths.LEDGER
    if not file.exists() and not file.is_symlink():
        raise LedgerError(f"{folder}: no study here (no {paths.LEDGER})")
    safety.check_files(folder)
    with translated(file, reading=True):
        for mode in ("mode=ro", "mode=ro&immutable=1"):
            db = sqlite3.connect(f"{file.absolute().as_uri()}?{mode}", uri=True, isolation_level=None)
            try:
                _check(db, file)
                if scan:
                    _last(db, file)
                return db
            except sqlite3.OperationalError:
                db.close()
                if "immutable" in mode:
                    raise
            except BaseException:
                db.close()
                raise
    raise AssertionError("unreachable")


def in_memory() -> sqlite3.Connection:
    """An empty ledger without a file."""
    db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    migrate(db, None)
    return db


def _begin(file: Path) -> None:
    """Write the file of an empty ledger, as a whole."""
    with closing(in_memory()) as db:
        content = bytearray(db.serialize())
    content[18:20] = WAL
    try:
        files.write(file, bytes(content))
    except OSError as error:
        raise EnvironmentProblem(f"{file.parent}: cannot write here ({error.strerror or error})") from error


def _check(db: sqlite3.Connection, file: Path) -> None:
    """Check that a file is a ledger that this version can read."""
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_BYTES)
    check_version(db, file)
    safety.check_content(db, file)


def _last(db: sqlite3.Connection, file: Path) -> int:
    """The number of the last fact."""
    names = tables(db)
    numbers: list[int] = [db.execute(f"SELECT COALESCE(MAX(seq), 0) FROM {table}").fetchone()[0] for table in names]
    for table, number in zip(names, numbers, strict=True):
        if not isinstance(number, int) or not 0 <= number < 2**62:
            raise LedgerError(
                f"{file}: the ledger is damaged: a row of {table} has the number {number!r:.50}; {REPAIR}"
            )
    return max(numbers)
