"""Studies and bundles that version 0.1.0 wrote open, predict and go on: `studies_0.1.0.tar.xz` was made by it.

The archive holds a finished search (`done`), one killed in the middle (`killed`) and one of a Python function
(`function`), with the leaderboards and predictions of that version beside them.
"""

import json
import shutil
import sqlite3
import tarfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import automl
from automl import Study

ARCHIVE = Path(__file__).with_name("studies_0.1.0.tar.xz")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def project(unpacked: Path, tmp_path: Path) -> Path:
    """A project folder of 0.1.0, as if its searches had been run there."""
    folder = tmp_path / "project"
    shutil.copytree(unpacked, folder)
    for ledger in folder.glob("studies/**/ledger.sqlite"):
        with sqlite3.connect(ledger) as connection:
            for key, value in connection.execute("SELECT key, value FROM study").fetchall():
                connection.execute(
                    "UPDATE study SET value = ? WHERE key = ?", (value.replace("/project", str(folder)), key)
                )
        connection.close()
    return folder


def rows(study: Any) -> list[dict[str, Any]]:
    return [
        {key: row[key] for key in ("trial", "state", "value", "step", "config")}
        for row in json.loads(study.leaderboard(None).json())["rows"]
    ]


@pytest.mark.parametrize("name", ["done", "killed", "function"])
def test_the_leaderboard_is_the_one_of_that_version(project: Path, name: str) -> None:
    known = json.loads((project / f"expected_top_{name}.json").read_text())
    study = Study.open(project / "studies" / name)
    assert study.metric.name == known["metric"]
    kept = [{key: row[key] for key in ("trial", "state", "value", "step", "config")} for row in known["rows"]]
    assert rows(study)[: len(kept)] == kept


def test_the_bundle_predicts_what_it_predicted(project: Path) -> None:
    model = automl.load(project / "studies" / "done")
    predicted = model.predict(pd.read_csv(project / "rows.csv"))
    expected = pd.read_csv(project / "expected_predictions.csv")["prediction"]
    assert list(predicted) == list(expected)


def test_a_finished_study_goes_on(project: Path) -> None:
    study = automl.resume(project / "studies" / "done", trials="+2", workers=1)
    known = json.loads((project / "expected_top_done.json").read_text())["rows"]
    numbers = {record.number for record in study.history.trials}
    assert numbers == set(range(8))
    for row in known:
        record = study.history.trials[row["trial"]]
        assert dict(record.config) == row["config"]


def test_a_killed_study_goes_on_from_its_checkpoints(project: Path) -> None:
    before = {row["trial"]: row for row in json.loads((project / "expected_top_killed.json").read_text())["rows"]}
    study = automl.resume(project / "studies" / "killed", workers=1)
    assert len(study.history) == 40
    assert not study.history.running
    ended = [number for number, row in before.items() if row["state"] in ("done", "stopped")]
    assert ended, "the archive should hold trials that had ended"
    for number in ended:
        record = study.history.trials[number]
        assert record.loss is not None
        assert study.metric.value(record.loss) == pytest.approx(before[number]["value"], abs=1e-12)
        assert dict(record.config) == before[number]["config"]
