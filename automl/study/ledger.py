"""The ledger: one SQLite file that holds everything a study knows.

Facts are only ever added: a trial began, an attempt began, a step was reported, a trial was paused, a trial ended.
`seq` numbers them over all tables in the order in which they became known, so that the whole search can be replayed.
Only the driver writes, while it holds `driver.lock`; all others open the file read-only.

The committed facts are always a beginning of the whole: a report and the end that follows from its verdict are one
transaction, so a killed driver never leaves one without the other.

Durability: a change of state is committed at once, so a killed process loses nothing. It is also flushed to the disk
(`synchronous=FULL`), unless a flush was less than `FLUSH_S` seconds ago: then it is flushed with the next one, and a
power failure can cost that much. Reports are committed with the next change of state, or after `BATCH_S` seconds.
"""

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from automl.core.history import History
from automl.core.space import Config
from automl.core.trial import Failure, State
from automl.errors import AutoMLError, EnvironmentProblem, LedgerError
from automl.study import paths
from automl.study.lock import DriverLock
from automl.study.schema import FACTS, REPAIR, TABLES, Fact, check_version, migrate, translated

FLUSH_S = 0.1
BATCH_S = 1.0


class Ledger:
    """Writes and reads the ledger of one study. Made by `Ledger.open`, `Ledger.read_only` or `Ledger.in_memory`."""

    def __init__(self, db: sqlite3.Connection, lock: DriverLock | None = None) -> None:
        self._db = db
        self._lock = lock
        self.closed = False
        self._flushed = self._pending_since = 0.0
        self._full = True  # whether synchronous is FULL
        self._unflushed = False  # whether a commit has not been flushed to the disk yet
        self._broken: AutoMLError | None = None  # why nothing can be written any more
        self._seq: int = max(db.execute(f"SELECT COALESCE(MAX(seq), 0) FROM {t}").fetchone()[0] for t in TABLES)

    # -- opening ---------------------------------------------------------------------------------------------------

    @classmethod
    def in_memory(cls) -> Self:
        """An empty ledger without a file."""
        db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        migrate(db, None)
        return cls(db)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The ledger in `folder` for writing, a new one where there is none. Takes the driver's lock.

        Raises:
            LedgerError: another driver holds the lock, the file is damaged, or a newer version wrote it.
            EnvironmentProblem: the folder cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = DriverLock.take(folder / paths.LOCK)
        except OSError as error:
            raise EnvironmentProblem(f"{folder}: cannot write here ({error.strerror or error})") from error
        try:
            with translated(folder / paths.LEDGER):
                db = sqlite3.connect(folder / paths.LEDGER, isolation_level=None, timeout=5, check_same_thread=False)
                db.execute("PRAGMA journal_mode=WAL")
                db.execute("PRAGMA synchronous=FULL")
                migrate(db, folder / paths.LEDGER)
                return cls(db, lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def read_only(cls, folder: Path) -> Self:
        """The ledger in `folder` for reading; also while a driver writes it, and without write access to the folder.

        Raises:
            LedgerError: there is no ledger, the file is damaged, or a newer version wrote it.
        """
        file = folder / paths.LEDGER
        if not file.exists():
            raise LedgerError(f"{folder}: no study here (no {paths.LEDGER})")
        with translated(file):
            for mode in ("mode=ro", "mode=ro&immutable=1"):
                db = sqlite3.connect(f"{file.absolute().as_uri()}?{mode}", uri=True, isolation_level=None)
                try:
                    check_version(db, file)
                    return cls(db)
                except sqlite3.OperationalError:
                    db.close()
                    if "immutable" in mode:
                        raise
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Commit and flush what is pending, and give the lock back. After a failed write the rest is rolled back."""
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
        """Whether a write has failed; then nothing more can be written."""
        return self._broken is not None

    # -- writing ---------------------------------------------------------------------------------------------------

    def describe(self, **facts: Any) -> None:
        """Write facts about the study as a whole (plain values); a fact replaces an earlier one of the same name."""
        for key, value in facts.items():
            self._write("INSERT OR REPLACE INTO study VALUES (?, ?)", key, json.dumps(value))
        self.commit()

    def begin(self, number: int, config: Config, origin: str, at_s: float, asked: int | None = None) -> None:
        """A trial began.

        Args:
            number, config: of the trial.
            origin: who suggested it, see `TrialRecord.origin`.
            at_s: seconds of the study's time, as in all methods below.
            asked: for the first trial of a batch, how many configs the strategy was asked for.
        """
        row = (number, self._next(), at_s, json.dumps(config), origin, asked)
        self._write("INSERT INTO trials VALUES (?, ?, ?, ?, ?, ?)", *row)

    def attempt(self, trial: int, attempt: int, worker: str, at_s: float) -> None:
        """An attempt was handed out; to be called again once its worker is known."""
        self._write(
            "INSERT INTO attempts VALUES (?, ?, ?, ?, ?, NULL, NULL) "
            "ON CONFLICT DO UPDATE SET worker = excluded.worker",
            *(trial, attempt, self._next(), at_s, worker),
        )

    def attempt_ended(self, trial: int, attempt: int, outcome: str, details: Mapping[str, object]) -> None:
        """How an attempt ended; attempts with the outcome "lost" count as retries."""
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
        """A step was reported.

        Args:
            trial, step, attempt: where.
            value: the study's metric, with the sign that the user knows.
            metrics: all metrics, by name.
            at_s: when.
            horizon: the last step of the trial, where known.
        """
        row = (trial, step, self._next(), at_s, attempt, value, json.dumps(dict(metrics)), horizon)
        self._write("INSERT OR IGNORE INTO reports VALUES (?, ?, ?, ?, ?, ?, ?, ?)", *row)

    def pause(self, trial: int, step: int, reason: str, at_s: float) -> None:
        """Record, and commit at once, that a trial was paused after `step`; `at_s`: seconds since the study began."""
        self._write("INSERT INTO pauses VALUES (?, ?, ?, ?, ?)", self._next(), trial, at_s, step, reason)
        self.commit()

    def end(self, trial: int, state: State, reason: str, failure: Failure | None, at_s: float) -> None:
        """A trial ended for good. Commits this and all that is pending in one transaction."""
        row = (trial, self._next(), at_s, state.value, reason, json.dumps(asdict(failure)) if failure else None)
        self._write("INSERT INTO ends VALUES (?, ?, ?, ?, ?, ?)", *row)
        self.commit()

    def commit(self) -> None:
        """Commit pending writes."""
        if self._db.in_transaction:
            with self._guarded():
                self._db.execute("COMMIT")
            self._unflushed = not self._full
            if self._full:
                self._flushed = time.monotonic()

    def beat(self) -> None:
        """Commit reports older than `BATCH_S`, and flush commits that wait for it. To be called regularly."""
        now = time.monotonic()
        if self._db.in_transaction:
            if now - self._pending_since > BATCH_S:
                self.commit()
        elif self._unflushed and now - self._flushed > FLUSH_S:
            with self._guarded():
                self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")  # flushes the log first
            self._flushed, self._unflushed = now, False

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
        """After a failed write, refuse all others: the study in memory is ahead of the file."""
        if self._broken:
            raise self._broken
        try:
            with translated(None):
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
        """The facts about the study as a whole that `describe` wrote.

        Raises:
            LedgerError: they are damaged.
        """
        try:
            with translated(None):
                return {key: json.loads(value) for key, value in self._db.execute("SELECT key, value FROM study")}
        except ValueError as error:
            raise LedgerError(f"the ledger's content is damaged ({error}); {REPAIR}") from error

    def in_order(self, *kinds: str) -> Iterator[Fact]:
        """Facts of these kinds (of all, where none is given) in the order they became known; see `schema.FACTS`."""
        wanted = [FACTS[kind] for kind in kinds or FACTS]
        if self._db.execute("PRAGMA user_version").fetchone()[0] < 2:  # an older file, opened for reading
            wanted = [query.replace(", asked", ", NULL").replace(", horizon", ", NULL") for query in wanted]
        with translated(None):
            yield from self._db.execute(" UNION ALL ".join(wanted) + " ORDER BY 1")

    def replay(self, history: History) -> None:
        """Fill an empty history with all trials of the ledger, in the state of the last fact.

        Raises:
            LedgerError: the facts contradict each other.
        """
        try:
            self._replay(history)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError) as error:
            raise LedgerError(f"the ledger's content is damaged ({error!r}); {REPAIR}") from error

    def _replay(self, history: History) -> None:
        with translated(None):
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
        """{trial: how many of its attempts were lost because their worker died}."""
        return dict(self._db.execute("SELECT trial, COUNT(*) FROM attempts WHERE outcome = 'lost' GROUP BY trial"))

    def check(self) -> str:
        """`ok`, or what SQLite finds wrong with the file."""
        with translated(None):
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
        """All attempts of a trial: their number, worker, outcome, seconds at which they began, and details."""
        rows = self._db.execute(
            "SELECT attempt, worker, outcome, at_s, details FROM attempts WHERE trial = ? ORDER BY attempt", (trial,)
        )
        names = ("attempt", "worker", "outcome", "at_s", "details")
        return [{**dict(zip(names, row, strict=True)), "details": json.loads(row[4] or "{}")} for row in rows]

    def elapsed_s(self) -> float:
        """Seconds of the study's time up to the last fact."""
        times = [self._db.execute(f"SELECT MAX(at_s) FROM {t}").fetchone()[0] for t in TABLES]
        return max((t for t in times if t is not None), default=0.0)
