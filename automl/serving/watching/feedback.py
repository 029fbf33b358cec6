"""Predictions that are remembered, true answers that come later, and the score that follows from them.

state/feedback.sqlite, written by all worker processes; predictions are written a moment after they were given.
"""

import json
import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from automl.metrics.intervals import mean_interval, wilson
from automl.serving.problem import Refused
from automl.serving.watching.kept_rows import KeptRows

SCORED = 10_000
"""So many of the newest answers make the score."""
TABLES = """
CREATE TABLE IF NOT EXISTS predictions (
    request_id TEXT PRIMARY KEY, key TEXT, model TEXT, version TEXT, kind TEXT, time REAL, predictions TEXT);
CREATE TABLE IF NOT EXISTS answers (request_id TEXT PRIMARY KEY, model TEXT, version TEXT, kind TEXT, time REAL,
    pairs TEXT);
CREATE INDEX IF NOT EXISTS by_time ON predictions (time);
CREATE INDEX IF NOT EXISTS by_version ON answers (model, version, time);
"""


class Feedback:
    """Remembers predictions by request, takes their true answers, and scores.

    Args:
        file: the database.
        remember: the number of requests whose predictions are kept.
        keep_rows: the number of rows that are kept, for `automl update`.
        shared: the disk is one of several machines, whose processes have no memory in common.
    """

    def __init__(self, file: Path, remember: int, keep_rows: int = 0, *, shared: bool = False) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self.remember = remember
        self._lock = threading.Lock()
        self._database = sqlite3.connect(file, timeout=10, check_same_thread=False)
        os.chmod(file, 0o600)
        self._database.execute(f"PRAGMA journal_mode={'DELETE' if shared else 'WAL'}")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.executescript(TABLES)
        self.kept = KeptRows(self._database, keep_rows)
        self._waiting: list[tuple[Any, ...]] = []
        self._written = 0

    def predicted(self, request_id: str, key: str, model: str, version: str, kind: str, predictions: list[Any]) -> None:
        """Remember an answer; it is written with the next `flush`."""
        if self.remember:
            self._waiting.append((request_id, key, model, version, kind, time.time(), predictions))

    def flush(self) -> None:
        """Write what was collected, and delete what is older than is to be remembered."""
        with self._lock:  # taken first: who finds nothing to write must find all of it in the database
            waiting, self._waiting = self._waiting, []
            if waiting or self.kept.waits:
                self._write([(*entry[:-1], json.dumps(entry[-1])) for entry in waiting])

    def _write(self, rows: list[tuple[Any, ...]]) -> None:
        with self._database:
            self._database.executemany("INSERT OR REPLACE INTO predictions VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            self.kept.write()
            self._written += len(rows)
            if self._written > self.remember // 10:
                self._written = 0
                self._database.execute(
                    "DELETE FROM predictions WHERE time < (SELECT time FROM predictions ORDER BY time DESC"
                    " LIMIT 1 OFFSET ?)", (self.remember,)
                )  # fmt: skip

    def answered(self, request_id: str, key: str, answers: Sequence[Any]) -> dict[str, Any]:
        """Take the true answers of a request; later ones replace earlier ones.

        Args:
            request_id: of the prediction.
            key: the id of the key that asks; it must be the one that asked for the prediction.
            answers: one for each row, null where none is known.

        Raises:
            Refused: the request is not known, or had another number of rows.
        """
        self.flush()
        with self._lock:
            found = self._database.execute(
                "SELECT key, model, version, kind, predictions FROM predictions WHERE request_id = ?", (request_id,)
            ).fetchone()
        if found is None or found[0] != key:
            raise Refused(404, "unknown_request", "no prediction is remembered under that request id", "request_id")
        _, model, version, kind, text = found
        predictions = json.loads(text)
        if len(answers) != len(predictions):
            raise Refused(
                422, "wrong_shape", f"that request had {len(predictions)} predictions, not {len(answers)}", "answers"
            )
        pairs = [(p, a) for p, a in zip(predictions, answers, strict=True) if a is not None]
        if kind == "regression":
            for k, answer in enumerate(answers):
                if answer is not None and (isinstance(answer, bool) or not isinstance(answer, int | float)):
                    raise Refused(422, "wrong_type", "the true answer is a number", f"answers[{k}]")
        row = (request_id, model, version, kind, time.time(), json.dumps(pairs))
        with self._lock, self._database:
            self._database.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?)", row)
            self.kept.label(request_id, answers)
        return {"model": model, "version": version, "rows": len(pairs)}

    def scores(self) -> dict[str, dict[str, Any]]:
        """{model@version: metric, value, 95 % interval, rows}: accuracy, or the mean absolute error."""
        with self._lock:
            known = self._database.execute("SELECT DISTINCT model, version, kind FROM answers").fetchall()
            pairs = {
                (model, version, kind): self._database.execute(
                    "SELECT pairs FROM answers WHERE model = ? AND version = ? ORDER BY time DESC LIMIT ?",
                    (model, version, SCORED),
                ).fetchall()
                for model, version, kind in known
            }
        return {
            f"{model}@{version}": score(kind, [pair for (text,) in texts for pair in json.loads(text)][:SCORED])
            for (model, version, kind), texts in pairs.items()
        }

    def close(self) -> None:
        """Write the rest and close the database."""
        self.flush()
        with self._lock:
            self._database.close()


def score(kind: str, pairs: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """The score of (prediction, true answer) pairs; rows are taken as independent."""
    if not pairs:
        return {"metric": None, "value": None, "interval": None, "rows": 0}
    if kind == "regression":
        errors = [abs(float(p) - float(a)) for p, a in pairs if not isinstance(p, list)]
        between = mean_interval(errors)
        value = sum(errors) / max(len(errors), 1)
        return {"metric": "mae", "value": value, "interval": between and list(between), "rows": len(errors)}
    hits = sum(p == a or str(p) == str(a) for p, a in pairs)
    between = wilson(hits / len(pairs), len(pairs))
    return {"metric": "accuracy", "value": hits / len(pairs), "interval": list(between), "rows": len(pairs)}
