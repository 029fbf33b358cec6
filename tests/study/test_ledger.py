"""The ledger: what is written is read again, and damage is told, never hidden."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from automl.core.history import History
from automl.core.space import Float, Space
from automl.core.trial import Failure, State
from automl.errors import LedgerError
from automl.study import paths
from automl.study.ledger.ledger import Ledger
from automl.study.ledger.schema import MIGRATIONS

SPACE = Space.of({"x": Float(0, 1)})


def filled(folder: Path) -> None:
    ledger = Ledger.open(folder)
    ledger.describe(name="s", seed=7)
    for number in range(3):
        ledger.begin(number, {"x": number / 10}, "", at_s=number)
        ledger.attempt(number, 1, number)
        ledger.report(number, 1, 1, 0.5, {"loss": 0.5, "acc": 0.1}, number)
    ledger.end(2, State.DONE, "", None, 5.0)
    ledger.end(0, State.FAILED, "", Failure("nan", "loss is nan", 4, "t"), 6.0)
    ledger.close()


def replayed(ledger: Ledger) -> History:
    history = History(SPACE)
    ledger.replay(history)
    return history


def test_everything_comes_back(tmp_path: Path) -> None:
    filled(tmp_path)
    ledger = Ledger.read_only(tmp_path)
    history = replayed(ledger)
    assert [t.state for t in history.trials] == [State.FAILED, State.RUNNING, State.DONE]
    assert [t.order for t in history.trials] == [1, -1, 0]
    assert history.trials[0].failure == Failure("nan", "loss is nan", 4, "t")
    assert history.trials[1].curve == ((1, 0.5),)
    assert ledger.reports(1) == [(1, {"loss": 0.5, "acc": 0.1})]
    assert ledger.facts() == {"name": "s", "seed": 7}
    assert ledger.elapsed_s() == 6.0
    ledger.close()


def test_order_of_facts_is_kept_over_all_tables(tmp_path: Path) -> None:
    filled(tmp_path)
    db = sqlite3.connect(tmp_path / paths.LEDGER)
    seqs = [s for t in ("trials", "attempts", "reports", "ends") for (s,) in db.execute(f"SELECT seq FROM {t}")]
    db.close()
    assert sorted(seqs) == list(range(1, 12))


def test_the_numbers_of_facts_have_no_gap_whatever_is_written_twice(tmp_path: Path) -> None:
    filled(tmp_path)
    with closing(Ledger.open(tmp_path)) as ledger:
        ledger.attempt_assigned(1, 1, "cpu0")
        ledger.report(1, 1, 1, 0.7, {"loss": 0.7}, 7)
        ledger.report(1, 2, 1, 0.4, {"loss": 0.4}, 8)
        ledger.end(1, State.DONE, "", None, 9.0)
        assert ledger.reports(1) == [(1, {"loss": 0.5, "acc": 0.1}), (2, {"loss": 0.4})]
        assert ledger.attempts(1)[0]["worker"] == "cpu0"
        assert ledger.db.execute("SELECT MAX(seq) FROM ends").fetchone() == (13,)


def test_a_trial_cannot_end_twice(tmp_path: Path) -> None:
    filled(tmp_path)
    with closing(Ledger.open(tmp_path)) as ledger, pytest.raises(LedgerError):
        ledger.end(2, State.DONE, "", None, 7.0)


def test_a_newer_ledger_is_refused(tmp_path: Path) -> None:
    filled(tmp_path)
    db = sqlite3.connect(tmp_path / paths.LEDGER)
    db.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    db.close()
    for opening in (Ledger.open, Ledger.read_only):
        with pytest.raises(LedgerError, match="newer automl"):
            opening(tmp_path)


@pytest.mark.parametrize("damage", ["header", "truncated", "text"])
def test_a_damaged_ledger_is_told(tmp_path: Path, damage: str) -> None:
    filled(tmp_path)
    file = tmp_path / paths.LEDGER
    content = bytearray(file.read_bytes())
    if damage == "header":
        content[:16] = b"\0" * 16
    elif damage == "truncated":
        del content[len(content) // 2 :]
    else:
        content = bytearray(b"this is no database at all, but long enough to be read as one" * 100)
    file.write_bytes(content)
    with pytest.raises(LedgerError), closing(Ledger.open(tmp_path)) as ledger:
        replayed(ledger)


def test_no_study_there(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="no study here"):
        Ledger.read_only(tmp_path)
