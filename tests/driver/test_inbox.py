"""The inbox of a search that runs: files become edits, and are answered."""

import json
import os
import statistics
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import automl
from automl.driver.inbox import Inbox
from automl.driver.order import ArrivalOrder
from automl.driver.worker_table import WorkerTable
from automl.errors import SpecError
from automl.study.live import inbox
from automl.study.reader import StudyView
from automl.testing.stress import replay
from tests.failures.kit import Notes, driver
from tests.support.patience import PATIENCE_S

SPACE = {"x": automl.Float(0, 1)}


def slow(trial: automl.Trial) -> None:
    for step in trial.steps(5):
        time.sleep(0.02)
        trial.report(loss=(trial["x"] - 0.3) ** 2 + 1 / step)


def ask(path: Path, name: str, **wanted: Any) -> Path:
    """A request that some program writes."""
    (path / "inbox").mkdir(exist_ok=True)
    temporary = path / "inbox" / f".{name}.tmp"
    temporary.write_text(json.dumps(wanted))
    file = path / "inbox" / f"{name}.json"
    temporary.rename(file)
    return file


def answer(path: Path, name: str) -> Any:
    return json.loads((path / "inbox" / f"{name}.answer").read_text())


def test_requests_of_another_program_are_carried_out_and_answered(tmp_path: Path) -> None:
    screen = Notes()
    search = driver(slow, tmp_path, screen=screen, trials=4, horizon=5)
    ask(tmp_path, "a", budget="+2", by="ada")
    ask(tmp_path, "b", stop=99, after={"trials": 2})
    ask(tmp_path, "c", add={"x": 0.125}, after={"trials": 3, "reports": 12})
    ask(tmp_path, "d", stpo=1)
    search.run()
    search.study.close()
    assert answer(tmp_path, "a") == {"ok": True, "done": ["the budget of trials is 6 now"]}
    assert answer(tmp_path, "b") == {"ok": False, "error": "stop: there is no trial 99; trials are 0 to 1"}
    assert answer(tmp_path, "c")["ok"]
    assert "did you mean 'stop'" in answer(tmp_path, "d")["error"]
    assert list((tmp_path / "inbox").glob("*.json")) == []
    trials = StudyView(tmp_path).history.trials
    assert len(trials) == 6
    assert (trials[3].config, trials[3].origin) == ({"x": 0.125}, "edit")
    assert "ada: the budget of trials is 6 now" in screen.notes or "ada: the budget of trials is 6 now" in (
        search.study.notes
    )
    assert list(replay.problems(tmp_path)) == []


def test_an_edit_is_answered_within_a_second(tmp_path: Path) -> None:
    search = driver(slow, tmp_path, trials=60, horizon=5)
    thread = threading.Thread(target=search.run)
    thread.start()
    try:
        while len(search.study.history) < 3:
            time.sleep(0.01)
        view = StudyView(tmp_path)
        taken_s = []
        for wanted in ({"add": {"x": 0.5}}, {"pause": True}, {"resume": True}, {"budget": 8}):
            begun = time.monotonic()
            assert "no answer" not in view.edit(**wanted)[0]
            taken_s.append(time.monotonic() - begun)
        assert statistics.median(taken_s) < 1.0  # not each: other programs may take the cores away for a moment
        with pytest.raises(SpecError, match="stop: there is no trial 77"):
            view.edit(stop=77)
    finally:
        thread.join(PATIENCE_S)
    search.study.close()
    assert len(search.study.history) == 8


def test_a_pause_costs_no_time_of_the_budget(tmp_path: Path) -> None:
    search = driver(slow, tmp_path, trials=3, horizon=5)
    ask(tmp_path, "a", pause=True)
    thread = threading.Thread(target=search.run)
    begun = time.monotonic()
    thread.start()
    time.sleep(1.2)
    assert len(search.study.history) == 0
    elapsed_s, waited_s = search.study.elapsed_s, time.monotonic() - begun
    StudyView(tmp_path).edit(resume=True)
    thread.join(PATIENCE_S)
    search.study.close()
    assert elapsed_s < 0.75 * waited_s
    assert search.study.counts.done == 3


def test_without_a_driver_a_request_is_checked_now_and_waits(tmp_path: Path) -> None:
    first = driver(slow, tmp_path, trials=2, horizon=5)
    first.run()
    first.study.close()
    view = StudyView(tmp_path)
    with pytest.raises(SpecError, match="stop: trial 1 has ended already"):
        view.edit(stop=1)
    assert view.edit(budget="+3")[-1].startswith("nothing drives the study now")
    second = driver(slow, tmp_path, trials=2, horizon=5)
    second.run()
    second.study.close()
    assert second.study.counts.done == 5


def test_strange_files_in_the_inbox_harm_nothing(tmp_path: Path) -> None:
    study = automl.Study(SPACE, metric="loss", trials=3, path=tmp_path / "s")
    folder = tmp_path / "s" / "inbox"
    folder.mkdir()
    secret = tmp_path / "secret.json"
    secret.write_text('{"budget": "+9"}')
    (folder / "link.json").symlink_to(secret)
    os.mkfifo(folder / "pipe.json")
    (folder / "folder.json").mkdir()
    (folder / "large.json").write_bytes(b" " * 2_000_000)
    (folder / "binary.json").write_bytes(bytes(range(256)))
    said: list[str] = []
    Inbox(study, WorkerTable(), ArrivalOrder(study), said.append).check()
    assert study.plan.trials == 3
    assert secret.is_file()
    assert sorted(file.name for file in folder.iterdir()) == [
        f"{name}.answer" for name in ("binary", "folder", "large", "link", "pipe")
    ]
    assert len(said) == 5
    study.close()


def test_a_kill_between_an_edit_and_its_answer_repeats_nothing(tmp_path: Path) -> None:
    with automl.Study(SPACE, metric="loss", trials=3, path=tmp_path) as study:
        file = ask(tmp_path, "a", budget="+2")
        Inbox(study, WorkerTable(), ArrivalOrder(study), print).check()
    content = '{"budget": "+2"}'
    file.write_text(content)  # as if it had not been deleted
    with automl.Study(SPACE, metric="loss", trials=3, path=tmp_path) as study:
        Inbox(study, WorkerTable(), ArrivalOrder(study), print).check()
        assert study.plan.trials == 5
    assert answer(tmp_path, "a") == {"ok": True, "done": ["this was done before"]}


def test_an_inbox_that_is_a_link_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    study = automl.Study(SPACE, metric="loss", trials=3, path=tmp_path / "s")
    (tmp_path / "s" / "inbox").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "a.json").write_text('{"budget": "+2"}')
    assert list(inbox.waiting(tmp_path / "s")) == []
    with pytest.raises(automl.AutoMLError, match="symbolic link"):
        inbox.post(tmp_path / "s", {"budget": "+2"})
    study.close()
