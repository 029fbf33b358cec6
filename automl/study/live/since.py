"""What a ledger has that it did not have at an earlier look: found by keys, so that old rows are not read again."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from automl.errors import LedgerError
from automl.study.ledger.checksums import CHECKSUM, COVERED, row_name
from automl.study.ledger.kinds import COLUMNS
from automl.study.ledger.schema import REPAIR, Fact, tables, translated

LIVE = "trial IN (SELECT value FROM json_each(:live))"
"""Only a trial that has not ended gets further rows."""
WHERE = {
    "trials": "number >= :begun",
    "attempts": f"{LIVE} AND attempt > 1",
    "reports": LIVE,
    "pauses": "TRUE",
    "ends": LIVE,
    "edits": "TRUE",
}
"""How the new rows of a table are found; besides, their number is larger than the last one that is known."""


@contextmanager
def moment(db: sqlite3.Connection) -> Iterator[None]:
    """All that is read inside is of one moment, whatever is written meanwhile."""
    with translated(None, reading=True):
        db.execute("BEGIN")
    try:
        yield
    finally:
        with suppress(sqlite3.Error):
            db.execute("COMMIT")


def last(db: sqlite3.Connection) -> int:
    """The number of the last fact."""
    with translated(None, reading=True):
        found = [db.execute(f"SELECT COALESCE(MAX(seq), 0) FROM {table}").fetchone()[0] for table in tables(db)]
    if wrong := [number for number in found if not isinstance(number, int)]:
        raise LedgerError(f"the ledger is damaged: a row has the number {wrong[0]!r:.50}; {REPAIR}")
    return int(max(found))


def facts(db: sqlite3.Connection, seq: int, begun: int, live: Iterable[int]) -> list[Fact]:
    """The facts after the one with the number `seq`, in the order they became known; those of a report have its
    metrics, as JSON, at their end.

    Args:
        db: a ledger of the present version, in a transaction.
        seq: the number of the last fact that is known.
        begun: how many trials are known.
        live: those of them that had not ended.

    Raises:
        LedgerError: a row is damaged.
    """
    with translated(None, reading=True):
        new = list(_rows(db, "trials", {"seq": seq, "begun": begun}))
        values = {"seq": seq, "live": json.dumps([*live, *(row[0] for row in new)])}
        found = [("trials", row) for row in new]
        found += [(table, row) for table in WHERE if table != "trials" for row in _rows(db, table, values)]
    return sorted((_fact(table, row) for table, row in found), key=lambda fact: fact[0])


def _rows(db: sqlite3.Connection, table: str, values: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """The new rows of a table, their covered columns, each checked as a replay of the whole would check it."""
    same = CHECKSUM[table]
    usual = " AND ".join(condition.format(column) for column, condition in COLUMNS[table].items())
    query = f"SELECT {', '.join(COVERED[table])}, sum, {usual} FROM {table} WHERE {WHERE[table]} AND seq > :seq"
    for *row, sum_, fits in db.execute(query, values):
        if not fits or (sum_ is not None and sum_ != same(*row)):
            raise LedgerError(f"the ledger is damaged: {row_name(table, tuple(row))} is not what was written; {REPAIR}")
        yield tuple(row)


def _fact(table: str, row: tuple[Any, ...]) -> Fact:
    match table:
        case "trials":
            number, seq, at_s, config, origin, asked = row
            return seq, "begun", number, config, origin, at_s, asked
        case "attempts":
            trial, attempt, seq, at_s = row
            return seq, "again", trial, attempt, None, at_s, None
        case "reports":
            trial, step, seq, at_s, _, value, metrics, _ = row
            return seq, "report", trial, step, value, at_s, metrics
        case "pauses":
            seq, trial, at_s, step, reason = row
            return seq, "pause", trial, step, reason, at_s, None
        case "ends":
            trial, seq, at_s, state, reason, failure = row
            return seq, "end", trial, state, reason, at_s, failure
        case _:
            seq, at_s, request, source, what = row
            return seq, "edit", -1, what, source, at_s, request
