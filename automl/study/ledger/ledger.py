"""The ledger: one SQLite file that holds everything a study knows.

Facts are only ever added: a trial began, an attempt began, a step was reported, a trial was paused, a trial ended.
`seq` numbers them over all tables in the order in which they became known, so that the whole search can be replayed.
Only the driver writes, while it holds `driver.lock`; all others open the file read-only.

The committed facts are always a beginning of the whole: a report and the end that follows from its verdict are one
transaction, so a killed driver never leaves one without the other.

Durability: a change of state is committed at once, so a killed process loses nothing. It is also flushed to the disk
(`synchronous=FULL`), unless a flush was less than `FLUSH_S` seconds ago; the next one then does it, so a power failure
costs little. Reports are committed with the next change of state, or after `BATCH_S` seconds.
"""

import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from automl.core.history import History
from automl.core.space import Config
from automl.core.trial import Failure, State
from automl.errors import AutoMLError, EnvironmentProblem, LedgerError
from automl.study import opening, paths, safety
from automl.study.ledger import kinds, vectors
from automl.study.ledger.checksums import CHECKSUM, verify
from automl.study.ledger.lock import DriverLock
from automl.study.ledger.replay import Replay
from automl.study.ledger.schema import CLOSED, FACTS, INSERT, REPAIR, SINCE, Fact, ours, structure, tables, translated

FLUSH_S, BATCH_S = 0.1, 1.0


class Ledger:
    """Writes and reads the ledger of one study. Made by `Ledger.open`, `Ledger.read_only` or `Ledger.in_memory`."""

    def __init__(self, db: sqlite3.Connection, seq: int = 0, lock: DriverLock | None = None) -> None:
        self._db = db
        self._seq = seq  # the number of the last fact
        self._lock = lock
        self.closed = False
        self._flushed = self._pending_since = 0.0
        self._noted = False  # whether the lock's file says that there is a write-ahead log
        self._full, self._unflushed = True, False  # synchronous is FULL; a commit has not been flushed to the disk yet
        self._broken: AutoMLError | None = None  # why nothing can be written any more
        self._process = os.getpid()

    # -- opening ---------------------------------------------------------------------------------------------------

    @classmethod
    def in_memory(cls) -> Self:
        """An empty ledger without a file."""
        return cls(opening.in_memory())

    @classmethod
    def open(cls, folder: Path) -> Self:
        """The ledger in `folder` for writing, a new one where there is none. Takes the driver's lock.

        Raises:
            LedgerError: another driver holds the lock, the file is damaged, or a newer version wrote it.
            EnvironmentProblem: the folder cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            safety.check_folder(folder)
            lock = DriverLock.take(folder / paths.LOCK)
        except (OSError, ValueError) as error:  # ValueError: no name of a folder
            why = f"cannot write here ({getattr(error, 'strerror', error)})"
            raise EnvironmentProblem(f"{str(folder)!r:.300}: {why}") from error
        try:
            return cls(*opening.for_writing(folder), lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def read_only(cls, folder: Path, *, scan: bool = True) -> Self:
        """The ledger in `folder` for reading, also while a driver writes it; see `opening.for_reading`.

        Raises:
            LedgerError: there is no ledger, the file is damaged, or a newer version wrote it.
        """
        return cls(opening.for_reading(folder, scan=scan))

    def close(self) -> None:
        """Commit and flush what is pending, and give the lock back. After a failed write the rest is rolled back."""
        self.closed = True
        if self._process != os.getpid():  # connection and lock are the other process's
            return
        try:
            if self._db.in_transaction:
                self._db.rollback() if self._broken else self._db.commit()
            if self._lock is not None:
                self._lock.clear()  # before the write-ahead log is deleted
            self._db.close()
        except sqlite3.Error:
            self._db.close()
        finally:
            self._broken = self._broken or LedgerError(CLOSED)
            if self._lock is not None:
                self._lock.release()

    @property
    def broken(self) -> bool:
        """Whether a write has failed; then nothing more can be written."""
        return self._broken is not None

    # -- writing ---------------------------------------------------------------------------------------------------

    def describe(self, **facts: Any) -> None:
        """Write facts about the study as a whole (plain values); a fact replaces an earlier one of the same name."""
        kinds.refuse_unreadable(facts)
        for key, value in facts.items():
            self._add("study", key, json.dumps(value))
        self.commit()

    def begin(self, number: int, config: Config, origin: str, at_s: float, asked: int | None = None) -> None:
        """A trial began.

        Args:
            number, config: of the trial.
            origin: who suggested it, see `TrialRecord.origin`.
            at_s: seconds of the study's time, as in all methods below.
            asked: for the first trial of a batch, how many configs the strategy was asked for.
        """
        self._add("trials", number, self._next(), at_s, json.dumps(config), origin, asked)

    def attempt(self, trial: int, attempt: int, at_s: float) -> None:
        """An attempt was handed out."""
        row = (trial, attempt, self._next(), at_s)
        self._write("INSERT INTO attempts VALUES (?, ?, ?, ?, '', NULL, NULL, ?)", *row, CHECKSUM["attempts"](*row))

    def attempt_assigned(self, trial: int, attempt: int, worker: str) -> None:
        """The worker of an attempt is known."""
        self._write("UPDATE attempts SET worker = ? WHERE trial = ? AND attempt = ?", worker, trial, attempt)

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
            horizon: the last step of the trial, where known.
        """
        text = json.dumps(dict(metrics))
        if not self._add("reports", trial, step, self._next(), at_s, attempt, value, text, horizon):
            self._seq -= 1  # the step was known

    def pause(self, trial: int, step: int, reason: str, at_s: float) -> None:
        """Record, and commit at once, that a trial was paused after `step`; `at_s`: seconds since the study began."""
        self._add("pauses", self._next(), trial, at_s, step, reason)
        self.commit()

    def end(self, trial: int, state: State, reason: str, failure: Failure | None, at_s: float) -> None:
        """A trial ended for good. Commits this and all that is pending in one transaction."""
        why = json.dumps(asdict(failure)) if failure else None
        self._add("ends", trial, self._next(), at_s, state.value, reason, why)
        self.commit()

    def edit(self, what: Mapping[str, Any], request: str, source: str, at_s: float) -> None:
        """Record what somebody has asked for; see `core.live.edits`.

        Args:
            what: the edit.
            request: the id of the request that it belongs to; empty where it came from none.
            source: who asked for it.
        """
        self._add("edits", self._next(), at_s, request, source, json.dumps(what))

    def commit(self) -> None:
        """Commit pending writes."""
        if not self.closed and self._db.in_transaction:
            self._execute("COMMIT")
            if not self._noted and self._lock is not None:
                self._lock.note(safety.UNFINISHED)
                self._noted = True
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
            self._execute("PRAGMA wal_checkpoint(PASSIVE)")  # flushes the log first
            self._flushed, self._unflushed = now, False

    def _next(self) -> int:
        self._seq += 1
        return self._seq

    def _add(self, table: str, *row: object) -> int:
        """Write a row, with its checksum behind it; returns how many were written."""
        return self._write(INSERT[table], *row, CHECKSUM[table](*row))

    def _write(self, statement: str, *values: object) -> int:
        self._refuse_if_broken()
        try:
            if not self._db.in_transaction:
                self._begin(full=time.monotonic() - self._flushed > FLUSH_S)
            return self._db.execute(statement, values).rowcount
        except (sqlite3.Error, MemoryError) as error:
            raise self._break(error) from error

    def _execute(self, statement: str) -> None:
        self._refuse_if_broken()
        try:
            self._db.execute(statement)
        except (sqlite3.Error, MemoryError) as error:
            raise self._break(error) from error

    def _refuse_if_broken(self) -> None:
        """After a failed write, refuse all others: the study in memory is ahead of the file. So in a forked process."""
        if self._process != os.getpid():
            raise LedgerError(opening.FORKED.format(self._process))
        if self._broken:
            raise self._broken

    def _break(self, error: Exception) -> AutoMLError:
        self._broken = ours(error)
        return self._broken

    def _begin(self, full: bool) -> None:
        if full is not self._full:
            self._db.execute(f"PRAGMA synchronous={'FULL' if full else 'NORMAL'}")
            self._full = full
        self._db.execute("BEGIN")
        self._pending_since = time.monotonic()

    # -- reading ---------------------------------------------------------------------------------------------------

    @property
    def db(self) -> sqlite3.Connection:
        """The connection, for reading what no method reads; see `live.since`."""
        return self._db

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
                if self._version() > 2:
                    verify(self._db, REPAIR, "study")
                found = {key: json.loads(value) for key, value in self._db.execute("SELECT key, value FROM study")}
        except (ValueError, TypeError, RecursionError) as error:
            raise LedgerError(f"the ledger's content is damaged ({error!r}); {REPAIR}") from error
        kinds.check(found, REPAIR)
        return found

    def _version(self) -> int:
        return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    def in_order(self, *names: str) -> Iterator[Fact]:
        """Facts of these names (of all, where none is given) in the order they became known; see `schema.FACTS`."""
        version = self._version()
        wanted = [FACTS[name] for name in names or FACTS if name != "edit" or version >= SINCE["edits"]]
        if version < 2:  # an older file, opened for reading
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
        except LedgerError:
            raise
        except Exception as error:  # rows may hold anything
            raise LedgerError(f"the ledger's content is damaged ({error!r}); {REPAIR}") from error
        vectors.restore(history, self._db)

    def _replay(self, history: History) -> None:
        with translated(None, reading=True):
            if problem := structure(self._db):
                raise LedgerError(f"the ledger is damaged ({problem}); {REPAIR}")
            if self._version() > 2:
                verify(self._db, REPAIR)
            kinds.check_columns(self._db, REPAIR)
            curves = self._curves(history)
            attempts = dict(self._db.execute("SELECT trial, MAX(attempt) FROM attempts GROUP BY trial"))
        replay = Replay(history, curves, attempts)
        for fact in self.in_order("begun", "again", "pause", "end", "edit"):
            replay.take(fact)

    def losses(self) -> dict[int, int]:
        """{trial: how many of its attempts were lost because their worker died}."""
        return dict(self._db.execute("SELECT trial, COUNT(*) FROM attempts WHERE outcome = 'lost' GROUP BY trial"))

    def _curves(self, history: History) -> dict[int, list[tuple[int, float]]]:
        curves: dict[int, list[tuple[int, float]]] = {}
        for trial, step, value in self._db.execute("SELECT trial, step, value FROM reports ORDER BY trial, step"):
            curves.setdefault(trial, []).append((step, history.metric.loss(value)))
        return curves

    def reports(self, trial: int) -> list[tuple[int, dict[str, float]]]:
        """All metrics of all reports of a trial, by step."""
        with translated(None, reading=True):
            rows = self._db.execute(
                "SELECT step, metrics FROM reports WHERE trial = ? ORDER BY step", (trial,)
            ).fetchall()
        return [(step, kinds.content(metrics, kinds.METRICS, REPAIR)) for step, metrics in rows]

    def attempts(self, trial: int) -> list[dict[str, Any]]:
        """All attempts of a trial: their number, worker, outcome, seconds at which they began, and details."""
        names = ("attempt", "worker", "outcome", "at_s", "details")
        query = f"SELECT {', '.join(names)} FROM attempts WHERE trial = ? ORDER BY attempt"
        with translated(None, reading=True):
            rows = self._db.execute(query, (trial,)).fetchall()
        attempts = [dict(zip(names, row, strict=True)) for row in rows]
        return [{**one, "details": kinds.content(one["details"] or "{}", kinds.DETAILS, REPAIR)} for one in attempts]

    def elapsed_s(self) -> float:
        """Seconds of the study's time up to the last fact."""
        times = [self._db.execute(f"SELECT MAX(at_s) FROM {t}").fetchone()[0] for t in tables(self._db)]
        return max((t for t in times if t is not None), default=0.0)
