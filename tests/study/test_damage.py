"""A ledger that was damaged, emptied, or is of another program or version: told in a sentence, never begun anew."""

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import automl
from automl import Study
from automl.core.space import Float
from automl.errors import AutoMLError, LedgerError
from automl.study import safety
from automl.study.ledger import checksums
from automl.study.ledger.ledger import Ledger
from automl.study.ledger.repair import repair
from automl.study.paths import LEDGER, LOCK


def begun(path: Path) -> Study:
    return Study({"x": Float(0, 1)}, metric="loss", strategy="random", trials=6, seed=1, path=path)


def filled(path: Path) -> list[Any]:
    with begun(path) as study:
        while (trial := study.ask()) is not None:
            for step in (1, 2, 3):
                study.report(trial, step, {"loss": trial["x"] / step, "other": 0.0})
            study.finish(trial)
    return board(path)


def board(path: Path) -> list[Any]:
    view = Study.open(path)
    rows = [(t.number, dict(t.config), t.state, t.curve) for t in view.history.trials]
    view.close()
    return rows


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path / LEDGER)) as db, db:
        db.execute(statement)


CHANGES = {
    "UPDATE reports SET value = value + 1e-9 WHERE trial = 2 AND step = 3": "the report of trial 2 at step 3",
    "UPDATE reports SET metrics = replace(metrics, '0.0', '0.1') WHERE trial = 4": r"at step 1 \(and 2 more\)",
    "UPDATE reports SET attempt = 2 WHERE trial = 1 AND step = 1": "the report of trial 1 at step 1",
    "UPDATE trials SET config = replace(config, '0.', '0.1') WHERE number = 3": "the config of trial 3",
    "UPDATE attempts SET at_s = at_s + 1 WHERE trial = 5": "attempt 1 of trial 5",
    "UPDATE ends SET state = 'failed' WHERE trial = 0": "the end of trial 0",
    "UPDATE study SET value = '2' WHERE key = 'seed'": "the study's 'seed'",
}


@pytest.mark.parametrize("statement", CHANGES)
@pytest.mark.catalogue(
    18,
    "a flipped bit in a number of the ledger",
    "an error that names the row; `automl repair` corrects a single flipped bit",
    3,
)
def test_a_changed_value_is_named_with_its_row_and_the_remedy(tmp_path: Path, statement: str) -> None:
    filled(tmp_path / "s")
    change(tmp_path / "s", statement)
    for read in (Study.open, begun):
        with pytest.raises(LedgerError, match=rf"{CHANGES[statement]}.* is not what was written; `automl repair`"):
            read(tmp_path / "s")


def test_a_single_flipped_bit_anywhere_is_told_or_harmless_and_put_right(tmp_path: Path) -> None:
    whole = filled(tmp_path / "s")
    content = bytearray((tmp_path / "s" / LEDGER).read_bytes())
    rng = random.Random(0)
    told = right = 0
    used = [at for at in range(len(content)) if content[at]]
    heads = [at for at in range(len(content)) if at % 4096 < 48]  # of pages: what is in them, and where
    for at in {*rng.sample(used, 60), *rng.sample(heads, 60)}:
        copy = tmp_path / f"at{at}"
        copy.mkdir()
        flipped = bytearray(content)
        flipped[at] ^= 1 << rng.randrange(7)
        (copy / LEDGER).write_bytes(flipped)
        try:
            assert board(copy) == whole, f"a flipped bit at {at} goes unnoticed"
        except LedgerError:
            told += 1
            try:
                repair(copy)
            except LedgerError:
                continue
            saved = board(copy)
            right += saved == whole
            for one in saved:
                assert one == whole[one[0]] or one[2] == "running", f"a flipped bit at {at} is repaired wrongly"
    assert told > 30
    assert right > 0.4 * told


@pytest.mark.parametrize("table", ["reports", "ends", "attempts"])
def test_rows_that_a_page_does_not_count_are_missed(tmp_path: Path, table: str) -> None:
    whole = filled(tmp_path / "s")
    file = tmp_path / "s" / LEDGER
    with closing(sqlite3.connect(file)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    content = bytearray(file.read_bytes())
    content[(page - 1) * 4096 + 4] -= 2  # the number of rows
    file.write_bytes(content)
    with pytest.raises(LedgerError, match=r"the ledger is damaged .*; `automl repair`"):
        Study.open(tmp_path / "s")
    repair(tmp_path / "s")
    for row in board(tmp_path / "s"):
        assert row == whole[row[0]] or (row[2] == "running" and row[3] in ((), whole[row[0]][3]))
    assert filled(tmp_path / "s") == whole


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE reports SET value = {} WHERE trial = 2 AND step = 3",
        "UPDATE trials SET config = {} WHERE number = 3",
        "UPDATE ends SET seq = {} WHERE trial = 1",
    ],
)
def test_repair_puts_a_flipped_bit_right(tmp_path: Path, statement: str) -> None:
    whole = filled(tmp_path / "s")
    table, column, where = statement.split()[1], statement.split()[3], statement.split("WHERE")[1]
    with closing(sqlite3.connect(tmp_path / "s" / LEDGER)) as db, db:
        (value,) = db.execute(f"SELECT {column} FROM {table} WHERE {where}").fetchone()
        flipped = list(checksums._one_bit_off(value))[17]
        db.execute(statement.format("?"), (flipped,))
    with pytest.raises(LedgerError, match="not what was written"):
        board(tmp_path / "s")
    done = repair(tmp_path / "s")
    assert (done.trials, done.ended, done.reports) == (6, 6, 18)
    assert "a flipped bit was put right" in str(done)
    assert board(tmp_path / "s") == whole


def test_more_damage_than_a_bit_is_not_used_and_the_trial_is_trained_again(tmp_path: Path) -> None:
    whole = filled(tmp_path / "s")
    change(tmp_path / "s", "UPDATE reports SET value = 0.123 WHERE trial = 2 AND step = 3")
    assert "reports: not used, because they are not what was written: 2" in str(repair(tmp_path / "s"))
    assert board(tmp_path / "s")[2][2:] == ("running", ())
    assert filled(tmp_path / "s") == whole


def test_rows_of_before_have_no_checksum_and_are_read(tmp_path: Path) -> None:
    whole = filled(tmp_path / "s")
    with closing(sqlite3.connect(tmp_path / "s" / LEDGER)) as db, db:
        db.execute("DROP TABLE edits")
        for table in safety.TABLES - {"edits"}:
            db.execute(f"ALTER TABLE {table} DROP COLUMN sum")
        db.execute("PRAGMA user_version=2")
    assert board(tmp_path / "s") == whole
    with begun(tmp_path / "s"):
        assert board(tmp_path / "s") == whole
    assert (tmp_path / "s" / "ledger.v2.backup").is_file()
    assert board(tmp_path / "s") == whole


def test_numbers_that_the_database_stores_in_another_form(tmp_path: Path) -> None:
    with closing(Ledger.open(tmp_path)) as ledger:
        ledger.begin(0, {"x": 1}, "", 0)
        for step, value in enumerate([-0.0, 0, 3, 3.0, 1e308, 5e-324, 2**53, float("inf")], 1):
            ledger.report(0, step, 1, value, {"loss": value}, step, None)
        ledger.commit()
    with closing(Ledger.read_only(tmp_path)) as ledger:
        assert checksums.wrong(ledger._db) == {}


# -- parts that are missing ----------------------------------------------------------------------------------------


def refused(path: Path, match: str) -> None:
    """Neither reading nor going on begins the study anew."""
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    for read in (Study.open, begun):
        with pytest.raises(LedgerError, match=match):
            read(path)
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file() if file.name != LOCK} == {
        file: content for file, content in before.items() if file.name != LOCK
    }


@pytest.mark.catalogue(18, "the ledger was emptied", "an error; no new ledger is begun", 3)
def test_an_emptied_ledger_is_told(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / LEDGER).write_bytes(b"")
    refused(tmp_path, r"ledger\.sqlite is empty: put a copy of it back")


def test_a_ledger_without_content_is_told(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / LEDGER).unlink()
    sqlite3.connect(tmp_path / LEDGER).execute("VACUUM").connection.close()
    refused(tmp_path, "is empty|a database without content")


@pytest.mark.parametrize("left", ["trials", "best", "finalists", "ensemble"])
@pytest.mark.catalogue(
    18, "the ledger is missing, but its trials' files are there", "an error; no new ledger is begun", 3
)
def test_a_missing_ledger_beside_what_a_study_left_is_told(tmp_path: Path, left: str) -> None:
    (tmp_path / left / "00000").mkdir(parents=True)
    with pytest.raises(LedgerError, match=rf"there is {left} of a study, but no ledger\.sqlite: put it back"):
        begun(tmp_path)
    with pytest.raises(LedgerError, match="no study here"):
        Study.open(tmp_path)
    assert not (tmp_path / LEDGER).exists()


def killed(path: Path, copy: Path) -> Path:
    """What a study looks like whose driver is killed before it closes the ledger."""
    with begun(path) as study:
        for _ in range(3):
            study.tell(study.ask(), loss=0.5)  # type: ignore[arg-type]
        shutil.copytree(path, copy)
    return copy


@pytest.mark.catalogue(
    18, "the ledger's write-ahead log is missing after a kill", "an error; `automl repair` goes on without it", 3
)
def test_a_lost_write_ahead_log_is_told_and_repair_goes_on_without_it(tmp_path: Path) -> None:
    study = killed(tmp_path / "a", tmp_path / "b")
    assert len(board(study)) == 3
    (study / f"{LEDGER}-wal").unlink()
    (study / f"{LEDGER}-shm").unlink(missing_ok=True)
    refused(study, r"ledger\.sqlite-wal is missing, which holds its last changes: put it back")
    with pytest.raises(LedgerError, match=r"cannot be read any more|nothing in it"):
        repair(study)  # all was in the log


def test_a_killed_search_with_its_log_goes_on(tmp_path: Path) -> None:
    study = killed(tmp_path / "a", tmp_path / "b")
    with begun(study) as going:
        assert len(going.history) == 3
    assert (study / LOCK).read_text() == ""
    assert len(board(study)) == 3


def test_a_closed_search_needs_no_log(tmp_path: Path) -> None:
    whole = filled(tmp_path)
    for file in tmp_path.glob(f"{LEDGER}-*"):
        file.unlink()
    assert filled(tmp_path) == whole


# -- other versions and other programs -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statements", "match"),
    [
        (["PRAGMA user_version=9"], r"written by a newer automl \(ledger version 9, not 4\); update automl"),
        (["PRAGMA user_version=-1"], r"another program's database \(version -1\)"),
        (["PRAGMA user_version=0"], "not the ledger of a study but another program's database"),
        (["DROP TABLE ends"], r"another program's database \(there is no table ends\)"),
        (["ALTER TABLE reports RENAME TO report"], "there is no table reports"),
        (["ALTER TABLE reports RENAME COLUMN value TO val"], "no such column"),
        (["ALTER TABLE trials DROP COLUMN origin"], "no such column"),
        (["DROP TABLE study", "CREATE TABLE study (key TEXT, value TEXT DEFAULT (random()), sum)"], "no ledger has"),
        (["CREATE TRIGGER t AFTER INSERT ON reports BEGIN DELETE FROM trials; END"], "a trigger 't' that no ledger"),
        (["ALTER TABLE ends RENAME TO e", "CREATE VIEW ends AS SELECT * FROM e"], "a view 'ends' that no ledger has"),
        (["CREATE INDEX i ON trials (abs(at_s))"], "an? index 'i' that no ledger has"),
        (["ALTER TABLE reports ADD COLUMN more AS (value + 1)"], "a table 'reports' that no ledger has"),
    ],
    ids=str,
)
@pytest.mark.catalogue(
    18, "the ledger is another program's database, or has triggers", "refused, nothing of it is run", 3
)
def test_what_no_ledger_has_is_refused_in_a_sentence(tmp_path: Path, statements: list[str], match: str) -> None:
    filled(tmp_path)
    with closing(sqlite3.connect(tmp_path / LEDGER)) as db, db:
        for statement in statements:
            db.execute(statement)
    refused(tmp_path, match)


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / LEDGER)) as db, db:
        db.execute("CREATE TABLE mine (a)")
    refused(tmp_path, "not the ledger of a study but another program's database")


def test_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / LEDGER).write_text("trial,loss\n0,0.5\n" * 500)
    refused(tmp_path, "file is not a database")


@pytest.mark.parametrize("seq", ["'x'", "9223372036854775807", "-5", "1.5", "x'00'"])
def test_numbers_of_facts_that_cannot_be(tmp_path: Path, seq: str) -> None:
    filled(tmp_path)
    change(tmp_path, f"UPDATE trials SET sum = NULL, seq = {seq}")
    change(tmp_path, f"UPDATE ends SET sum = NULL, seq = {seq}")
    refused(tmp_path, "damaged|not what was written")


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "/proc/1/root/x"])
def test_every_error_of_open_is_a_ledger_error(name: str) -> None:
    with pytest.raises(LedgerError):
        Study.open(name)
    with pytest.raises(LedgerError):
        automl.Study.open(Path("somewhere") / name)


def test_unusable_places_for_a_new_study_are_told() -> None:
    for name in ("x" * 300, "a\0b"):
        with pytest.raises(AutoMLError):
            begun(Path(name))
