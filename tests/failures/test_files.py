"""The failure catalogue, part three: damaged, foreign and edited files."""

import json
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

import automl
from automl import specfile
from automl.cli import describe_error
from automl.core.trial import State
from automl.errors import AutoMLError, LedgerError, SpecError
from automl.study import checkpoint
from automl.study.ledger.ledger import Ledger
from automl.study.ledger.repair import repair
from automl.study.ledger.schema import MIGRATIONS
from automl.study.paths import LEDGER
from automl.study.reader import StudyView
from automl.study.study import Study
from automl.testing.executors import bowl
from automl.testing.stress import replay
from tests.failures.kit import board, parabola, search
from tests.support.screens import Notes


@pytest.mark.catalogue(16, "the ledger is of a newer version", "not touched; says which version", 3)
def test_a_newer_ledger(tmp_path: Path) -> None:
    search(bowl, tmp_path / "s")
    with closing(sqlite3.connect(tmp_path / "s" / LEDGER)) as db:
        db.execute(f"PRAGMA user_version={len(MIGRATIONS) + 7}")
    before = (tmp_path / "s" / LEDGER).read_bytes()
    for opening in (lambda: search(bowl, tmp_path / "s"), lambda: StudyView(tmp_path / "s")):
        with pytest.raises(LedgerError, match=f"newer automl .ledger version {len(MIGRATIONS) + 7}") as caught:
            opening()
        assert caught.value.exit_code == 3
    assert (tmp_path / "s" / LEDGER).read_bytes() == before


@pytest.mark.catalogue(
    17, "the ledger is of an older version", "backed up, then brought up to date; reading alone changes nothing", None
)
def test_an_older_ledger(tmp_path: Path) -> None:
    search(bowl, tmp_path / "new")
    shutil.copytree(tmp_path / "new", tmp_path / "old")
    with closing(sqlite3.connect(tmp_path / "old" / LEDGER)) as db:  # as version 1 wrote it
        db.execute("ALTER TABLE trials DROP COLUMN asked")
        db.execute("ALTER TABLE reports DROP COLUMN horizon")
        for table in ("study", "trials", "attempts", "reports", "pauses", "ends"):
            db.execute(f"ALTER TABLE {table} DROP COLUMN sum")
        db.execute("DROP TABLE edits")
        db.execute("PRAGMA user_version=1")
    assert board(tmp_path / "old") == board(tmp_path / "new")
    assert not list((tmp_path / "old").glob("*.backup"))
    study = search(bowl, tmp_path / "old", trials=8)
    assert study.counts.done == 8
    with closing(sqlite3.connect(next((tmp_path / "old").glob("*.v1.backup")))) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert db.execute("SELECT COUNT(*) FROM trials").fetchone() == (6,)


def filled(path: Path, trials: int = 60) -> list[tuple[object, ...]]:
    with Study({"x": automl.Float(0, 1)}, metric="loss", strategy="random", trials=trials, seed=1, path=path) as study:
        while (trial := study.ask()) is not None:
            for step in (1, 2, 3):
                study.report(trial, step, {"loss": float(trial.config["x"]) / step, "other": 1.0})  # type: ignore[arg-type]
            study.finish(trial)
    return board(path)


@pytest.mark.catalogue(
    18, "the ledger is damaged", "an error, never a new ledger in silence; `automl repair` saves what can be read", 3
)
def test_every_damaged_page_is_told_or_harmless(tmp_path: Path) -> None:
    whole = filled(tmp_path / "s")
    content = (tmp_path / "s" / LEDGER).read_bytes()
    told_of = saved = 0
    for at in range(0, len(content), 4096):
        damaged = tmp_path / f"d{at}"
        damaged.mkdir()
        flipped = bytes(b ^ 0xFF for b in content[at + 8 : at + 1032])
        (damaged / LEDGER).write_bytes(content[: at + 8] + flipped + content[at + 1032 :])
        try:
            assert board(damaged) == whole, f"damage at {at} goes unnoticed"
        except LedgerError as error:
            told_of += 1
            assert "automl repair" in str(error), error  # noqa: PT017
            saved += _repaired(damaged, whole)
    assert told_of >= 5
    assert saved >= told_of / 2


def _repaired(damaged: Path, whole: list[tuple[object, ...]]) -> bool:
    """Whether anything was saved; what was saved must be true, and the search can go on from it."""
    try:
        saved = repair(damaged, damaged / "out")
    except LedgerError:
        return False
    for number, config, state, curve, _ in board(damaged / "out"):  # type: ignore[misc]
        true = whole[number]  # type: ignore[index]
        assert config == true[1]
        assert set(curve) <= set(true[3])  # type: ignore[arg-type]
        assert state in (true[2], "running")
    with Study(
        {"x": automl.Float(0, 1)}, metric="loss", strategy="random", trials=60, seed=1, path=damaged / "out"
    ) as study:
        while (trial := study.ask()) is not None:
            for step in (1, 2, 3):
                study.report(trial, step, {"loss": float(trial.config["x"]) / step})  # type: ignore[arg-type]
            study.finish(trial)
    assert [row[:4] for row in board(damaged / "out")] == [row[:4] for row in whole]
    return saved.trials > 0


@pytest.mark.parametrize("left", [0, 50, 512, 4096, 9000, 20_000])
def test_truncated_ledgers_are_told(tmp_path: Path, left: int) -> None:
    filled(tmp_path / "s")
    file = tmp_path / "s" / LEDGER
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(LedgerError):
        StudyView(tmp_path / "s")
    assert file.stat().st_size == left


def test_repair_in_place_keeps_the_damaged_file(tmp_path: Path) -> None:
    whole = filled(tmp_path / "s")
    damaged = (tmp_path / "s" / LEDGER).read_bytes()
    done = repair(tmp_path / "s")
    assert (done.trials, done.ended, done.reports, done.lost) == (60, 60, 180, ())
    assert board(tmp_path / "s") == whole
    assert (tmp_path / "s" / f"{LEDGER}.damaged").read_bytes() == damaged


@pytest.mark.parametrize("damage", ["flipped", "truncated", "missing", "other trial's"])
@pytest.mark.catalogue(
    19,
    "a checkpoint is damaged, missing or another trial's",
    "the one before it is taken, else the trial begins again",
    None,
)
def test_damaged_checkpoints(tmp_path: Path, damage: str) -> None:
    for step in (1, 2, 3):
        identity = "other" if damage == "other trial's" and step == 3 else "mine"
        checkpoint.save(tmp_path, step, {"step": step}, [(step, {"loss": 1.0})], identity=identity)
    file = tmp_path / "00000003.ckpt"
    content = file.read_bytes()
    if damage == "flipped":
        file.write_bytes(content[:5] + bytes([content[5] ^ 1]) + content[6:])
    elif damage == "truncated":
        file.write_bytes(content[:4])
    elif damage == "missing":
        file.unlink()
    found = checkpoint.load(tmp_path, identity="mine")
    assert found is not None
    assert (found.step, found.state) == (2, {"step": 2})
    (tmp_path / "00000002.ckpt").write_bytes(b"")
    assert damage == "other trial's" or checkpoint.load(tmp_path, identity="mine") is None
    (tmp_path / checkpoint.MANIFEST).write_text("[{]")
    assert checkpoint.load(tmp_path, identity="mine") is None


def test_checkpoints_of_tensors_and_of_plain_values(tmp_path: Path) -> None:
    import torch

    states = ({"w": torch.arange(3.0), "t": (1, 2)}, {"a": [1, 2.5, None, True, "é"], "n": float("inf")}, {1: "key"})
    for step, state in enumerate(states, 1):
        checkpoint.save(tmp_path, step, state, [])
        found = checkpoint.load(tmp_path)
        assert found is not None
        assert repr(found.state) == repr(state)
    assert len(list(tmp_path.glob("*.ckpt"))) == 2


SPEC = """
train: mine_for_failures:train
metric: loss
space: {x: {float: [0, 1]}}
strategy: random
stopper: none
finalists: none
executor: inline
budget: {trials: 4}
"""


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    (tmp_path / "mine_for_failures.py").write_text("def train(trial):\n    trial.report(loss=trial['x'])\n")
    (tmp_path / "space.yaml").write_text(SPEC)
    automl.search(tmp_path / "space.yaml", path=tmp_path / "s")
    return tmp_path


@pytest.mark.catalogue(
    20, "the spec was edited: budget, workers, retries", "goes on with the new ones; shows the difference", None
)
def test_an_edited_budget_counts(begun: Path) -> None:
    (begun / "space.yaml").write_text(SPEC.replace("trials: 4", "trials: 6"))
    screen = Notes()
    assert automl.resume(begun / "s", screen=screen).counts.done == 6
    assert "-budget: {trials: 4}" in screen.notes[0]
    assert "+budget: {trials: 6}" in screen.notes[0]


@pytest.mark.parametrize("edit", [("[0, 1]", "[0, 2]"), ("metric: loss", "metric: val_loss"), ("random", "grid")])
@pytest.mark.catalogue(
    20,
    "the spec was edited: space, objective, strategy",
    "refused with the difference, unless `--accept-spec-change`",
    2,
)
def test_an_edited_space_is_refused(begun: Path, edit: tuple[str, str]) -> None:
    (begun / "space.yaml").write_text(SPEC.replace(*edit).replace("trials: 4", "trials: 6"))
    with pytest.raises(SpecError, match=r"(?s)was edited since the study was begun .*--accept-spec-change") as caught:
        automl.resume(begun / "s")
    assert f"+{'space' if edit[0] == '[0, 1]' else ''}" in str(caught.value)
    assert caught.value.exit_code == 2
    assert StudyView(begun / "s").counts.done == 4
    if edit[0] == "[0, 1]":
        assert automl.resume(begun / "s", accept_changes=True).counts.done == 6


@pytest.mark.catalogue(
    20, "a config of an earlier trial is outside the new space", "refused, naming the first such trial", 2
)
def test_a_narrower_space_is_refused(begun: Path) -> None:
    (begun / "space.yaml").write_text(SPEC.replace("[0, 1]", "[0, 0.001]"))
    with pytest.raises(SpecError, match="trial 0 is outside of the new space"):
        automl.resume(begun / "s", accept_changes=True)


@pytest.mark.catalogue(21, "the training code was edited", "goes on; names the files", None)
def test_edited_code_is_told(begun: Path) -> None:
    file = begun / "mine_for_failures.py"
    file.write_text(file.read_text() + "# faster\n")
    screen = Notes()
    automl.resume(begun / "s", trials="+1", screen=screen)
    assert screen.notes == [f"changed since the study was begun: {file}"]
    screen = Notes()
    automl.resume(begun / "s", trials="+1", screen=screen)
    assert screen.notes == [], "told once"


@pytest.mark.catalogue(22, "the data was changed", "refused, unless `--accept-spec-change`", 2)
def test_changed_data_are_refused(tmp_path: Path) -> None:
    rows = "".join(f"{k % 7},{k % 5},{'ab'[k % 2]}\n" for k in range(80))
    (tmp_path / "t.csv").write_text("x,y,target\n" + rows)
    (tmp_path / "space.yaml").write_text(
        "model: mlp\ndata: t.csv\ntarget: target\nmetric: val_loss\nepochs: 1\nspace: {lr: {float: [0.01, 0.1]}}\n"
        "budget: {trials: 1}\nexecutor: inline\nfinalists: none\n"
    )
    automl.search(tmp_path / "space.yaml", path=tmp_path / "s")
    (tmp_path / "t.csv").write_text("x,y,target\n" + rows + "1,1,a\n")
    with pytest.raises(SpecError, match=r"t.csv changed since the study was begun") as caught:
        automl.resume(tmp_path / "s", trials=2)
    assert caught.value.exit_code == 2
    assert automl.resume(tmp_path / "s", trials=2, accept_changes=True).counts.done == 2


@pytest.mark.catalogue(
    23,
    "more trials than the space has points",
    "grid ends when it is used up; others repeat points with fresh seeds",
    0,
)
def test_spaces_with_two_points(tmp_path: Path) -> None:
    space = {"k": automl.Choice((1, 2))}
    grid = search(lambda t: t.report(loss=t["k"]), tmp_path / "grid", space=space, strategy="grid", trials=50)
    assert grid.counts.done == 2
    random = search(lambda t: t.report(loss=t.seed), tmp_path / "random", space=space, trials=9)
    assert random.counts.done == 9
    assert len({t.loss for t in random.history.trials}) == 9


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]",
        "x: " + "[" * 10_000,
        "a: !!python/object/apply:os.system [ls]",
        "\ufeff\ufeff",
        "\x00",
        "- " * 5000,
    ],
)
@pytest.mark.catalogue(
    41, "a hostile `space.yaml`: bombs, tags, endless depth", "one message with line and column, at once", 2
)
def test_hostile_specs(text: str) -> None:
    begun = time.process_time()
    with pytest.raises(SpecError, match=r"space.yaml:\d+:\d+: "):
        specfile.parse(text, "space.yaml")
    assert time.process_time() - begun < 1


@pytest.mark.parametrize("budget", ["{trials: 0}", "{trials: -1}", "{}", "{time: 0s}", "{trials: 1e9999}"])
@pytest.mark.catalogue(43, "a budget of nothing, below zero, or none at all", "refused with line and column", 2)
def test_budgets_that_make_no_sense(budget: str) -> None:
    with pytest.raises(SpecError, match=r"space.yaml:\d+:\d+: ") as caught:
        specfile.parse(SPEC.replace("{trials: 4}", budget), "space.yaml")
    assert describe_error(caught.value)[1] == 2


@pytest.mark.parametrize(
    ("content", "target"),
    [("x,y\n1,2\n", "z"), ("", "y"), ("x,y\n1,1\n2,1\n3,1\n", "y"), ("x,y\n1,\n2,\n", "y"), ("\x00\x01\xff", "y")],
)
@pytest.mark.catalogue(
    44, "a hostile table: empty, binary, no such target, one class", "one message, before the first trial", 2
)
def test_hostile_tables(tmp_path: Path, content: str, target: str) -> None:
    (tmp_path / "t.csv").write_text(content, encoding="latin-1")
    (tmp_path / "space.yaml").write_text(
        f"model: mlp\ndata: t.csv\ntarget: {target}\nmetric: val_loss\nepochs: 1\n"
        "space: {lr: {float: [0.01, 0.1]}}\n"
        "budget: {trials: 1}\nexecutor: inline\nfinalists: none\n"
    )
    with pytest.raises(AutoMLError) as caught:
        automl.search(tmp_path / "space.yaml", path=tmp_path / "s")
    assert caught.value.exit_code == 2, caught.value
    assert "Traceback" not in str(caught.value)


@pytest.mark.catalogue(
    57, "hostile names: formulas, terminal escapes, markup", "nothing is run or drawn: text stays text", 0
)
def test_hostile_names_stay_text(tmp_path: Path) -> None:
    names = ("=cmd|' /C calc'!A0", "\x1b]0;owned\x07", "<script>", "[red]x", "'; DROP TABLE trials;--")
    space = {"k": automl.Choice(names)}
    study = search(lambda t: t.report(loss=1.0), tmp_path / "s", space=space, strategy="grid", trials=5)
    assert study.counts.done == 5
    shown = str(study.leaderboard(None))
    assert "\x1b]" not in shown
    assert {t.config["k"] for t in StudyView(tmp_path / "s").history.trials} == set(names)


def test_a_replay_suggests_what_was_tried(tmp_path: Path) -> None:
    search(parabola, tmp_path / "s", strategy="tpe", trials=20, stopper={"name": "asha", "eta": 2})
    assert list(replay.problems(tmp_path / "s")) == []
    with closing(sqlite3.connect(tmp_path / "s" / LEDGER)) as db, db:
        db.execute("UPDATE trials SET config = ? WHERE number = 15", (json.dumps({"x": 0.5}),))
    assert any("trial 15" in problem for problem in replay.problems(tmp_path / "s"))


def test_a_second_session_sees_the_history_as_it_was(tmp_path: Path) -> None:
    """Also the order within states, which strategies may see."""
    run = Study(
        {"x": automl.Float(0, 1)},
        metric="loss",
        trials=9,
        path=tmp_path / "s",
        stopper={"name": "asha", "mode": "promote", "eta": 2},
    )
    trials = run.ask(4)
    for k in (2, 0, 3, 1):
        run.report(trials[k], 1, {"loss": float(k)})
    run.ask(3)
    ledger = Ledger.read_only(tmp_path / "s")
    history = StudyView(tmp_path / "s").history
    for state in State:
        assert history.of(state) == run.history.of(state)
    assert (history.steps_spent, len(ledger)) == (run.history.steps_spent, len(run.history))
    ledger.close()
    run.close()
