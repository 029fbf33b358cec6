"""A served model learns from what it was asked, once the true answers are there, and answers with it."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from automl.cli.app import app
from automl.data import further
from automl.errors import DataError, SpecError
from automl.serving.app import Service as Server
from automl.serving.server import Lookout, Source, adopt
from automl.serving.watching.kept_rows import FILE, Answered
from automl.updating import feedback, versions
from automl.updating.feedback import Answers, Service
from automl.updating.journal import Journal
from automl.updating.options import Options
from automl.updating.place import Place
from automl.updating.versions import roll_back
from tests.support.paths import ROOT
from tests.support.serving import client, service
from tests.support.updating import flowers
from tests.support.updating_kills import state

HEAD = {"how": "head", "lose": 0.02}


def options(home: Path) -> Options:
    return Options(how="head", old=home / "old.csv", lose=0.02)


async def send_rows(talking: httpx.AsyncClient, frame: pd.DataFrame, each: int = 50) -> None:
    """Ask for predictions of some rows at a time, and tell their true answers."""
    for begin in range(0, len(frame), each):
        some = frame.iloc[begin : begin + each]
        asked = some.drop(columns="kind").to_dict(orient="records")
        answer = (await talking.post("/v1/predict", json=asked)).json()
        truth = {"request_id": answer["request_id"], "answers": some.kind.tolist()}
        assert (await talking.post("/v1/feedback", json=truth)).json()["rows"] == len(some)


def served(model: Path, state_: Path, *frames: pd.DataFrame) -> Server:
    """A server's state after it was asked these rows and told the answers."""
    made = service(state_, ("flowers", model), keep_rows=5000)

    async def talk() -> None:
        async with client(made) as talking:
            for frame in frames:
                await send_rows(talking, frame)

    asyncio.run(talk())
    return made


def test_from_questions_and_answers_to_the_next_version_in_the_running_server(model: Path, tmp_path: Path) -> None:
    made = service(tmp_path / "serving", ("flowers", model), keep_rows=5000)
    sources = [Source("flowers", None, model)]
    lookout, later = Lookout(adopt(made.settings, sources), sources), flowers(300, 9, bent=0.5)

    async def right(talking: httpx.AsyncClient) -> tuple[str, float]:
        lookout.look()
        await asyncio.to_thread(made.registry.refresh)
        asked = later.drop(columns="kind").to_dict(orient="records")
        answer = (await talking.post("/v1/predict", json=asked)).json()
        return answer["version"], float(np.mean(np.array(answer["predictions"]) == later.kind))

    async def talk() -> None:
        async with client(made) as talking:
            await send_rows(talking, flowers(400, 2, bent=0.5))
            version, before = await right(talking)
            assert version == "v1"
            (done,) = feedback.follow(model, tmp_path / "serving", options(tmp_path), once=True)
            assert done.promoted == 2
            assert done.entry["rows"] == {"learned": 300, "held": 100}
            version, after = await right(talking)
            assert version == "v2"
            assert after > before + 0.1
            roll_back(Place.of(model), Journal(Place.of(model)), 1)
            assert await right(talking) == ("v1", before)

    asyncio.run(talk())


def test_each_answer_is_used_once(model: Path, tmp_path: Path) -> None:
    made = served(model, tmp_path / "serving", flowers(200, 2, bent=0.5))
    chosen = options(tmp_path)
    assert feedback.update(model, tmp_path / "serving", chosen).entry["file"] == "feedback 1 to 4"
    with pytest.raises(DataError, match="0 new rows have got their true answers; 20"):
        feedback.update(model, tmp_path / "serving" / FILE, chosen)
    assert list(feedback.follow(model, tmp_path / "serving", chosen, once=True)) == []
    made = served(model, tmp_path / "serving", flowers(100, 3, bent=0.5))
    assert made.registry.ready
    assert list(feedback.follow(model, tmp_path / "serving", chosen, once=True)) == []  # 100 of 200
    (done,) = feedback.follow(model, tmp_path / "serving", chosen, once=True, at_least=100)
    assert done.entry["rows"]["learned"] + done.entry["rows"]["held"] == 100
    with pytest.raises(SpecError, match="--at-least"):
        next(feedback.follow(model, tmp_path / "serving", chosen, at_least=5))


def test_what_cannot_be_used_is_refused_once_and_the_follower_goes_on(model: Path, tmp_path: Path) -> None:
    strange = flowers(200, 2).assign(kind=[f"typing error {k}" for k in range(200)])
    served(model, tmp_path / "serving", strange)
    chosen = options(tmp_path)
    (done,) = feedback.follow(model, tmp_path / "serving", chosen, once=True)
    assert "no row has an answer that the model can learn from" in done.entry["refused"]
    assert list(feedback.follow(model, tmp_path / "serving", chosen, once=True)) == []
    served(model, tmp_path / "serving", flowers(200, 3, bent=0.5))
    (done,) = feedback.follow(model, tmp_path / "serving", chosen, once=True)
    assert done.entry["refused"] is None


@pytest.mark.slow
def test_random_kills_of_follower_and_server_lose_and_double_no_row() -> None:
    options = ["--kills", "8", "--batches", "2", "--server-kills", "1"]
    script = [sys.executable, str(ROOT / "tests" / "support" / "feedback_kills.py"), *options]
    done = subprocess.run(script, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "follower: 8 kills" in done.stdout
    assert "server: 1 kills, 0 answers" not in done.stdout


@pytest.mark.parametrize("moment", ["batches.write", "Journal.commit", "versions.swap"])
def test_an_interruption_at_each_step_changes_nothing(
    model: Path, tmp_path: Path, moment: str, broken_off: Callable[..., None]
) -> None:
    served(model, tmp_path / "serving", flowers(200, 2, bent=0.5))
    calm, chosen = tmp_path / "calm", options(tmp_path)
    versions.files.copy(model, calm)
    list(feedback.follow(calm, tmp_path / "serving", chosen, once=True))
    broken_off(moment, 3, lambda: list(feedback.follow(model, tmp_path / "serving", chosen, once=True)))
    assert state(model) == state(calm)
    assert Journal(Place.of(model)).content["feedback"] == Journal(Place.of(calm)).content["feedback"]


def answers(rows: Any, given: list[Any]) -> Answers:
    return Answers.new("origin", [Answered(7, 0.0, rows, given)])


def test_rows_without_answers_and_rare_unknown_ones_are_left_out() -> None:
    preparation = {"form": "table", "columns": [{"name": "a"}], "target": {"kind": "classification", "name": "y"}}
    given = ["x", "y", None, "slip", *["new"] * 20]
    frame, notes = answers({"a": list(range(24))}, given).rows(preparation, ["x", "y"])
    assert frame.a.tolist() == [0, 1, *range(4, 24)]
    assert frame.y.tolist() == ["x", "y", *["new"] * 20]
    assert "'slip'" in notes[0]
    other = Answers.new("origin", [Answered(1, 0.0, {"b": [1]}, ["x"]), Answered(2, 0.0, {"a": [1, 2]}, ["x", "x"])])
    frame, notes = other.rows(preparation, ["x", "y"])
    assert len(frame) == 2
    assert notes == ["1 rows of versions with other columns are left out"]


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_arrays_and_texts_are_read_as_new_rows(kind: str) -> None:
    target = {"kind": kind, "classes": [0, 1], "center": [0.0], "scale": [1.0]}
    images = {"form": "array", "shape": [1, 2, 2], "target": target}
    data, _ = answers(np.arange(8.0).reshape(2, 2, 2), [0, 1]).rows(images, [0, 1])
    found = further.read(data, images, {})
    assert found.rows.shape == (2, 1, 2, 2)
    assert found.y.ravel().tolist() == [0, 1]
    texts = {"form": "text", "task": "sentences", "target": target}
    data, _ = answers(["good", "bad", "so"], [1, None, 0]).rows(texts, [0, 1])
    found = further.read(data, texts, {})
    assert list(found.rows) == ["good", "so"]
    assert found.y.ravel().tolist() == [1, 0]


def test_the_model_is_found_by_where_it_is_served_from(model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    versions.files.copy(model, other)
    service(tmp_path / "serving", ("a", other), ("b", model), keep_rows=10).feedback.close()
    place = Place.of(model)
    assert Service.of(tmp_path / "serving", place).model == "b"
    assert Service.of(tmp_path / "serving", place, "a").model == "a"
    versions.files.copy(model, tmp_path / "third")
    with pytest.raises(SpecError, match="--model: a, b"):
        Service.of(tmp_path / "serving", Place.of(tmp_path / "third"))
    with pytest.raises(SpecError, match="no model 'bb'"):
        Service.of(tmp_path / "serving", place, "bb")
    with pytest.raises(SpecError, match="is no folder of state"):
        Service.of(tmp_path / "nothing", place)


@pytest.fixture
def run(model: Path, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    def call(*more: str) -> Any:
        given = ["update", str(model), "--how", "head", "--old", str(tmp_path / "old.csv"), "--lose", "0.02", *more]
        return CliRunner().invoke(app, given, catch_exceptions=False)

    return call


def test_the_command(model: Path, tmp_path: Path, run: Callable[..., Any]) -> None:
    served(model, tmp_path / "serving", flowers(200, 2, bent=0.5))
    done = run("--follow", str(tmp_path / "serving"), "--once")
    assert "feedback 1 to 4 (150 rows to learn from, 50 held out)" in done.output
    served(model, tmp_path / "serving", flowers(60, 3, bent=0.5))
    done = run("--feedback", str(tmp_path / "serving"))
    assert "feedback 5 to 6 (45 rows" in done.output
    assert run("--feedback", "a", "--data", "b").exit_code == 2
