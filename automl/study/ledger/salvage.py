"""What can still be read of a damaged ledger, see `repair`.

SQLite reads a table page by page: the rows of a damaged page are lost, the others can be read. So all tables are read
twice, from the beginning and from the end, each time up to the first page that cannot be read. A row whose checksum is
wrong because of a single flipped bit is put right, others are not used.

A lost report would change the curve of its trial unseen, so it matters which trials may have lost one. The rows of
`reports` are in the order of their trials: what was lost between two rows that can be read belongs to one of the trials
from the first row's to the second's. Where a page says that it has fewer rows than it has, nothing between them is
seen to be missing; then the numbers of the facts, which have no gaps, tell when the lost ones were written.
"""

import sqlite3
from bisect import bisect
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from automl.errors import LedgerError
from automl.study.ledger.checksums import CHECKSUM, COVERED, corrected
from automl.study.ledger.schema import SINCE, TABLES, structure
from automl.study.opening import MOST_BYTES

KEYS = {"study": "rowid", "trials": "number", "attempts": "trial", "reports": "trial", "pauses": "seq", "ends": "trial",
        "edits": "seq"}  # fmt: skip
COLUMNS = {**COVERED, "attempts": (*COVERED["attempts"], "worker", "outcome", "details")}
SEQ = {table: COLUMNS[table].index("seq") for table in TABLES}
"""{table: which of its columns is the number of the fact}."""
Row = tuple[Any, ...]
Rows = dict[str, list[Row]]
"""{table: its rows}."""


@dataclass
class Salvage:
    """What could be read.

    Args:
        rows: that can be used.
        lost: what could not be read or used, one sentence each.
        cut: trials that may have lost reports.
    """

    rows: Rows = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    cut: set[int] = field(default_factory=set)


def read(source: Path) -> Salvage:
    """Read a damaged ledger.

    Raises:
        LedgerError: nothing can be read.
    """
    found = Salvage()
    first = _first_checksum(source)
    for table in COLUMNS:
        scans = _Scan(source, table, "ASC", first), _Scan(source, table, "DESC", first)
        rows = {_identity(table, row): row for scan in scans for row in scan.rows()}
        found.rows[table] = list(rows.values())
        found.lost += _losses(table, scans)
        if table == "reports":
            found.cut = _between(*scans, max((row[0] for row in found.rows["trials"]), default=0))
    if not found.rows["study"] and not found.rows["trials"]:
        raise LedgerError(f"{source}: nothing in it can be read ({'; '.join(found.lost) or 'it is empty'})")
    if not found.cut and _structure(source):
        found.cut = _alive_at_gaps(found.rows)
    return found


class _Scan:
    """One reading of a table, up to the first page that cannot be read.

    Args:
        source, table: the ledger, and which of its tables.
        order: ASC or DESC.
        first: the number of the first fact with a checksum; later rows without one are misread.
    """

    def __init__(self, source: Path, table: str, order: str, first: float) -> None:
        self.source, self.table, self.order, self.first = source, table, order, first
        self.error = ""
        self.changed: set[Any] = set()  # the first column of rows that are not what was written
        self.mended: set[Any] = set()  # that of rows in which a single bit was flipped, and is right again
        self.gaps: list[tuple[Row | None, Row | None]] = []  # the rows before and behind those that cannot be used

    def rows(self) -> Iterator[Row]:
        """The rows that can be used."""
        last: Row | None = None
        whole = True  # no row was left out since `last`
        try:
            for row in self._read():
                ordered = row is None or last is None or self._follows(last, row)
                whole = whole and ordered and row is not None
                if row is None:
                    continue
                if not whole:
                    self.gaps.append((last, row))
                last, whole = row, True
                yield row
        except (sqlite3.Error, MemoryError, UnicodeError) as error:  # a damaged length can ask for any amount of memory
            self.error, whole = str(error) or "a row of impossible length", False
        if not whole:
            self.gaps.append((last, None))

    def _follows(self, last: Row, row: Row) -> bool:
        """Whether a row is where it belongs; a damaged page may show another row twice."""
        if self.table == "study":
            return True
        try:
            one, other = _identity(self.table, last), _identity(self.table, row)
            return one < other if self.order == "ASC" else other < one
        except TypeError:  # a row without a checksum may hold anything
            return False

    def _read(self) -> Iterator[Row | None]:
        """Each row as it was written, None where that is not known; in a new connection, as an error may spoil one."""
        table, covered = self.table, len(COVERED[self.table])
        for *values, sum_ in _select(self.source, table, self.order):
            row: Row | None = tuple(values[:covered])
            if sum_ is None and table in SEQ and not _older(values[SEQ[table]], self.first):
                row = None
                self.changed.add(values[0])
            elif sum_ is not None and sum_ != CHECKSUM[table](*values[:covered]):
                row = corrected(table, values[:covered], sum_)
                (self.changed if row is None else self.mended).add(values[0])
            yield None if row is None else tuple(_clean(value) for value in (*row, *values[covered:]))


def _select(source: Path, table: str, order: str) -> Iterator[Row]:
    """All columns of a table's rows, and their checksum."""
    with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as db:
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_BYTES)
        db.text_factory = lambda raw: raw.decode(errors="surrogateescape")
        present = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
        if not present and table in SINCE:  # an older file
            return
        columns = ", ".join(c if c in present else f"NULL AS {c}" for c in (*COLUMNS[table], "sum"))
        yield from db.execute(f"SELECT {columns} FROM {table} NOT INDEXED ORDER BY {KEYS[table]} {order}")


def _first_checksum(source: Path) -> float:
    """The number of the first fact whose checksum is right; infinite where none has one."""
    first = float("inf")
    for table, at in SEQ.items():
        with suppress(sqlite3.Error, MemoryError, UnicodeError):
            for *values, sum_ in _select(source, table, "ASC"):
                if sum_ is not None and sum_ == CHECKSUM[table](*values[: len(COVERED[table])]):
                    first = min(first, values[at])
    return first


def _older(seq: object, first: float) -> bool:
    return isinstance(seq, int) and seq < first


def _losses(table: str, scans: tuple[_Scan, _Scan]) -> list[str]:
    """What could not be read of a table, one sentence each."""
    lost = []
    changed, mended = (set.union(*sets) for sets in zip(*((s.changed, s.mended) for s in scans), strict=True))
    if mended:
        lost.append(f"{table}: a flipped bit was put right in: {_listed(mended)}")
    if changed:
        lost.append(f"{table}: not used, because they are not what was written: {_listed(changed)}")
    if errors := {scan.error for scan in scans if scan.error}:
        lost.append(f"{table}: not all can be read ({'; '.join(sorted(errors))})")
    return lost


def _between(forwards: _Scan, backwards: _Scan, last: int) -> set[int]:
    """The trials that may have lost reports, where rows could not be used.

    Args:
        forwards, backwards: both readings of the reports.
        last: the number of the study's last trial.
    """
    both_failed = bool(forwards.error and backwards.error)  # else one of the readings has seen all rows
    cut: set[int] = set()
    for scan, other in ((forwards, backwards), (backwards, forwards)):
        for before, behind in scan.gaps:
            if behind is None and scan.error:
                if not both_failed:
                    continue
                behind = other.gaps[-1][0]  # the last row that the other reading could use
            low, high = (before, behind) if scan is forwards else (behind, before)
            first, final = low[0] if low else 0, high[0] if high else last
            cut |= {first, final} | set(range(first, final + 1))
    return cut


def _structure(source: Path) -> str:
    """What is wrong with the pages of a file; empty where nothing is."""
    try:
        with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as db:
            return structure(db)
    except (sqlite3.Error, MemoryError, UnicodeError) as error:
        return str(error) or "it cannot be read"


def _alive_at_gaps(rows: Rows) -> set[int]:
    """The trials that had begun and not ended when a fact was written that is lost."""
    known = {row[at] for table, at in SEQ.items() for row in rows[table] if isinstance(row[at], int)}
    missing = sorted(set(range(1, max(known, default=0))) - known)
    ends = {row[0]: row[SEQ["ends"]] for row in rows["ends"]}
    lives = {row[0]: (row[SEQ["trials"]], ends.get(row[0], float("inf"))) for row in rows["trials"]}
    return {trial for trial, (begun, ended) in lives.items() if bisect(missing, begun) < bisect(missing, ended)}


def _clean(value: Any) -> Any:
    return value.encode(errors="surrogateescape").decode(errors="replace") if isinstance(value, str) else value


def _listed(names: set[Any]) -> str:
    shown = sorted(str(name)[:50] for name in names)
    return f"{', '.join(shown[:10])}{f' and {len(shown) - 10} more' if len(shown) > 10 else ''}"


def _identity(table: str, row: Row) -> Row:
    """What makes a row of its table unique."""
    return row[:2] if table in ("attempts", "reports") else row[:1]
