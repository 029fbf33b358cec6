"""The ledger: one SQLite file, the only truth about a study.

Facts are only ever added: a trial began, an attempt began, a step was reported, a trial was paused, a trial ended.
`seq` numbers them in the order they became known, over all tables, so that the whole search can be replayed. One
process writes (the driver, holding `driver.lock`), everybody else opens the file read-only.

What is committed is always a prefix of what happened: a report and the end that follows from its verdict are one
transaction, so a killed driver never leaves one without the other.

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

from automl.core.history import History
from automl.core.space import Config
from automl.core.trial import Failure, State
from automl.errors import AutoMLError, EnvironmentProblem, LedgerError
from automl.study.lock import DriverLock

FILE = "ledger.sqlite"
REPAIR = "`automl repair` saves what can be read"
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


def _batches_and_horizons(db: sqlite3.Connection) -> None:
    """How many configs the strategy was asked for at once, and each report's last step: a replay needs both."""
    db.execute("ALTER TABLE trials ADD COLUMN asked INT")
    db.execute("ALTER TABLE reports ADD COLUMN horizon INT")


MIGRATIONS: list[Callable[[sqlite3.Connection], None]] = [_create, _batches_and_horizons]
TABLES = ("trials", "attempts", "reports", "pauses", "ends")
FACTS = {
    "begun": "SELECT seq, 'begun', number, config, origin, at_s, asked FROM trials",
    "again": "SELECT seq, 'again', trial, attempt, NULL, at_s, NULL FROM attempts WHERE attempt > 1",
    "report": "SELECT seq, 'report', trial, step, value, at_s, horizon FROM reports",
    "pause": "SELECT seq, 'pause', trial, step, reason, at_s, NULL FROM pauses",
    "end": "SELECT seq, 'end', trial, state, reason, at_s, failure FROM ends",
}
Fact = tuple[int, str, int, Any, Any, float, Any]  # seq, kind, trial, then what the kind's query says


class Ledger:
    """Writes and reads one study's file. Open with `Ledger.create`, `.open`, `.read_only` or `.in_memory`."""

    def __init__(self, db: sqlite3.Connection, lock: DriverLock | None = None) -> None:
        self._db = db
        self._lock = lock
        self.closed = False
        self._flushed = self._pending_since = 0.0
        self._full = True  # what synchronous is set to
        self._owed = False  # whether a commit has not been flushed yet
        self._broken: AutoMLError | None = None  # why nothing can be written any more
        self._seq: int = max(db.execute(f"SELECT COALESCE(MAX(seq), 0) FROM {t}").fetchone()[0] for t in TABLES)

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
        """Commit what is pending, flush it to the disk and give the lock back. What a failed write left is undone."""
        self.closed = True
        try:
            if self._db.in_transaction:
                self._db.rollback() if self._broken else self._db.commit()
            self._db.close()
        except sqlite3.Error:
            self._db.close()
        finally:
            if self._lock is not None:
                self._lock.release()

    @property
    def broken(self) -> bool:
        """Whether a write has failed: nothing more can be written."""
        return self._broken is not None

    # -- writing ---------------------------------------------------------------------------------------------------

    def describe(self, **facts: Any) -> None:
        """Write facts about the study itself (JSON values); the last one of a name counts."""
        for key, value in facts.items():
            self._write("INSERT OR REPLACE INTO study VALUES (?, ?)", key, json.dumps(value))
        self.commit()

    def begin(self, number: int, config: Config, origin: str, at_s: float, asked: int | None = None) -> None:
        """A trial began. `asked`: for the first of a batch, how many configs the strategy was asked for."""
        row = (number, self._next(), at_s, json.dumps(config), origin, asked)
        self._write("INSERT INTO trials VALUES (?, ?, ?, ?, ?, ?)", *row)

    def attempt(self, trial: int, attempt: int, worker: str, at_s: float) -> None:
        """An attempt was handed out; called again when it is known to which worker."""
        self._write(
            "INSERT INTO attempts VALUES (?, ?, ?, ?, ?, NULL, NULL) "
            "ON CONFLICT DO UPDATE SET worker = excluded.worker",
            *(trial, attempt, self._next(), at_s, worker),
        )

    def attempt_ended(self, trial: int, attempt: int, outcome: str, details: Mapping[str, object]) -> None:
        """How an attempt ended; `lost` counts against the trial's retries."""
        self._write(
            "UPDATE attempts SET outcome = ?, details = ? WHERE trial = ? AND attempt = ?",
            *(outcome, json.dumps(dict(details)), trial, attempt),
        )

    def report(
        self,
        trial: int,
        step: int,
        attempt: int,
        value: float,
        metrics: Mapping[str, float],
        at_s: float,
        horizon: int | None = None,
    ) -> None:
        """A step was reported; `value` is the study's metric as the user knows it."""
        row = (trial, step, self._next(), at_s, attempt, value, json.dumps(dict(metrics)), horizon)
        self._write("INSERT OR IGNORE INTO reports VALUES (?, ?, ?, ?, ?, ?, ?, ?)", *row)

    def pause(self, trial: int, step: int, reason: str, at_s: float) -> None:
        self._write("INSERT INTO pauses VALUES (?, ?, ?, ?, ?)", self._next(), trial, at_s, step, reason)
        self.commit()

    def end(self, trial: int, state: State, reason: str, failure: Failure | None, at_s: float) -> None:
        """A trial ended, for good; together with all that was still pending, in one transaction."""
        told = json.dumps(asdict(failure)) if failure else None
        self._write(
            "INSERT INTO ends VALUES (?, ?, ?, ?, ?, ?)", *(trial, self._next(), at_s, state.value, reason, told)
        )
        self.commit()

    def commit(self) -> None:
        """Make everything up to here outlive this process."""
        if self._db.in_transaction:
            with self._guarded():
                self._db.execute("COMMIT")
            self._owed = not self._full
            if self._full:
                self._flushed = time.monotonic()

    def beat(self) -> None:
        """Commit metric points that have waited for `BATCH_S`, flush commits that wait for it; call now and then."""
        now = time.monotonic()
        if self._db.in_transaction:
            if now - self._pending_since > BATCH_S:
                self.commit()
        elif self._owed and now - self._flushed > FLUSH_S:
            with self._guarded():
                self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")  # flushes the log first
            self._flushed, self._owed = now, False

    def _next(self) -> int:
        self._seq += 1
        return self._seq

    def _write(self, statement: str, *values: object) -> None:
        with self._guarded():
            if not self._db.in_transaction:
                self._begin(full=time.monotonic() - self._flushed > FLUSH_S)
            self._db.execute(statement, values)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """After a write that failed nothing is written any more: what the study thinks is ahead of the file."""
        if self._broken:
            raise self._broken
        try:
            with _translated(None):
                yield
        except AutoMLError as error:
            self._broken = error
            raise

    def _begin(self, full: bool) -> None:
        if full is not self._full:
            self._db.execute(f"PRAGMA synchronous={'FULL' if full else 'NORMAL'}")
            self._full = full
        self._db.execute("BEGIN")
        self._pending_since = time.monotonic()

    # -- reading ---------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many trials have begun."""
        return int(self._db.execute("SELECT COUNT(*) FROM trials").fetchone()[0])

    def facts(self) -> dict[str, Any]:
        """What `describe` wrote."""
        try:
            with _translated(None):
                return {key: json.loads(value) for key, value in self._db.execute("SELECT key, value FROM study")}
        except ValueError as error:
            raise LedgerError(f"the ledger's content is damaged ({error}); {REPAIR}") from error

    def in_order(self, *kinds: str) -> Iterator[Fact]:
        """Facts of these kinds (of all when none is given) in the order they became known; see `FACTS`."""
        wanted = [FACTS[kind] for kind in kinds or FACTS]
        if self._db.execute("PRAGMA user_version").fetchone()[0] < 2:  # an older file, opened for reading
            wanted = [query.replace(", asked", ", NULL").replace(", horizon", ", NULL") for query in wanted]
        with _translated(None):
            yield from self._db.execute(" UNION ALL ".join(wanted) + " ORDER BY 1")

    def replay(self, history: History) -> None:
        """Fill an empty history with all trials of the ledger, as it was when the last fact was written.

        Raises:
            LedgerError: the ledger's content does not fit together.
        """
        try:
            self._replay(history)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError) as error:
            raise LedgerError(f"the ledger's content is damaged ({error!r}); {REPAIR}") from error

    def _replay(self, history: History) -> None:
        with _translated(None):
            curves = self._curves(history)
            attempts = dict(self._db.execute("SELECT trial, MAX(attempt) FROM attempts GROUP BY trial"))
        for _, kind, trial, what, why, at_s, more in self.in_order("begun", "again", "pause", "end"):
            if kind == "begun":
                if trial != history.next_number:
                    raise LedgerError(f"the ledger has no trial {history.next_number}; {REPAIR}")
                history.begin(json.loads(what), origin=why, at_s=at_s)
                history.restore(trial, curves.get(trial, ()), attempts.get(trial, 1))
            elif trial >= history.next_number:
                raise LedgerError(f"the ledger has no trial {trial}; {REPAIR}")
            elif kind == "again":
                history.again(trial, what)
            elif kind == "pause":
                history.pause(trial, why)
            else:
                failure = Failure(**json.loads(more)) if more else None
                history.end(trial, State(what), reason=why, failure=failure, at_s=at_s)

    def losses(self) -> dict[int, int]:
        """{trial: how many of its attempts were lost with their worker}."""
        return dict(self._db.execute("SELECT trial, COUNT(*) FROM attempts WHERE outcome = 'lost' GROUP BY trial"))

    def check(self) -> str:
        """`ok`, or what SQLite finds wrong with the file."""
        with _translated(None):
            return str(self._db.execute("PRAGMA integrity_check(1)").fetchone()[0])

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
        times = [self._db.execute(f"SELECT MAX(at_s) FROM {t}").fetchone()[0] for t in TABLES]
        return max((t for t in times if t is not None), default=0.0)


@contextmanager
def _translated(file: Path | None) -> Iterator[None]:
    """SQLite's errors as ours, with what a person can do about them."""
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
