"""A checksum for each row of the ledger, so that a changed number is seen: SQLite checks the structure of pages only.

Rows of version 2 and before have none. Of attempts, only what never changes is covered. A checksum finds damage, not
intent: whoever writes a row on purpose can write its checksum too.
"""

import sqlite3
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from automl.errors import LedgerError

COVERED = {
    "study": ("key", "value"),
    "trials": ("number", "seq", "at_s", "config", "origin", "asked"),
    "attempts": ("trial", "attempt", "seq", "at_s"),
    "reports": ("trial", "step", "seq", "at_s", "attempt", "value", "metrics", "horizon"),
    "pauses": ("seq", "trial", "at_s", "step", "reason"),
    "ends": ("trial", "seq", "at_s", "state", "reason", "failure"),
    "edits": ("seq", "at_s", "request", "source", "what"),
}
"""{table: the columns that go into a row's checksum, in the order in which `CHECKSUM[table]` takes them}."""

LONGEST = 20_000
"""Characters of a text in which a flipped bit is searched for."""
_PACKS = [struct.Struct(f"<{n}d").pack for n in range(9)]  # 1 and 1.0 are the same, as in the database
_NULL = float("nan")


def _crc(numbers: tuple[Any, ...], *texts: str | None) -> int:
    """CRC-32 of numbers and texts."""
    try:
        found = zlib.crc32(_PACKS[len(numbers)](*numbers))
    except (struct.error, TypeError, OverflowError):  # NULL, or what only a damaged file has
        found = zlib.crc32(repr([_NULL if one is None else one for one in numbers]).encode(errors="replace"))
    for text in texts:
        if isinstance(text, bytes):  # only a damaged file has these
            found = zlib.crc32(text, ~found & 0xFFFFFFFF)
        else:
            found = zlib.crc32(b"\xff" if text is None else str(text).encode(errors="surrogateescape") + b"\xfe", found)
    return found


CHECKSUM: dict[str, Callable[..., int]] = {
    "study": lambda key, value: _crc((), key, value),
    "trials": lambda number, seq, at_s, config, origin, asked: _crc(
        (number, seq, at_s, -1 if asked is None else asked), config, origin
    ),
    "attempts": lambda trial, attempt, seq, at_s: _crc((trial, attempt, seq, at_s)),
    "reports": lambda trial, step, seq, at_s, attempt, value, metrics, horizon: _crc(
        (trial, step, seq, at_s, attempt, value + 0.0 if value == 0 else value, -1 if horizon is None else horizon),
        metrics,
    ),
    "pauses": lambda seq, trial, at_s, step, reason: _crc((seq, trial, at_s, step), reason),
    "ends": lambda trial, seq, at_s, state, reason, failure: _crc((trial, seq, at_s), state, reason, failure),
    "edits": lambda seq, at_s, request, source, what: _crc((seq, at_s), request, source, what),
}
"""{table: the checksum of a row}; SQLite stores -0.0 as 0.0, so a report's value of zero has no sign."""


def wrong(db: sqlite3.Connection, *tables: str) -> dict[str, list[tuple[Any, ...]]]:
    """{table: the rows that are not what was written}."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    present = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for table in tables or [name for name in COVERED if name in present]:
        same = CHECKSUM[table]
        rows = db.execute(f"SELECT {', '.join(COVERED[table])}, sum FROM {table} WHERE sum IS NOT NULL")
        if bad := [row[:-1] for row in rows if row[-1] != same(*row[:-1])]:
            found[table] = bad
    return found


def verify(db: sqlite3.Connection, remedy: str, *tables: str) -> None:
    """Check all rows (of these tables).

    Raises:
        LedgerError: a row is not what was written; says where, and the `remedy`.
    """
    for table, rows in wrong(db, *tables).items():
        more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
        raise LedgerError(f"the ledger is damaged: {row_name(table, rows[0])}{more} is not what was written; {remedy}")


def corrected(table: str, row: Sequence[Any], sum_: object) -> tuple[Any, ...] | None:
    """The row as it was written, where a single bit of it or of its checksum was flipped since; None where it was more.

    Args:
        table, row: the covered columns of a row that does not fit its checksum.
        sum_: its checksum; texts are decoded with `surrogateescape`.
    """
    same = CHECKSUM[table]
    if not isinstance(sum_, int):
        return None
    if (same(*row) ^ sum_).bit_count() == 1:
        return tuple(row)
    for k, value in enumerate(row):
        for other in _one_bit_off(value) if len(str(value)) < LONGEST else ():
            candidate = (*row[:k], other, *row[k + 1 :])
            if same(*candidate) == sum_:
                return candidate
    return None


def _one_bit_off(value: Any) -> Iterator[Any]:
    """All values that differ from this one in one bit."""
    if isinstance(value, int):
        yield from (value ^ 1 << k for k in range(63))
    elif isinstance(value, float):
        (bits,) = struct.unpack("<q", struct.pack("<d", value))
        yield from (struct.unpack("<d", struct.pack("<Q", (bits ^ 1 << k) % 2**64))[0] for k in range(64))
    elif isinstance(value, str):
        content = bytearray(value.encode(errors="surrogateescape"))
        for k in range(8 * len(content)):
            content[k // 8] ^= 1 << k % 8
            yield content.decode(errors="surrogateescape")
            content[k // 8] ^= 1 << k % 8


def row_name(table: str, row: tuple[Any, ...]) -> str:
    """What a message calls a row: `the report of trial 3 at step 2`."""
    first, second = (str(value)[:50] for value in row[:2])
    return {
        "study": f"the study's {first!r}",
        "trials": f"the config of trial {first}",
        "attempts": f"attempt {second} of trial {first}",
        "reports": f"the report of trial {first} at step {second}",
        "pauses": f"a pause of trial {second}",
        "ends": f"the end of trial {first}",
        "edits": f"edit {first}",
    }[table]
