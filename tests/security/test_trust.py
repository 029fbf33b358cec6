"""A study that was begun on another machine runs none of its code before it is trusted; a moved one is one's own."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import automl
from automl.api import trust
from automl.cli.app import app
from automl.errors import SpecError
from automl.study.ledger.ledger import Ledger
from automl.study.paths import LEDGER

TAIL = "metric: loss\nspace: {x: {float: [0, 1]}}\nstrategy: random\nstopper: none\nfinalists: none\nexecutor: inline\n"
TRAIN = "train: mine_N:train\n" + TAIL + "budget: {trials: 2}\n"
CODE = """import pathlib
pathlib.Path(__file__).with_name('ran').touch()
def train(trial):
    trial.report(loss=trial['x'])
"""
COMMAND = "command: [python, run.py, '{x}']\n" + TAIL + "budget: {trials: 1}\n"
TABLE = ("model: mlp\ndata: t.csv\ntarget: y\nmetric: val_loss\nepochs: 1\nspace: {lr: {float: [0.01, 0.1]}}\n"
         "finalists: none\nexecutor: inline\nbudget: {trials: 1}\n")  # fmt: skip
ROWS = "a,y\n" + "".join(f"{k % 7}.5,{'uv'[k % 2]}\n" for k in range(60))
NAMES = iter(range(1000))


def machine(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """From now on this is the machine whose state lies in `folder`."""
    patch.setenv("XDG_STATE_HOME", str(folder))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    machine(monkeypatch, tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def project(tmp_path: Path, home: Path) -> Path:
    """A search of a training function that was begun here."""
    folder, n = tmp_path / "project", next(NAMES)
    folder.mkdir()
    (folder / f"mine_{n}.py").write_text(CODE)
    (folder / "space.yaml").write_text(TRAIN.replace("N", str(n)))
    automl.search(folder / "space.yaml", path=folder / "studies" / "s")
    (folder / "ran").unlink(missing_ok=True)
    return folder


def facts(study: Path) -> dict[str, Any]:
    with closing(Ledger.read_only(study)) as ledger:
        return ledger.facts()


def rewrite(study: Path, name: str, change: Any) -> None:
    """Change a fact of a study as its author could."""
    value = facts(study)[name]
    change(value)
    with closing(Ledger.open(study)) as ledger:
        ledger.describe(**{name: value})


def test_a_study_that_was_begun_here_goes_on(project: Path, home: Path) -> None:
    assert automl.resume(project / "studies" / "s", trials="+2").counts.done == 4
    key = home / "automl" / "key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert len(key.read_bytes()) == 32
    content = (project / "studies" / "s" / LEDGER).read_bytes()
    assert key.read_bytes() not in content
    assert key.read_bytes().hex().encode() not in content


@pytest.mark.catalogue(
    60,
    "a study that names code was begun on another machine",
    "refused before anything of it is imported; `--trust` allows it, once",
    2,
)
def test_a_study_from_elsewhere_asks_once(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, tmp_path / "other")
    study = project / "studies" / "s"
    rows = Ledger.read_only(study)
    with pytest.raises(SpecError, match=r"not begun on this machine.* names: train: mine_\d+:train.*--trust") as caught:
        automl.resume(study, trials="+2")
    assert caught.value.exit_code == 2
    assert not (project / "ran").exists()
    assert len(rows) == 2
    rows.close()
    assert automl.resume(study, trials="+2", trust=True).counts.done == 4
    assert automl.resume(study, trials="+2").counts.done == 6, "asked once"
    machine(monkeypatch, tmp_path / "home")
    assert automl.resume(study, trials="+2").counts.done == 8, "it is still that of the first machine"


def test_the_option(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, tmp_path / "other")
    study = str(project / "studies" / "s")
    assert isinstance(CliRunner().invoke(app, ["resume", study, "--trials", "+1"]).exception, SpecError)
    assert CliRunner().invoke(app, ["resume", study, "--trials", "+1", "--trust", "-q"]).exit_code == 0


def test_a_command_from_elsewhere_is_not_run(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run.py").write_text("import pathlib\npathlib.Path('ran').touch()\nprint('{\"loss\": 1}')\n")
    (tmp_path / "space.yaml").write_text(COMMAND)
    automl.search(tmp_path / "space.yaml", path=tmp_path / "s")
    (tmp_path / "ran").unlink()
    machine(monkeypatch, tmp_path / "other")
    with pytest.raises(SpecError, match=r"names: command: python run\.py \{x\}"):
        automl.resume(tmp_path / "s", trials="+1")
    assert not (tmp_path / "ran").exists()
    automl.resume(tmp_path / "s", trials="+1", trust=True)
    assert (tmp_path / "ran").exists()


def test_a_table_runs_no_code_and_needs_no_trust(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.csv").write_text(ROWS)
    (tmp_path / "space.yaml").write_text(TABLE)
    automl.search(tmp_path / "space.yaml", path=tmp_path / "s")
    machine(monkeypatch, tmp_path / "other")
    assert automl.resume(tmp_path / "s", trials="+1").counts.done == 2


SPECS = {
    "train: a.b:c": {"train": "a.b:c"},
    "command: sh -c 'x'": {"command": ("sh", "-c", "'x'")},
    "model: m:build": {"model": "m:build", "data": "digits"},
    "data: m:load": {"model": "mlp", "data": "m:load"},
    "executor: ray": {"model": "mlp", "data": "digits", "executor": {"name": "ray", "address": "evil:6379"}},
    "executor: theirs": {"model": "mlp", "data": "t.csv", "executor": {"name": "theirs"}},
    "": {"model": "mlp", "data": "t.csv", "executor": {"name": "local"}},
}


@pytest.mark.parametrize("named", SPECS)
def test_what_runs_code_or_connects_to_another_machine(named: str) -> None:
    read = automl.specfile.parse("study: s\n" + TAIL + "command: [sh]\nbudget: {trials: 1}\n")
    from dataclasses import replace

    given = {"command": None, "executor": None, **SPECS[named]}
    assert trust.runs(replace(read, **given)) == ([named] if named else [])


@pytest.mark.parametrize(
    "change",
    [
        lambda spec: spec["tree"].__setitem__("train", "os:getcwd"),
        lambda spec: spec["tree"].__setitem__("executor", {"name": "ray", "address": "evil:1"}),
    ],
)
def test_a_specification_that_somebody_changed_is_not_ones_own(project: Path, change: Any) -> None:
    rewrite(project / "studies" / "s", "spec", change)
    with pytest.raises(SpecError, match="not begun on this machine"):
        automl.resume(project / "studies" / "s", trials="+1")


@pytest.mark.parametrize(
    "origin",
    [
        None, [], "x", {}, {"token": "t"}, {"token": "t", "proofs": "x"}, {"token": "t", "proofs": [1, None, "é"]},
        {"token": ["t"], "proofs": [""]}, {"token": "t", "proofs": [{}]},
    ],
    ids=repr,
)  # fmt: skip
def test_a_forged_or_missing_proof_is_none(project: Path, origin: Any) -> None:
    """Studies of before have none: they ask once too, because a stranger could leave it out."""
    study = project / "studies" / "s"
    with closing(Ledger.open(study)) as ledger:
        ledger.describe(origin=origin)
    with pytest.raises(SpecError, match="not begun on this machine"):
        automl.resume(study, trials="+1")
    assert automl.resume(study, trials="+1", trust=True).counts.done == 3
    assert automl.resume(study, trials="+1").counts.done == 4


def test_the_proof_of_one_study_is_none_for_another(project: Path, tmp_path: Path) -> None:
    proofs = facts(project / "studies" / "s")["origin"]
    assert trust.is_own({"origin": proofs, "spec": facts(project / "studies" / "s")["spec"]})
    assert not trust.is_own({"origin": proofs, "spec": {"tree": {"train": "a:b"}}})
    assert not trust.is_own({"origin": {**proofs, "token": "other"}, "spec": facts(project / "studies" / "s")["spec"]})


def test_without_a_place_for_the_key_a_search_works_and_resume_asks(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    machine(monkeypatch, tmp_path / "file")
    automl.search(project / "space.yaml", path=project / "studies" / "t")
    with pytest.raises(SpecError, match="not begun on this machine"):
        automl.resume(project / "studies" / "t", trials="+1")
    assert automl.resume(project / "studies" / "t", trials="+1", trust=True).counts.done == 3


@pytest.mark.parametrize("command", [["top"], ["show", "0"], ["report"], ["plot"], ["export"]], ids=str)
def test_commands_that_read_run_nothing(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    machine(monkeypatch, tmp_path / "other")
    study, out = str(project / "studies" / "s"), str(tmp_path / "out.png")
    name, *rest = command
    given = {"plot": ["history", study, "--out", out], "export": [study, "--csv", out]}.get(name, [study, *rest])
    assert CliRunner().invoke(app, [name, *given]).exit_code == 0
    assert not (project / "ran").exists()
    assert not (tmp_path / "other").exists(), "reading makes no key"


# -- a project that was moved ----------------------------------------------------------------------------------------


@pytest.mark.catalogue(
    54, "a project is moved as a whole", "resumes with the spec, the code and the data where they are now", 0
)
def test_a_moved_project_goes_on(project: Path, tmp_path: Path) -> None:
    moved = project.rename(tmp_path / "moved")
    assert automl.resume(moved / "studies" / "s", trials="+2").counts.done == 4
    assert facts(moved / "studies" / "s")["spec"]["folder"] == str(moved)


def test_a_copied_project_uses_its_own_files(tmp_path: Path, home: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "t.csv").write_text(ROWS)
    (project / "space.yaml").write_text(TABLE)
    automl.search(project / "space.yaml", path=project / "studies" / "s")
    shutil.copytree(project, tmp_path / "copy")
    (project / "t.csv").write_text(ROWS + "1.5,u\n")
    assert automl.resume(tmp_path / "copy" / "studies" / "s", trials="+1").counts.done == 2
    (tmp_path / "copy" / "t.csv").write_text(ROWS + "2.5,u\n")
    with pytest.raises(SpecError, match=r"copy/t\.csv changed since the study was begun"):
        automl.resume(tmp_path / "copy" / "studies" / "s", trials="+1")


@pytest.mark.parametrize("spec", ["space.yaml", "sub/space.yaml"])
def test_changed_data_are_seen_when_the_spec_was_named_by_a_relative_path(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, spec: str
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / spec
    file.parent.mkdir(exist_ok=True)
    file.with_name("t.csv").write_text(ROWS)
    file.write_text(TABLE)
    automl.search(spec, path="studies/s")
    assert automl.resume("studies/s", trials="+1").counts.done == 2
    file.with_name("t.csv").write_text(ROWS + "1.5,u\n")
    with pytest.raises(SpecError, match=r"t\.csv changed since the study was begun"):
        automl.resume("studies/s", trials="+1")


def test_a_moved_study_of_before_finds_its_specification(project: Path, tmp_path: Path) -> None:
    study = project / "studies" / "s"
    with closing(sqlite3.connect(study / LEDGER)) as db, db:
        kept = json.loads(db.execute("SELECT value FROM study WHERE key = 'spec'").fetchone()[0])
        del kept["beside"]
        code = {str(project / name): digest for name, digest in facts(study)["code"].items()}
        for key, value in (("spec", kept), ("code", code)):
            db.execute("UPDATE study SET value = ?, sum = NULL WHERE key = ?", (json.dumps(value), key))
    moved = project.rename(tmp_path / "moved")
    assert automl.resume(moved / "studies" / "s", trials="+2").counts.done == 4


def test_an_edited_specification_counts_where_it_is_now(project: Path, tmp_path: Path) -> None:
    moved = project.rename(tmp_path / "moved")
    file = moved / "space.yaml"
    file.write_text(file.read_text().replace("trials: 2", "trials: 5"))
    assert automl.resume(moved / "studies" / "s").counts.done == 5
