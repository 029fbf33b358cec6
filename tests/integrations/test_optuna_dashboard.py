"""A study exported to Optuna's journal opens in the real optuna-dashboard: asked through its own HTTP interface."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from automl import Choice, Float, Study
from automl.integrations.optuna_journal import export
from automl.integrations.optuna_mirror import OptunaMirror
from tests.support.patience import PATIENCE_S, free_port, wait_until

pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed")


@contextmanager
def dashboard(journal: Path) -> Iterator[str]:
    """The dashboard's address while it serves `journal`."""
    port = free_port()
    program = str(Path(sys.executable).parent / "optuna-dashboard")
    command = [program, str(journal), "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "the dashboard does not answer"
                assert server.poll() is None, "the dashboard has ended"
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/api"
    finally:
        server.terminate()
        server.wait()


def asked(address: str) -> Any:
    with urllib.request.urlopen(address, timeout=30) as answer:
        return json.load(answer)


@pytest.mark.slow
def test_the_dashboard_shows_all_trials_values_and_curves(tmp_path: Path) -> None:
    study = Study(
        {"lr": Float(1e-4, 1, log=True), "optimizer": Choice(("sgd", "adamw"))},
        metric="val_accuracy",
        trials=12,
        stopper={"name": "asha", "eta": 2},
        strategy="random",
        path=tmp_path / "s",
    )
    while (trial := study.ask()) is not None:
        for step in range(1, 5):
            value = 0.5 + 0.1 * float(trial.config["lr"]) + 0.01 * step  # type: ignore[arg-type]
            if study.report(trial, step, {"val_accuracy": value}, horizon=4).kind != "continue":
                break
        else:
            study.finish(trial)
    study.close()
    shown = Study.open(tmp_path / "s")
    assert export(shown, tmp_path / "journal.log") == 12
    with dashboard(tmp_path / "journal.log") as api:
        (summary,) = asked(f"{api}/studies")["study_summaries"]
        detail = asked(f"{api}/studies/{summary['study_id']}?after=0")
    assert summary["study_name"] == "s"
    assert len(detail["trials"]) == 12
    by_number = {t["number"]: t for t in detail["trials"]}
    for record in shown.history.trials:
        trial = by_number[record.number]
        curve = {point["step"]: point["value"] for point in trial["intermediate_values"]}
        assert curve == pytest.approx({step: -loss for step, loss in record.curve})
        if record.state == "done":
            assert record.loss is not None
            assert trial["values"] == pytest.approx([-record.loss])
    shown.close()


@pytest.mark.slow
def test_the_dashboard_shows_a_search_while_it_runs(tmp_path: Path) -> None:
    study = Study({"x": Float(0, 1)}, metric="val_loss", trials=9, strategy="random", path=tmp_path / "s")
    mirror = OptunaMirror(str(tmp_path / "journal.log"), every_s=0.02)
    mirror.begin(study)
    running = study.ask()
    assert running is not None
    study.report(running, 1, {"val_loss": 0.5})
    study.tell(study.ask(), val_loss=0.25)  # type: ignore[arg-type]

    def shown(api: str) -> list[tuple[str, int]]:
        (summary,) = asked(f"{api}/studies")["study_summaries"]
        trials = asked(f"{api}/studies/{summary['study_id']}?after=0")["trials"]
        return [(one["state"], len(one["intermediate_values"])) for one in trials]

    with dashboard(tmp_path / "journal.log") as api:
        seen(lambda: shown(api) == [("Running", 1), ("Complete", 1)])
        study.report(running, 2, {"val_loss": 0.4})
        study.finish(running)
        study.fail(study.ask(), ValueError("no"))  # type: ignore[arg-type]
        seen(lambda: shown(api) == [("Complete", 2), ("Complete", 1), ("Fail", 0)])
    mirror.finish(study, "finished")
    study.close()


def seen(condition: Callable[[], bool]) -> None:
    """Wait until it is true."""
    wait_until(condition, "the dashboard does not show it", every_s=0.2)
