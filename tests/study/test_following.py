"""A study that is read on while it grows is, at every moment, what a reading of the whole ledger gives."""

import os
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import automl
from automl.core.trial import Failure, State
from automl.errors import LedgerError
from automl.study.live.following import Followed
from automl.study.reader import StudyView
from automl.study.study import Study

SPACE = {"x": automl.Float(0, 1), "opt": ["adam", "sgd"], "m": automl.Float(0, 1, when={"opt": "sgd"}), "fixed": 7}


def begun(path: Path, **options: Any) -> Study:
    given = {"metric": "val_loss", "trials": 60, "strategy": "random", "stopper": {"name": "halving", "eta": 2}}
    return Study(SPACE, path=path, **{**given, "horizon": 8, **options})


def same(followed: Followed) -> None:
    """All that is read of a followed study is what a fresh reading says."""
    assert followed.path is not None
    with closing(StudyView(followed.path)) as whole:
        ours, theirs = followed.history, whole.history
        assert ours.trials == theirs.trials
        assert (ours.plan, ours.steps_spent, ours.live.queue) == (theirs.plan, theirs.steps_spent, theirs.live.queue)
        assert (ours.live.stopped, ours.live.pinned, ours.live.paused) == (
            theirs.live.stopped, theirs.live.pinned, theirs.live.paused,
        )  # fmt: skip
        assert ours.space.to_json() == theirs.space.to_json()
        assert (followed.best, followed.counts) == (whole.best, whole.counts)
        assert 0 <= whole.elapsed_s - followed.elapsed_s < 1  # first attempts are no facts of a history
        assert [t.number for t in ours.ranked()] == [t.number for t in theirs.ranked()]
        assert followed.facts == whole.facts


def worked(study: Study, rng: random.Random, steps: int) -> None:
    """Some events of a search: trials begin, report, pause, are lost, fail, end, and are edited."""
    names = study.history.objectives.names
    for _ in range(steps):
        waiting = set(study._retries.waiting)  # their workers have died
        running = [t for t in study.history.running if t.number not in waiting]
        if len(running) < 4 and study.ask() is not None:
            continue
        if not running:
            return
        trial = rng.choice(running)
        event = rng.random()
        if event < 0.05:
            study.fail(trial.number, Failure("nan", "loss is nan", trial.step))
        elif event < 0.1:
            study.lost(trial.number, "killed")
        elif event < 0.13:
            study.edit(pin=trial.number)
        elif event < 0.16:
            study.edit(add={"x": rng.random()}, budget="+1")
        elif event < 0.18:
            study.edit(stop=trial.number, by="ada")
        else:
            values = {name: rng.random() for name in names}
            assignment = trial.number
            verdict = study.report(assignment, trial.step + 1, values, horizon=8)
            if verdict.kind == "continue" and trial.step + 1 >= 8:
                study.finish(assignment)


@pytest.mark.parametrize("metric", ["val_loss", ["val_error", {"name": "size", "at_most": 0.7}, "val_loss"]])
def test_it_is_what_a_reading_of_the_whole_gives(metric: Any, tmp_path: Path) -> None:
    rng = random.Random(1)
    stopper = {"name": "asha", "eta": 2} if isinstance(metric, list) else {"name": "halving", "eta": 2}
    with begun(tmp_path / "s", metric=metric, stopper=stopper) as study:
        followed = Followed(tmp_path / "s")
        for _ in range(40):
            worked(study, rng, 12)
            study.ledger.commit()
            changed = followed.look()
            same(followed)
            assert [t.number for t in changed] == sorted({t.number for t in changed})
            assert all(followed.history.trials[t.number] is t for t in changed)
        assert followed.generation == 0
        assert followed.history.failed
        assert followed.history.live.pinned
        assert len([fact for fact in followed.edits if '"budget"' in fact[3]]) > 1
    followed.look()
    assert followed.look() == []
    with begun(tmp_path / "s", metric=metric, stopper=stopper, trials=90) as study:  # the next session
        worked(study, rng, 20)
    followed.look()
    same(followed)
    assert followed.generation == 0


def test_only_trials_that_changed_are_told(tmp_path: Path) -> None:
    with begun(tmp_path / "s", stopper="none") as study:
        a, b = study.ask(2)
        followed = Followed(tmp_path / "s")
        study.report(b, 1, {"val_loss": 0.5})
        study.ledger.commit()
        assert [(t.number, t.loss) for t in followed.look()] == [(1, 0.5)]
        study.edit(pin=0)
        assert [t.number for t in followed.look()] == [0]
        study.finish(b)
        assert [(t.number, t.state) for t in followed.look()] == [(1, State.DONE)]
        assert followed.elapsed_s > 0
        assert followed.reports(1) == [(1, {"val_loss": 0.5})]
        assert a.number == 0


def test_reports_that_are_not_committed_are_not_seen_and_not_lost(tmp_path: Path) -> None:
    with begun(tmp_path / "s", stopper="none") as study:
        trial = study.ask()
        study.ledger.commit()
        followed = Followed(tmp_path / "s")
        study.report(trial, 1, {"val_loss": 0.5})
        assert followed.look() == []
        study.ledger.commit()
        assert [t.step for t in followed.look()] == [1]


def test_another_basis_and_another_file_are_read_anew(tmp_path: Path) -> None:
    with begun(tmp_path / "s") as study:
        study.tell(study.ask(), val_loss=0.5)
    followed = Followed(tmp_path / "s")
    with begun(tmp_path / "s", horizon=16, accept_changes=True) as study:
        study.tell(study.ask(), val_loss=0.4)
    assert [t.number for t in followed.look()] == [0, 1]
    assert followed.generation == 1
    same(followed)
    with begun(tmp_path / "other", name="s") as study:
        for _ in range(3):
            study.tell(study.ask(), val_loss=0.5)
    os.replace(tmp_path / "other" / "ledger.sqlite", tmp_path / "s" / "ledger.sqlite")
    assert len(followed.look()) == 3
    assert followed.generation == 2
    same(followed)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE reports SET value = 0.25 WHERE trial = 1",
        "UPDATE reports SET value = 'x', sum = NULL WHERE trial = 1",
        "UPDATE ends SET state = 'what', sum = NULL WHERE trial = 1",
        "UPDATE trials SET number = 7, sum = NULL WHERE number = 1",
    ],
)
def test_damage_is_told_and_what_was_known_stays(damage: str, tmp_path: Path) -> None:
    with begun(tmp_path / "s", stopper="none") as study:
        study.tell(study.ask(), val_loss=0.5)
        followed = Followed(tmp_path / "s")
        study.tell(study.ask(), val_loss=0.4)
    with closing(sqlite3.connect(tmp_path / "s" / "ledger.sqlite", isolation_level=None)) as db:
        db.execute(damage)
    for _ in range(2):
        with pytest.raises(LedgerError, match=r"damaged|has no trial 1"):
            followed.look()
        assert followed.history.trials[0].loss == 0.5
    os.remove(tmp_path / "s" / "ledger.sqlite")
    with pytest.raises(LedgerError, match="no study"):
        followed.look()


def test_a_look_at_a_large_study_costs_what_is_new(tmp_path: Path) -> None:
    with begun(tmp_path / "s", stopper="none", trials=None) as study:
        for _ in range(400):
            trial = study.ask()
            for step in range(1, 6):
                study.report(trial, step, {"val_loss": 0.5 + step})
            study.finish(trial)
        followed = Followed(tmp_path / "s")
        begin_s = time.process_time()
        StudyView(tmp_path / "s").close()
        whole_s = time.process_time() - begin_s
        looks = []
        for _ in range(5):
            study.tell(study.ask(), val_loss=0.4)
            begin_s = time.process_time()
            assert len(followed.look()) == 1
            looks.append(time.process_time() - begin_s)
        assert min(looks) < whole_s / 3, (looks, whole_s)


@pytest.mark.slow
def test_looking_at_a_killed_search_takes_nothing_from_it(tmp_path: Path) -> None:
    code = (
        "import automl, os; s = automl.Study({'x': automl.Float(0, 1)}, metric='loss', path='s', strategy='random')\n"
        "s.tell(s.ask(), loss=0.5); s.report(s.ask(), 1, {'loss': 0.4}); s.ledger.commit(); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == -9
    followed = Followed(tmp_path / "s")
    for _ in range(3):
        followed._stamp = (*followed._stamp[:3], 0)
        assert followed.look() == []
    assert followed.generation == 0
    assert [t.step for t in followed.history.trials] == [1, 1]
    assert (tmp_path / "s" / "ledger.sqlite-wal").stat().st_size > 0
    with Study({"x": automl.Float(0, 1)}, metric="loss", path=tmp_path / "s", strategy="random") as study:
        assert [t.loss for t in study.history.trials] == [0.5, 0.4]
        study.finish(1)
    assert not (tmp_path / "s" / "ledger.sqlite-wal").exists()
    assert [t.state for t in followed.look()] == [State.DONE]
