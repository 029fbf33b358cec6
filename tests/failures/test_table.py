"""docs/failures.md says what the tests of the catalogue say."""

from tests.failures import table


def test_the_table_is_up_to_date() -> None:
    assert table.FILE.read_text() == table.table(), "run: python -m tests.failures.table"


def test_rows_are_complete() -> None:
    rows = list(table.rows())
    assert len({number for number, *_ in rows}) >= 39
    assert all(code in (None, 0, 2, 3, 4, 5, 130, 143) for _, _, _, code, _ in rows)
