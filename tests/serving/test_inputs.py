"""What comes in: bodies of every kind, and one clear refusal for what does not fit."""

import io
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import automl
from automl.serving.inputs.answers import as_csv
from tests.support.serving import ask, flowers, service

ROW = {"size": 5.0, "age": 30, "colour": "red", "day": "2021-03-04"}
Bundles = dict[str, Path]


def answers(
    bundles: Bundles, tmp_path: Path, name: str, *requests: dict[str, Any], **settings: Any
) -> list[httpx.Response]:
    """What a server of one model answers to requests, each given as the arguments of `post`."""
    made = service(tmp_path / "state", (name, bundles[name]), **settings)

    async def talk(client: httpx.AsyncClient) -> list[httpx.Response]:
        return [await client.post(one.pop("url", "/v1/predict"), **one) for one in map(dict, requests)]

    result: list[httpx.Response] = ask(made, talk)
    return result


def arrow(frame: pd.DataFrame) -> bytes:
    table, sink = pa.Table.from_pandas(frame, preserve_index=False), io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def npy(array: Any) -> bytes:
    sink = io.BytesIO()
    np.save(sink, array)
    return sink.getvalue()


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = json.loads(frame.to_json(orient="records"))
    return made


def test_every_kind_of_body_gets_the_answer_of_the_model_itself(bundles: Bundles, tmp_path: Path) -> None:
    rows = flowers(50).drop(columns="kind")
    expected = automl.load(bundles["flowers"]).predict(rows).tolist()
    shares = automl.load(bundles["flowers"]).predict_proba(rows)
    as_lists = [list(record.values()) for record in records(rows)]
    columns = {name: [r[name] for r in records(rows)] for name in rows}
    got = answers(
        bundles, tmp_path, "flowers",
        {"json": {"rows": records(rows), "proba": True}},
        {"json": records(rows)},
        {"json": {"rows": as_lists}},
        {"json": {"columns": columns}},
        {"content": rows.to_csv(index=False), "headers": {"content-type": "text/csv"}},
        {"content": rows.to_csv(index=False, sep=";"), "headers": {"content-type": "text/csv; charset=utf-8"}},
        {"content": arrow(rows), "headers": {"content-type": "application/vnd.apache.arrow.stream"}},
    )  # fmt: skip
    assert [one.status_code for one in got] == [200] * 7
    assert all(one.json()["predictions"] == expected for one in got)
    first = got[0].json()
    assert first["classes"] == ["iris", "rose"]
    assert np.allclose(first["probabilities"], shares, atol=1e-6)
    assert all("the range in training" in warning for warning in first["warnings"])


def test_arrays_values_texts_and_series_are_answered_too(bundles: Bundles, tmp_path: Path) -> None:
    x = np.random.default_rng(5).normal(size=(3, 16))
    expected = automl.load(bundles["digits"]).predict(x).tolist()
    got = answers(
        bundles, tmp_path / "a", "digits", {"json": {"rows": x.tolist()}},
        {"content": npy(x), "headers": {"content-type": "application/x-npy"}},
        {"content": npy(x[0].astype(np.float32)), "headers": {"content-type": "application/x-npy"}},
    )  # fmt: skip
    assert got[0].json()["predictions"] == got[1].json()["predictions"] == expected
    assert got[2].json()["predictions"] == expected[:1]
    prices = answers(bundles, tmp_path / "b", "prices", {"json": {"rows": [ROW]}})[0].json()["predictions"]
    assert prices == pytest.approx(automl.load(bundles["prices"]).predict([{**ROW, "constant": "x"}]).tolist())
    texts = ["good day", "bad night"]
    said = answers(bundles, tmp_path / "c", "texts", {"json": {"rows": [texts[0], {"text": texts[1]}]}})[0].json()
    assert said["predictions"] == automl.load(bundles["texts"]).predict(texts).tolist()
    past = [{"day": f"2021-05-0{k}", "size": 4.0 + k} for k in range(1, 6)]
    series = answers(bundles, tmp_path / "d", "series", {"json": {"rows": past}})[0].json()
    assert series["predictions"] == pytest.approx(automl.load(bundles["series"]).predict(past).tolist())


def test_answers_come_as_csv_or_arrow_where_asked_for(bundles: Bundles, tmp_path: Path) -> None:
    arrow_type = "application/vnd.apache.arrow.stream"
    csv, as_arrow = answers(
        bundles, tmp_path, "flowers",
        {"json": {"rows": [ROW, ROW], "proba": True}, "headers": {"accept": "text/csv"}},
        {"json": {"rows": [ROW, ROW]}, "headers": {"accept": arrow_type}, "url": "/v1/predict?proba=true"},
    )  # fmt: skip
    table = pd.read_csv(io.BytesIO(csv.content))
    assert list(table.columns) == ["prediction", "p(iris)", "p(rose)"]
    assert table["p(iris)"].iloc[0] + table["p(rose)"].iloc[0] == pytest.approx(1)
    assert csv.headers["x-model"] == "flowers@v1"
    read = pa.ipc.open_stream(as_arrow.content).read_all().to_pandas()
    assert np.allclose(read["p(iris)"], table["p(iris)"])


REFUSALS = {
    "unknown column": ({"rows": [{**ROW, "agee": 3}]}, 422, "unknown_column", "rows[0]", "did you mean 'age'?"),
    "missing column": ({"rows": [ROW, {"size": 1}]}, 422, "missing_column", "rows[1]", "'age' is missing"),
    "word as number": ({"rows": [ROW, {**ROW, "size": "big"}]}, 422, "invalid_value", "rows[1].size", "'big'"),
    "no date": ({"rows": [{**ROW, "day": "soon"}]}, 422, "invalid_value", "rows[0].day", "'soon'"),
    "list as cell": ({"rows": [{**ROW, "age": [1]}]}, 422, "wrong_type", "rows[0].age", "a cell is a number"),
    "row of wrong length": ({"rows": [[1, 2]]}, 422, "wrong_shape", "rows[0]", "5 values in this order: size, age"),
    "row that is none": ({"rows": [ROW, 3]}, 422, "wrong_type", "rows[1]", "each row is an object"),
    "no rows": ({"rows": []}, 422, "no_rows", "rows", "at least one row"),
    "columns as rows": ({"rows": {"size": [1]}}, 422, "no_rows", "rows", "at least one row"),
    "nothing as rows": ({"rows": {}}, 422, "no_rows", "rows", "at least one row"),
    "no list": ({"rows": "x"}, 422, "no_rows", "rows", "at least one row"),
    "unknown key": ({"row": [ROW]}, 422, "unknown_key", "row", "did you mean 'rows'?"),
    "text for truth": ({"rows": [ROW], "proba": "yes"}, 422, "wrong_type", "proba", "truth value"),
    "uneven columns": ({"columns": {"size": [1], "age": [1, 2]}}, 422, "wrong_shape", "columns", "differ in length"),
    "no column": ({"columns": {name: [] for name in ROW}}, 422, "no_rows", "rows", "at least one row"),
    "column with a wrong name": (
        {"columns": {"agee": [1], **{name: [value] for name, value in ROW.items()}}}, 422, "unknown_column", "rows[0]",
        "did you mean 'age'?",
    ),
    "column with a list": (
        {"columns": {**{name: [value] * 2 for name, value in ROW.items()}, "age": [1, [2]]}}, 422, "wrong_type",
        "rows[1].age", "a cell is a number",
    ),
    "too long columns": ({"columns": {name: [1] * 11 for name in ROW}}, 413, "too_many_rows", "rows", "at most 10"),
    "unknown model": ({"rows": [ROW], "model": "flower"}, 404, "unknown_model", "model", "did you mean 'flowers'?"),
    "unknown version": ({"rows": [ROW], "version": "v9"}, 404, "unknown_version", "version", "'v9'"),
    "too many rows": ({"rows": [ROW] * 11}, 413, "too_many_rows", "rows", "at most 10"),
}  # fmt: skip


def test_several_targets_are_named() -> None:
    answer = {"targets": ["price", "rent"], "predictions": [[1.0, 2.0], [3.0, 4.0]]}
    assert as_csv(answer) == b"prediction of price,prediction of rent\n1.0,2.0\n3.0,4.0\n"
    assert as_csv({"predictions": [[1.0, 2.0]]}) == b"prediction,prediction 2\n1.0,2.0\n", "steps of a forecast"


def test_what_does_not_fit_is_refused_with_place_value_and_rule(bundles: Bundles, tmp_path: Path) -> None:
    got = answers(bundles, tmp_path, "flowers", *({"json": body} for body, *_ in REFUSALS.values()), max_rows=10)
    for (name, (_, status, code, where, words)), one in zip(REFUSALS.items(), got, strict=True):
        error = one.json()["error"]
        assert (one.status_code, error["code"], error["where"]) == (status, code, where), name
        assert words in error["message"], name


HUGE = npy(np.zeros((3, 5))).replace(b"(3, 5), }         ", b"(3000000000, 5), }")
RAW = {
    "no json": (b"{", "application/json", 400, "invalid_json"),
    "no number": (b'{"rows": [[NaN]]}', "application/json", 400, "invalid_json"),
    "deep": (b"[" * 100_000, "application/json", 400, "invalid_json"),
    "no text": (b"\xff\xfe\x00", "application/json", 400, "invalid_json"),
    "pickle": (b"\x80\x04.", "application/x-pickle", 415, "unknown_content_type"),
    "objects": (npy(np.array([{}], dtype=object)), "application/x-npy", 422, "wrong_type"),
    "cut": (npy(np.zeros((3, 5)))[:-8], "application/x-npy", 400, "invalid_npy"),
    "huge claim": (HUGE, "application/x-npy", 400, "invalid_npy"),
    "wrong columns": (npy(np.zeros((3, 4))), "application/x-npy", 422, "wrong_shape"),
    "no arrow": (b"x" * 100, "application/vnd.apache.arrow.stream", 400, "invalid_arrow"),
    "csv of nothing": (b"", "text/csv", 400, "invalid_csv"),
    "csv without rows": (b"size,age,colour,day\n", "text/csv", 422, "no_rows"),
    "csv with other columns": (b"size,height\n1,2\n", "text/csv", 422, "unknown_column"),
    "csv with a column twice": (b"size,size,age,colour,day\n1,2,3,red,2021-01-01\n", "text/csv", 422, "double_column"),
    "packed csv": (b"\x1f\x8b\x08\x00", "text/csv", 415, "compressed_body"),
}  # fmt: skip


def test_bodies_that_cannot_be_read_are_refused(bundles: Bundles, tmp_path: Path) -> None:
    got = answers(
        bundles, tmp_path, "flowers",
        *({"content": body, "headers": {"content-type": kind}} for body, kind, *_ in RAW.values()),
    )  # fmt: skip
    for (name, (_, _, status, code)), one in zip(RAW.items(), got, strict=True):
        assert (one.status_code, one.json()["error"]["code"]) == (status, code), (name, one.text)
        assert "/tmp" not in one.text


def test_a_nested_arrow_column_is_no_cell(bundles: Bundles, tmp_path: Path) -> None:
    frame = pd.DataFrame({"size": [[1.0]], "age": [1], "colour": ["red"], "day": ["2021-01-01"]})
    headers = {"content-type": "application/vnd.apache.arrow.stream"}
    (one,) = answers(bundles, tmp_path, "flowers", {"content": arrow(frame), "headers": headers})
    assert (one.status_code, one.json()["error"]["where"]) == (422, "size")


def test_bodies_larger_than_allowed_are_refused_also_without_a_length(bundles: Bundles, tmp_path: Path) -> None:
    async def pieces() -> Any:
        for _ in range(100):
            yield b" " * 1000

    by_length, by_count = answers(
        bundles, tmp_path, "flowers", {"content": b" " * 50_001}, {"content": pieces()}, max_bytes=50_000
    )
    assert by_length.status_code == by_count.status_code == 413
    assert by_length.json()["error"]["code"] == "body_too_large"


def test_values_that_training_has_not_seen_are_a_warning_or_refused(bundles: Bundles, tmp_path: Path) -> None:
    odd = {**ROW, "size": 1e6, "colour": "green"}
    (one,) = answers(bundles, tmp_path / "a", "flowers", {"json": [odd, ROW]})
    colour, size = one.json()["warnings"]
    assert colour == "column 'colour': 1 not seen in training ('green')"
    assert size.startswith("column 'size': 1 outside of ")
    refused, fine = answers(bundles, tmp_path / "b", "flowers", {"json": [odd]}, {"json": [ROW]}, strict=True)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "not_seen_in_training")
    assert fine.status_code == 200


def test_the_targets_own_column_and_unused_ones_may_be_there(bundles: Bundles, tmp_path: Path) -> None:
    (one,) = answers(bundles, tmp_path, "flowers", {"json": [{**ROW, "kind": "iris", "constant": "y"}]})
    assert one.status_code == 200


def test_bundles_without_ranges_are_served_without_warnings(bundles: Bundles, tmp_path: Path) -> None:
    """Those of earlier versions do not say what training has seen."""
    from automl.bundle.loading import load
    from automl.serving.models.served import Served

    model = load(bundles["flowers"])
    for column in model.preparation["columns"]:
        del column["seen"]
    served = Served("old", "v1", "0", model, strict=True)
    from automl.serving.inputs import bodies

    ready = served.prepare(bodies.rows_of([{**ROW, "size": 1e9}], served.schema, 10))
    assert ready.warnings == []
    assert ready.raw is not None
    assert not ready.outside.any()
