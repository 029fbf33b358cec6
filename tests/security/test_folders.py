"""Study folders of a stranger: nothing outside of one is written, deleted or read through what lies in it."""

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

import automl
from automl import Study
from automl.cli.app import app
from automl.core.space import Float
from automl.errors import LedgerError
from automl.study.ledger.repair import repair
from automl.study.paths import LEDGER

TOP = ["ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm", "ledger.sqlite-journal", "driver.lock", "trials",
       "best", ".best.new", ".best.old", "ensemble", "finalists", "refit", "logs", "lanes.json", "report.html",
       "ledger.v2.backup", "ledger.sqlite.damaged", "ledger.sqlite.repaired"]  # fmt: skip
INNER = ["trials/00000", "trials/00000/bundle", "trials/00003", "refit/00000", "logs/worker.log"]


def train(trial: automl.Trial) -> None:
    state = trial.load() or {"x": trial["x"]}
    for step in trial.steps(3):
        trial.report(loss=trial["x"] / step)
        trial.save(state)


def search(path: Path, trials: int = 4) -> Study:
    return automl.search(
        train, space={"x": Float(0, 1)}, metric="loss", trials=trials, executor="inline", path=path, finalists=None
    )


def snapshot(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    (folder / "00000").mkdir(parents=True)
    for name in ("precious", "00000/precious", "00000/manifest.json", "manifest.json", "00000/00000001.ckpt", "a.log"):
        (folder / name).write_text("precious")
    return folder


LINKS = [(name, "folder") for name in TOP + INNER] + [
    (name, to) for name in TOP + INNER if "." in name for to in ("file", "nothing")
]


@pytest.mark.parametrize(("name", "to"), LINKS)
def test_no_symbolic_link_is_followed(tmp_path: Path, outside: Path, name: str, to: str) -> None:
    study = tmp_path / "s"
    search(study)
    place = study / name
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    place.symlink_to({"folder": outside, "file": outside / "precious", "nothing": outside / "new"}[to])
    before = snapshot(outside)
    for go in (lambda: search(study, 6), lambda: repair(study), lambda: Study.open(study)):
        with suppress(LedgerError):
            go()
    if name == "report.html":
        assert CliRunner().invoke(app, ["report", str(study)]).exit_code == 0
        assert not place.is_symlink()
    assert snapshot(outside) == before


@pytest.mark.parametrize("name", ["trials", "best", "logs", "driver.lock", "trials/00003"])
@pytest.mark.catalogue(59, "a symbolic link in a study's folder", "refused; nothing outside is written or deleted", 3)
def test_a_link_is_named_with_the_remedy(tmp_path: Path, outside: Path, name: str) -> None:
    study = tmp_path / "s"
    search(study)
    place = study / name
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
    place.symlink_to(outside)
    with pytest.raises(LedgerError, match=rf"{name}' is a symbolic link, .*; put what it points to in its place"):
        search(study, 6)


def test_the_folder_of_a_study_may_be_a_link(tmp_path: Path) -> None:
    search(tmp_path / "disk" / "s")
    (tmp_path / "s").symlink_to(tmp_path / "disk" / "s")
    assert search(tmp_path / "s", 6).counts.done == 6


@pytest.mark.parametrize("name", ["ledger.sqlite", "driver.lock", "logs/worker.log"])
def test_no_second_name_of_a_file_is_written(tmp_path: Path, outside: Path, name: str) -> None:
    search(tmp_path / "s")
    place = tmp_path / "s" / name
    place.parent.mkdir(exist_ok=True)
    place.touch()
    os.link(place, outside / "second")
    with pytest.raises(LedgerError, match="a second name elsewhere"):
        search(tmp_path / "s", 6)


def test_a_journal_that_would_have_another_file_deleted_is_refused(tmp_path: Path, outside: Path) -> None:
    """SQLite deletes the file that a journal calls its super-journal, once it has rolled it back."""
    search(tmp_path / "s")
    name = str(outside / "precious").encode()
    end = len(name).to_bytes(4, "big") + sum(name).to_bytes(4, "big")
    magic = bytes.fromhex("d9d505f920a163d7")
    header = magic + b"".join(n.to_bytes(4, "big") for n in (0, 1, 1, 512, 4096))
    (tmp_path / "s" / f"{LEDGER}-journal").write_bytes(
        header.ljust(512, b"\0") + (1).to_bytes(4, "big") + name + end + magic
    )
    with pytest.raises(LedgerError, match="no search leaves this file"):
        search(tmp_path / "s", 6)
    Study.open(tmp_path / "s").close()
    assert (outside / "precious").read_text() == "precious"


def test_statements_of_the_ledgers_own_are_not_run(tmp_path: Path) -> None:
    search(tmp_path / "s")
    with closing(sqlite3.connect(tmp_path / "s" / LEDGER)) as db, db:
        db.execute("CREATE TRIGGER t AFTER INSERT ON reports BEGIN UPDATE trials SET config = '{}'; END")
    for go in (lambda: search(tmp_path / "s", 6), lambda: Study.open(tmp_path / "s")):
        with pytest.raises(LedgerError, match="it has a trigger 't' that no ledger has"):
            go()


def test_a_new_ledger_needs_no_journal(tmp_path: Path) -> None:
    """It is written as a whole, with a write-ahead log: a kill at no moment leaves a journal."""
    seen: set[str] = set()
    connect = sqlite3.connect

    def spying(*args: object, **options: object) -> sqlite3.Connection:
        db = connect(*args, **options)  # type: ignore[call-overload]
        db.set_trace_callback(lambda _: seen.update(p.name for p in tmp_path.glob("s/*")))
        return db  # type: ignore[no-any-return]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", spying)
        search(tmp_path / "s", 1)
    assert LEDGER in seen
    assert f"{LEDGER}-journal" not in seen
