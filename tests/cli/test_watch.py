"""`automl watch`: the screen of a search that runs elsewhere, and the address of its page."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

import automl
from automl.core.trial import Failure
from tests.support.patience import PATIENCE_S


def begun(path: Path, trials: int = 5) -> automl.Study:
    return automl.Study({"x": automl.Float(0, 1)}, metric="loss", strategy="random", trials=trials, path=path)


def test_a_search_that_has_ended_is_shown_once(run, tmp_path):
    with begun(tmp_path / "studies" / "s") as study:
        for k in range(5):
            study.tell(study.ask(), loss=k / 10)
    code, out, _ = run("watch", "s")
    assert code == 0
    assert "Finished: 5 trials" in out
    assert "t0000  loss 0" in out


def test_a_search_that_runs_is_followed_to_its_end(run, tmp_path):
    study = begun(tmp_path / "studies" / "s", trials=3)
    study.tell(study.ask(), loss=0.5)

    def go_on() -> None:
        time.sleep(0.7)
        study.tell(study.ask(), loss=0.25)
        study.fail(study.ask(), Failure("nan", "loss is nan", 1))
        study.close()

    thread = threading.Thread(target=go_on)
    thread.start()
    code, out, err = run("watch", "s")
    thread.join()
    assert code == 0
    assert "Finished: 3 trials" in out
    assert "nan" in err + out
    assert "0.2500" in out


def test_no_study_is_told(run):
    assert run("watch", "nothing")[0] == 2
    code, _, err = run("watch", "nothing", "--web", "--port", "70000")
    assert code == 2
    assert "--port" in err
    code, _, err = run("watch", "nothing", "--port", "8321")
    assert code == 2
    assert "add --web" in err


@pytest.mark.slow
def test_the_page_is_served_until_ctrl_c(tmp_path: Path) -> None:
    begun(tmp_path / "s").close()
    command = [Path(sys.executable).with_name("automl"), "watch", tmp_path / "s", "--web", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as served:
        try:
            assert served.stdout is not None
            told = json.loads(served.stdout.readline())
            address, _, token = told["address"].partition("#")
            asked = urllib.request.Request(f"{address}api/state", headers={"Authorization": f"Bearer {token}"})
            with urllib.request.urlopen(asked, timeout=PATIENCE_S) as answer:
                assert json.load(answer)["about"]["study"] == "s"
            os.kill(served.pid, signal.SIGINT)
            assert served.wait(PATIENCE_S) == 0
            assert served.stderr is not None
            assert "Ctrl-C ends the page" in served.stderr.read()
        finally:
            served.kill()  # or a failure above would wait for it without end
