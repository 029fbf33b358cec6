"""Rows of requests, kept where the server was told to, and joined with their true answers for `automl update`.

Two tables of state/feedback.sqlite: `kept` has rows that wait for their answers, `labelled` rows with them, numbered in
the order in which the answers came. Each has a maximum number of rows and bytes; the oldest rows are dropped first.
"""

import io
import json
import secrets
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl.errors import DataError
from automl.serving.inputs.checks import Columns
from automl.serving.inputs.schema import InputSchema

FILE = "feedback.sqlite"
MOST_BYTES = 2**30
"""Of the rows in each of the two tables."""
FORMS = ("table", "array", "text")
"""Models of these forms learn from single rows; those of series do not, and their rows are not kept."""
TABLES = """
CREATE TABLE IF NOT EXISTS origin (id TEXT);
CREATE TABLE IF NOT EXISTS kept (request_id TEXT PRIMARY KEY, model TEXT, version TEXT, time REAL, rows INTEGER,
    size INTEGER, form TEXT, content BLOB);
CREATE TABLE IF NOT EXISTS labelled (number INTEGER PRIMARY KEY AUTOINCREMENT, request_id TEXT UNIQUE, model TEXT,
    version TEXT, time REAL, rows INTEGER, size INTEGER, form TEXT, known INTEGER, answers TEXT, content BLOB);
"""
OLDEST = """
DELETE FROM {table} WHERE rowid <= (SELECT COALESCE(MAX(at), 0) FROM (SELECT rowid AS at,
    SUM(rows) OVER newest AS total, SUM(size) OVER newest AS bytes FROM {table} WINDOW newest AS (ORDER BY rowid DESC))
    WHERE total > ? OR bytes > ?)
"""
JOIN = """
INSERT OR REPLACE INTO labelled (request_id, model, version, time, rows, size, form, known, answers, content)
SELECT request_id, model, version, time, rows, size, form, ?, ?, content FROM (
    SELECT request_id, model, version, time, rows, size, form, content FROM kept WHERE request_id = ? UNION ALL
    SELECT request_id, model, version, time, rows, size, form, content FROM labelled WHERE request_id = ?) LIMIT 1
"""


@dataclass(frozen=True)
class Answered:
    """The rows of one request with their true answers.

    Attributes:
        number: by which later answers have higher ones.
        time: of the prediction, in seconds since 1970.
        rows: {column: values}, a list of texts, or an array [N, ...].
        answers: [N], None where none is known.
    """

    number: int
    time: float
    rows: Any
    answers: list[Any]


class KeptRows:
    """The rows that a worker process keeps. The caller holds the lock of the database.

    Args:
        database: of the feedback.
        most: rows that are kept in each table, and up to a twentieth more for a moment; 0: none, and what was kept
            before is deleted.
    """

    def __init__(self, database: sqlite3.Connection, most: int) -> None:
        self.database, self.most = database, most
        self._waiting: list[tuple[str, str, str, InputSchema, Any, NDArray[np.float64] | None, int]] = []
        self._added = 0
        with database:
            for statement in TABLES.split(";"):
                database.execute(statement)
            database.execute(
                "INSERT INTO origin SELECT ? WHERE NOT EXISTS (SELECT 1 FROM origin)", (secrets.token_hex(8),)
            )
            if not most:
                database.execute("DELETE FROM kept")
                database.execute("DELETE FROM labelled")

    def add(
        self, request_id: str, model: str, version: str, schema: InputSchema, rows: Any,
        raw: NDArray[np.float64] | None, count: int,
    ) -> None:  # fmt: skip
        """Remember the rows of a request until `write`. `raw`: what stands in the cells, where they were read."""
        if self.most:
            self._waiting.append((request_id, model, version, schema, rows, raw, count))

    @property
    def waits(self) -> bool:
        """Whether there is something to write."""
        return bool(self._waiting)

    def write(self) -> None:
        """Write what was collected, inside the caller's transaction, and delete the oldest rows where they are many."""
        waiting, self._waiting = self._waiting, []
        for request_id, model, version, schema, rows, raw, count in waiting:
            self.database.execute("DELETE FROM kept WHERE request_id = ?", (request_id,))
            self.database.execute("UPDATE labelled SET request_id = NULL WHERE request_id = ?", (request_id,))
            if schema.form not in FORMS or count > self.most:
                continue
            content = packed(schema, rows, raw)
            if len(content) <= MOST_BYTES:
                values = (request_id, model, version, time.time(), count, len(content), schema.form, content)
                self.database.execute("INSERT INTO kept VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
                self._added += count
        if self._added > self.most // 20:
            self.delete_oldest()

    def delete_oldest(self) -> None:
        """Delete the oldest rows, as many as are too many."""
        self._added = 0
        for table in ("kept", "labelled"):
            self.database.execute(OLDEST.format(table=table), (self.most, MOST_BYTES))

    def label(self, request_id: str, answers: Sequence[Any]) -> None:
        """Join the rows of a request, where they were kept, with their answers; later answers replace earlier ones."""
        known = sum(answer is not None for answer in answers)
        if self.most and known:
            values = (known, json.dumps(list(answers)), request_id, request_id)
            self._added += self.database.execute(JOIN, values).rowcount and len(answers)
            self.database.execute("DELETE FROM kept WHERE request_id = ?", (request_id,))


def packed(schema: InputSchema, rows: Any, raw: NDArray[np.float64] | None = None) -> bytes:
    """Rows of a request, as `automl.serving.inputs.bodies` gives them, as bytes; without pickle.

    Of a table the columns that the model looks at: numbers as they were read, all other cells as they came.
    """
    if schema.form == "array":
        buffer = io.BytesIO()
        np.save(buffer, np.asarray(rows), allow_pickle=False)
        return buffer.getvalue()
    if schema.form == "text":
        return json.dumps([str(text) for text in rows]).encode()
    columns = {}
    for k, field in enumerate(schema.used):
        if raw is not None and field.role == "number":
            cells = raw[:, k].tolist()
        else:
            cells = rows.values[field.name] if isinstance(rows, Columns) else rows[field.name].tolist()
        columns[field.name] = [_plain(cell) for cell in cells]
    return json.dumps(columns).encode()


def _plain(cell: Any) -> Any:
    """A cell as JSON has it: dates and whatever else as text, a gap as null."""
    if cell is None or isinstance(cell, str | bool | int):
        return cell
    if isinstance(cell, float):
        return cell if np.isfinite(cell) else None
    return None if pd.isna(cell) else str(cell)


def unpacked(form: str, content: bytes) -> Any:
    """What `packed` has written."""
    if form == "array":
        return np.load(io.BytesIO(content), allow_pickle=False)
    return json.loads(content)


class Reader:
    """Reads the labelled rows of a server, which may be running.

    Args:
        file: the database.

    Raises:
        DataError: it is none, or not one of a server that keeps rows.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            self.origin = str(self._all("SELECT id FROM origin")[0][0])
        except (sqlite3.Error, IndexError) as error:
            raise DataError(
                f"{file}: no feedback with rows is there ({error}); start the server with `--keep-rows`"
            ) from error

    def _all(self, query: str, *values: Any) -> list[Any]:
        address = f"{self.file.resolve().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=10)) as database:
            return database.execute(query, values).fetchall()

    def models(self) -> list[str]:
        """The names of the models that have labelled rows."""
        return [str(name) for (name,) in self._all("SELECT DISTINCT model FROM labelled ORDER BY model")]

    def count(self, model: str, after: int) -> int:
        """How many rows have an answer that came after the one of this number."""
        query = "SELECT COALESCE(SUM(known), 0) FROM labelled WHERE model = ? AND number > ?"
        return int(self._all(query, model, after)[0][0])

    def answered(self, model: str, after: int) -> Iterator[Answered]:
        """The requests whose answers came after the one of this number, in the order of their predictions."""
        query = "SELECT number, time, form, answers, content FROM labelled WHERE model = ? AND number > ? ORDER BY time"
        for number, at, form, answers, content in self._all(f"{query}, number", model, after):
            yield Answered(number, at, unpacked(form, content), json.loads(answers))
