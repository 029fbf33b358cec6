"""Rows of requests that a server keeps for updates: only where it was told to, bounded, joined with their answers."""

import io
import json
import stat
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from automl.data.preparing.transform import transform
from automl.errors import DataError
from automl.serving.inputs.schema import InputSchema
from automl.serving.watching import kept_rows
from automl.serving.watching.feedback import Feedback
from automl.serving.watching.kept_rows import Reader
from tests.support.serving import ask, flowers, service

Bundles = dict[str, Path]
TEXT = InputSchema("text")


def arrow(frame: pd.DataFrame) -> bytes:
    packed = io.BytesIO()
    made = pa.Table.from_pandas(frame, preserve_index=False)
    with pa.ipc.new_stream(packed, made.schema) as writer:
        writer.write_table(made)
    return packed.getvalue()


def bodies(frame: pd.DataFrame) -> list[tuple[str, bytes]]:
    """The same rows in each form that tables come in."""
    return [
        ("application/json", frame.to_json(orient="records").encode()),
        ("text/csv", frame.to_csv(index=False).encode()),
        ("text/csv", frame.to_csv(index=False, sep=";").encode()),
        ("application/vnd.apache.arrow.stream", arrow(frame.assign(day=pd.to_datetime(frame.day)))),
    ]


def asked(made: Any, requests: list[tuple[str, bytes]], answers: list[Any] | None = None) -> list[str]:
    """Ask, and send the answers; returns the ids of the requests."""

    async def talk(client: httpx.AsyncClient) -> list[str]:
        ids = []
        for kind, body in requests:
            given = await client.post("/v1/predict", content=body, headers={"content-type": kind, "accept": "text/csv"})
            assert given.status_code == 200, given.text
            ids.append(given.headers["x-request-id"])
            if answers is not None:
                told = {"request_id": ids[-1], "answers": answers}
                assert (await client.post("/v1/feedback", json=told)).status_code == 200
        return ids

    found: list[str] = ask(made, talk)
    return found


def test_kept_rows_are_prepared_as_those_of_the_request_were(bundles: Bundles, tmp_path: Path) -> None:
    made = service(tmp_path, ("flowers", bundles["flowers"]), keep_rows=1000)
    frame = flowers(30).drop(columns="kind").round(3)
    asked(made, bodies(frame), ["iris"] * 30)
    preparation = made.registry.find("flowers", None, "a").preparation
    reader = Reader(tmp_path / kept_rows.FILE)
    found = list(reader.answered("flowers", 0))
    assert len(found) == 4
    assert reader.count("flowers", 0) == 120
    wanted = transform(preparation, frame)
    for one in found:
        assert list(one.rows) == ["size", "age", "colour", "day"]  # what the model looks at, nothing else
        given = pd.DataFrame(one.rows).reindex(columns=preparation["expects"])
        assert torch.equal(transform(preparation, given), wanted)
    joined = {name: [cell for one in found for cell in one.rows[name]] for name in found[0].rows}
    given = pd.DataFrame(joined).reindex(columns=preparation["expects"])
    assert torch.equal(transform(preparation, given), wanted.repeat(4, 1))


def test_arrays_and_texts_are_kept_and_series_are_not(bundles: Bundles, tmp_path: Path) -> None:
    made = service(tmp_path, *((name, bundles[name]) for name in ("digits", "texts", "series")), keep_rows=1000)
    digits = np.arange(32.0).reshape(2, 16)
    series = [{"day": f"2021-01-{d:02d}", "size": 5.0} for d in range(1, 9)]

    async def talk(client: httpx.AsyncClient) -> None:
        for model, rows in (("digits", digits.tolist()), ("texts", ["good day", "bad night"]), ("series", series)):
            given = (await client.post("/v1/predict", json={"model": model, "rows": rows})).json()
            told = [0 if model != "series" else 1.5] * len(given["predictions"])
            await client.post("/v1/feedback", json={"request_id": given["request_id"], "answers": told})

    ask(made, talk)
    reader = Reader(tmp_path / kept_rows.FILE)
    assert reader.models() == ["digits", "texts"]
    (images,) = reader.answered("digits", 0)
    np.testing.assert_array_equal(images.rows, digits)
    (texts,) = reader.answered("texts", 0)
    assert texts.rows == ["good day", "bad night"]


def test_nothing_is_kept_where_it_was_not_asked_for_and_what_was_kept_is_deleted(
    bundles: Bundles, tmp_path: Path
) -> None:
    secret = flowers(2).drop(columns="kind").assign(colour="red").to_json(orient="records").encode()
    asked(
        service(tmp_path, ("flowers", bundles["flowers"]), keep_rows=100), [("application/json", secret)], ["iris"] * 2
    )
    reader = Reader(tmp_path / kept_rows.FILE)
    assert reader.count("flowers", 0) == 2
    asked(service(tmp_path, ("flowers", bundles["flowers"])), [("application/json", secret)], ["iris"] * 2)
    assert reader.models() == []
    assert list(reader.answered("flowers", 0)) == []
    assert stat.S_IMODE((tmp_path / kept_rows.FILE).stat().st_mode) == 0o600


def filled(file: Path, most: int, *counts: int) -> Feedback:
    """Feedback with a request of so many texts each, named r0, r1, ..."""
    feedback = Feedback(file, remember=1000, keep_rows=most)
    for k, count in enumerate(counts):
        add_rows(feedback, f"r{k}", count)
    return feedback


def add_rows(feedback: Feedback, name: str, count: int) -> None:
    feedback.kept.add(name, "m", "v1", TEXT, [f"{name} {k}" for k in range(count)], None, count)
    feedback.predicted(name, "local", "m", "v1", "classification", [0] * count)
    feedback.flush()


def labelled(file: Path) -> list[Any]:
    return [(one.rows, one.answers) for one in Reader(file).answered("m", 0)]


def test_of_waiting_and_of_answered_rows_the_oldest_go_first(tmp_path: Path) -> None:
    file = tmp_path / "f.sqlite"
    feedback = filled(file, 40, *[1] * 100)
    for k in range(60, 100):
        feedback.answered(f"r{k}", "local", [1])
    feedback.kept.delete_oldest()
    assert 38 <= len(labelled(file)) <= 40
    for k in range(100, 200):  # further questions take no room from answers
        add_rows(feedback, f"r{k}", 1)
    assert 38 <= len(labelled(file)) <= 40
    feedback.answered("r120", "local", [1])  # known still, but its row has gone
    assert ["r120 0"] not in [rows for rows, _ in labelled(file)]
    add_rows(feedback, "large", 41)
    feedback.answered("large", "local", [1] * 41)
    assert all(len(rows) == 1 for rows, _ in labelled(file))
    feedback.close()


def test_a_later_answer_replaces_an_earlier_one_and_has_a_higher_number(tmp_path: Path) -> None:
    file = tmp_path / "f.sqlite"
    feedback = filled(file, 100, 2, 2)
    feedback.answered("r1", "local", [None, "a"])
    assert Reader(file).count("m", 0) == 1
    feedback.answered("r1", "local", ["b", "a"])
    (one,) = Reader(file).answered("m", 1)
    assert (one.number, one.answers) == (2, ["b", "a"])
    feedback.answered("r0", "local", [None, None])
    assert len(labelled(file)) == 1
    feedback.close()


def test_a_request_id_that_is_used_again_never_joins_rows_with_answers_of_others(tmp_path: Path) -> None:
    file = tmp_path / "f.sqlite"
    feedback = filled(file, 100, 2)
    feedback.answered("r0", "local", [1, 2])
    add_rows(feedback, "r0", 1)
    feedback.answered("r0", "local", [3])
    assert labelled(file) == [(["r0 0", "r0 1"], [1, 2]), (["r0 0"], [3])]
    add_rows(feedback, "r0", 500)  # too many to be kept
    feedback.answered("r0", "local", [4] * 500)
    assert [answers for _, answers in labelled(file)] == [[1, 2], [3]]
    feedback.close()


def test_a_file_without_rows_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "f.sqlite").write_bytes(json.dumps({}).encode() * 100)
    with pytest.raises(DataError, match="--keep-rows"):
        Reader(tmp_path / "f.sqlite")
