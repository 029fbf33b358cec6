"""The ledger: one SQLite file, the only truth about a study.

Facts are only ever added: a trial began, an attempt began, a step was reported, a trial was paused, a trial ended.
`seq` numbers them in the order they became known, over all tables, so that the whole search can be replayed. One
process writes (the driver, holding `driver.lock`), everybody else opens the file read-only.

Durability: a change of state is committed at once, so a killed process loses nothing. It is also flushed to the disk
(`synchronous=FULL`) unless such a flush happened less than `FLUSH_S` ago, then with the next one: a power cut can cost
at most that. Metric points are committed together, with the next change of state or after `BATCH_S`.
"""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from automl.errors import EnvironmentProblem, LedgerError
from automl.lock import DriverLock
from automl.space import Config
from automl.trial import Failure, History, State

FILE = "ledger.sqlite"
FLUSH_S = 0.1
BATCH_S = 1.0


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


MIGRATIONS: list[Callable[[sqlite3.Connection], None]] = [_create]


class Ledger:
    """Writes and reads one study's file. Open with `Ledger.create`, `.open`, `.read_only` or `.in_memory`."""

    def __init__(self, db: sqlite3.Connection, lock: DriverLock | None = None) -> None:
        self._db = db
        self._lock = lock
        self._flushed = self._committed = 0.0
        self._full = True  # what synchronous is set to
        self._owed = False  # whether a commit has not been flushed yet
        self._seq: int = max(
            db.execute(f"SELECT COALESCE(MAX(seq), 0) FROM {t}").fetchone()[0]
            for t in ("trials", "attempts", "reports", "pauses", "ends")
        )

    # -- opening ---------------------------------------------------------------------------------------------------

    @classmethod
    def in_memory(cls) -> Self:
        db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        _migrate(db, None)
        return cls(db)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The ledger in `folder`, made when there is none, for writing; takes the driver's lock.

        Raises:
            LedgerError: another driver holds it, it is corrupt, or it was written by a newer version.
            EnvironmentProblem: the folder cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = DriverLock.take(folder / "driver.lock")
        except OSError as error:
            raise EnvironmentProblem(f"{folder}: cannot write here ({error.strerror or error})") from error
        try:
            with _translated(folder / FILE):
                db = sqlite3.connect(folder / FILE, isolation_level=None, timeout=5, check_same_thread=False)
                db.execute("PRAGMA journal_mode=WAL")
                db.execute("PRAGMA synchronous=FULL")
                _migrate(db, folder / FILE)
                return cls(db, lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def read_only(cls, folder: Path) -> Self:
        """The ledger in `folder` for reading, also while a driver writes it and in folders without write access."""
        file = folder / FILE
        if not file.exists():
            raise LedgerError(f"{folder}: no study here (no {FILE})")
        with _translated(file):
            for mode in ("mode=ro", "mode=ro&immutable=1"):
                db = sqlite3.connect(f"{file.absolute().as_uri()}?{mode}", uri=True, isolation_level=None)
                try:
                    _check_version(db, file)
                    return cls(db)
                except sqlite3.OperationalError:
                    db.close()
                    if "immutable" in mode:
                        raise
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Commit what is pending, flush it to the disk and give the lock back."""
        if self._db.in_transaction:
            self._db.commit()
        self._db.close()
        if self._lock is not None:
            self._lock.release()

    # -- writing ---------------------------------------------------------------------------------------------------

    def describe(self, **facts: Any) -> None:
        """Write facts about the study itself (JSON values); the last one of a name counts."""
        with self._state_change():
            for key, value in facts.items():
                self._db.execute("INSERT OR REPLACE INTO study VALUES (?, ?)", (key, json.dumps(value)))

    def begin(self, number: int, config: Config, origin: str, at_s: float) -> None:
        """A trial began. Committed with the next change of state: until then it would be suggested again."""
        self._batched(
            "INSERT INTO trials VALUES (?, ?, ?, ?, ?)", number, self._next(), at_s, json.dumps(config), origin
        )

    def attempt(self, trial: int, attempt: int, worker: str, at_s: float) -> None:
        self._batched(
            "INSERT OR IGNORE INTO attempts VALUES (?, ?, ?, ?, ?, NULL, NULL)",
            trial,
            attempt,
            self._next(),
            at_s,
            worker,
        )

    def attempt_ended(self, trial: int, attempt: int, outcome: str, details: Mapping[str, object]) -> None:
        self._batched(
            "UPDATE attempts SET outcome = ?, details = ? WHERE trial = ? AND attempt = ?",
            *(outcome, json.dumps(dict(details)), trial, attempt),
        )

    def report(
        self, trial: int, step: int, attempt: int, value: float, metrics: Mapping[str, float], at_s: float
    ) -> None:
        """A step was reported; `value` is the study's metric as the user knows it."""
        row = (trial, step, self._next(), at_s, attempt, value, json.dumps(dict(metrics)))
        self._batched("INSERT OR IGNORE INTO reports VALUES (?, ?, ?, ?, ?, ?, ?)", *row)

    def pause(self, trial: int, step: int, reason: str, at_s: float) -> None:
        with self._state_change():
            self._db.execute("INSERT INTO pauses VALUES (?, ?, ?, ?, ?)", (self._next(), trial, at_s, step, reason))

    def end(self, trial: int, state: State, reason: str, failure: Failure | None, at_s: float) -> None:
        """A trial ended, for good; together with all reports that were still pending, in one transaction."""
        told = json.dumps(asdict(failure)) if failure else None
        with self._state_change():
            self._db.execute(
                "INSERT INTO ends VALUES (?, ?, ?, ?, ?, ?)", (trial, self._next(), at_s, state.value, reason, told)
            )

    def beat(self) -> None:
        """Commit metric points that have waited for `BATCH_S`, flush commits that wait for it; call now and then."""
        now = time.monotonic()
        if self._db.in_transaction:
            if now - self._committed > BATCH_S:
                self._commit()
        elif self._owed and now - self._flushed > FLUSH_S:
            with _translated(None):
                self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")  # flushes the log first
            self._flushed, self._owed = now, False

    def _next(self) -> int:
        self._seq += 1
        return self._seq

    def _batched(self, statement: str, *values: object) -> None:
        with _translated(None):
            if not self._db.in_transaction:
                self._begin(full=False)
            self._db.execute(statement, values)
        self.beat()

    @contextmanager
    def _state_change(self) -> Iterator[None]:
        with _translated(None):
            if self._db.in_transaction:
                self._commit()
            self._begin(full=time.monotonic() - self._flushed > FLUSH_S)
            yield
            self._commit()

    def _begin(self, full: bool) -> None:
        if full is not self._full:
            self._db.execute(f"PRAGMA synchronous={'FULL' if full else 'NORMAL'}")
            self._full = full
        self._db.execute("BEGIN")

    def _commit(self) -> None:
        self._db.execute("COMMIT")
        self._committed = time.monotonic()
        self._owed = not self._full
        if self._full:
            self._flushed = self._committed

    # -- reading ---------------------------------------------------------------------------------------------------

    def facts(self) -> dict[str, Any]:
        """What `describe` wrote."""
        return {key: json.loads(value) for key, value in self._db.execute("SELECT key, value FROM study")}

    def replay(self, history: History) -> None:
        """Fill an empty history with all trials of the ledger.

        Raises:
            LedgerError: the ledger's content does not fit together.
        """
        with _translated(None):
            curves = self._curves(history)
            attempts = dict(self._db.execute("SELECT trial, MAX(attempt) FROM attempts GROUP BY trial"))
            for number, at_s, config, origin in self._db.execute(
                "SELECT number, at_s, config, origin FROM trials ORDER BY number"
            ):
                if number != history.next_number:
                    raise LedgerError(f"the ledger has no trial {history.next_number}: run `automl repair`")
                history.begin(json.loads(config), origin=origin, at_s=at_s)
                history.restore(number, curves.get(number, ()), attempts.get(number, 1))
            for trial, step in self._db.execute("SELECT trial, MAX(step) FROM pauses GROUP BY trial ORDER BY seq"):
                if history.trials[trial].step <= step:
                    history.pause(trial)
            for trial, at_s, state, reason, told in self._db.execute(
                "SELECT trial, at_s, state, reason, failure FROM ends ORDER BY seq"
            ):
                failure = Failure(**json.loads(told)) if told else None
                history.end(trial, State(state), reason=reason, failure=failure, at_s=at_s)

    def _curves(self, history: History) -> dict[int, list[tuple[int, float]]]:
        curves: dict[int, list[tuple[int, float]]] = {}
        sign = history.metric.loss(1.0)
        for trial, step, value in self._db.execute("SELECT trial, step, value FROM reports ORDER BY trial, step"):
            curves.setdefault(trial, []).append((step, sign * value))
        return curves

    def reports(self, trial: int) -> list[tuple[int, dict[str, float]]]:
        """All metrics of all reports of a trial, by step."""
        rows = self._db.execute("SELECT step, metrics FROM reports WHERE trial = ? ORDER BY step", (trial,))
        return [(step, json.loads(metrics)) for step, metrics in rows]

    def attempts(self, trial: int) -> list[dict[str, Any]]:
        """Every execution of a trial: attempt, worker, outcome, seconds at which it began, details."""
        rows = self._db.execute(
            "SELECT attempt, worker, outcome, at_s, details FROM attempts WHERE trial = ? ORDER BY attempt", (trial,)
        )
        names = ("attempt", "worker", "outcome", "at_s", "details")
        return [{**dict(zip(names, row, strict=True)), "details": json.loads(row[4] or "{}")} for row in rows]

    def elapsed_s(self) -> float:
        """Driven seconds up to the last fact."""
        times = [
            self._db.execute(f"SELECT MAX(at_s) FROM {t}").fetchone()[0]
            for t in ("trials", "attempts", "reports", "pauses", "ends")
        ]
        return max((t for t in times if t is not None), default=0.0)


@contextmanager
def _translated(file: Path | None) -> Iterator[None]:
    """SQLite's errors as ours, with what a person can do about them."""
    where = f"{file}: " if file else ""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "full" in str(error) or "readonly" in str(error) or "unable to open" in str(error):
            raise EnvironmentProblem(f"{where}the ledger cannot be written: {error}") from error
        raise LedgerError(f"{where}{error}") from error
    except sqlite3.DatabaseError as error:
        raise LedgerError(f"{where}the ledger is damaged ({error}); `automl repair` saves what can be read") from error


def _check_version(db: sqlite3.Connection, file: Path | None) -> int:
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        raise LedgerError(
            f"{file}: written by a newer automl (ledger version {version}, not {len(MIGRATIONS)}); update automl"
        )
    return version


def _migrate(db: sqlite3.Connection, file: Path | None) -> None:
    version = _check_version(db, file)
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
