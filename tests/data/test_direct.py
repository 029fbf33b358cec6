"""Rows prepared without pandas have the values that pandas gives, to the last bit."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from automl.data import load
from automl.data.direct import rows
from automl.data.direct.encoder import Encoder
from automl.data.preparing import tables

ROWS = 120


def training_table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    days = pd.Timestamp("2021-01-01") + pd.to_timedelta(rng.integers(0, 900, ROWS), unit="D")
    return pd.DataFrame(
        {
            "plain": rng.normal(size=ROWS),
            "gappy": np.where(rng.random(ROWS) < 0.2, np.nan, rng.normal(50, 20, ROWS)),
            "spelled": [f"{v:,.2f} EUR" for v in rng.uniform(1000, 9000, ROWS)],
            "colour": rng.choice(["red", "blue", None, "dark green "], ROWS),
            "code": rng.choice(["01", "02", "17"], ROWS),
            "flag": rng.choice([True, False], ROWS),
            "day": days.strftime("%Y-%m-%d"),
            "clock": [f"{h:02d}:{m:02d}" for h, m in rng.integers(0, [24, 60], (ROWS, 2))],
            "constant": ["same"] * ROWS,
            "y": rng.normal(size=ROWS),
        }
    )


def preparation_of(**options: Any) -> dict[str, Any]:
    made = load(training_table(), target="y", seed=0, prepare=options).preparation
    return json.loads(json.dumps(made))  # as a saved model has it


PREPARATIONS = {
    "plain": preparation_of(),
    "embed": preparation_of(categorical="embed", scale="robust"),
    "crosses and components": preparation_of(crosses=4, pca=0.9),
    "missing words": preparation_of(missing=["-999", "unknown"]),
}

numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**62), 2**62) | st.integers(-100, 100)
WORDS = """red|blue| red |green||?|NA|unknown|01|1|1.0|17|true|True|-999|x\u00a0y|1,234.50 EUR|1234.5|1.234,5|1e5|inf"""
DATES = """2022-03-04|2022-03-04 10:20|4.3.2022|12:30|8:15 pm"""
texts = st.sampled_from(f"{WORDS}|{DATES}".split("|")) | st.text(max_size=6)
one_kind = [numbers, texts, st.booleans()]
column = st.sampled_from(one_kind).flatmap(lambda kind: st.lists(st.none() | kind, min_size=1, max_size=5))
mixed = st.lists(st.none() | numbers | texts | st.booleans(), min_size=1, max_size=5)
NAMES = [name for name in training_table().columns if name != "y"]


@pytest.mark.parametrize("name", PREPARATIONS)
@given(data=st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_same_values_and_the_same_complaints_as_pandas_gives(name: str, data: st.DataObject) -> None:
    preparation = PREPARATIONS[name]
    count = data.draw(st.integers(1, 4))
    table = {n: data.draw(column | mixed).copy() for n in NAMES}
    table = {n: (values * count)[:count] for n, values in table.items()}
    records = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    expected_unread: list[str] = []
    expected = tables.transform(preparation, pd.DataFrame(records), expected_unread).numpy()
    encoder, unread = Encoder.of(preparation), []
    assert encoder is not None
    raw = encoder.read(table, count, unread)
    assert encoder.encode(raw).tobytes() == np.ascontiguousarray(expected).tobytes()
    assert unread == expected_unread
    of_frame = encoder.read_frame(pd.DataFrame(records), [])
    assert np.array_equal(raw, of_frame, equal_nan=True)


def test_many_rows_in_one_call_are_as_each_alone() -> None:
    frame = training_table()
    encoder = Encoder.of(PREPARATIONS["plain"])
    assert encoder is not None
    table = {n: [None if v != v else v for v in frame[n].tolist()] for n in encoder.names}
    whole = encoder.encode(encoder.read(table, ROWS, []))
    assert whole.tobytes() == tables.transform(PREPARATIONS["plain"], frame).numpy().tobytes()
    for k in (0, 7):
        alone = encoder.encode(encoder.read({n: values[k : k + 1] for n, values in table.items()}, 1, []))
        assert alone.tobytes() == whole[k : k + 1].tobytes()


def test_what_training_showed_is_kept_with_each_column() -> None:
    entries = {c["name"]: c["seen"] for c in PREPARATIONS["plain"]["columns"]}
    frame = training_table()
    gappy = entries["gappy"]
    assert 0.1 < gappy["missing"] < 0.3
    assert (
        frame.gappy.min()
        <= gappy["least"]
        < gappy["edges"][0]
        < gappy["edges"][-1]
        < gappy["most"]
        <= frame.gappy.max()
    )
    assert len(gappy["shares"]) == len(gappy["edges"]) + 1
    assert sum(gappy["shares"]) == pytest.approx(1)
    assert max(gappy["shares"]) < 0.1
    colour = next(c for c in PREPARATIONS["plain"]["columns"] if c["name"] == "colour")
    assert len(colour["seen"]["shares"]) == len(colour["values"])
    assert sum(colour["seen"]["shares"]) == pytest.approx(1)
    assert entries["day"]["least"] >= 18_628  # 2021-01-01


def test_arrays_keep_the_range_of_each_feature_or_of_their_means() -> None:
    x = np.arange(400, dtype=np.float64).reshape(100, 4)
    few = load((x, np.arange(100) % 2), seed=0).preparation["seen"]
    assert len(few["features"]) == 4
    assert 0 <= few["least"] < few["most"] <= 399
    images = np.random.default_rng(0).normal(size=(100, 20, 20))
    many = load((images, np.arange(100) % 2), seed=0).preparation["seen"]
    assert -0.3 < many["mean"]["least"] < many["mean"]["most"] < 0.3


@given(data=st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_rows_as_dicts_are_what_a_frame_of_them_is(data: st.DataObject) -> None:
    """Also with gaps, extra columns, and values of every type."""
    strange = (
        st.none() | numbers | texts | st.booleans() | st.just(np.float32(1.5)) | st.just(pd.Timestamp("2022-03-04"))
    )
    row = st.fixed_dictionaries(
        {n: strange for n in NAMES if n != "constant"}, optional={"constant": texts, "more": texts}
    )
    records = data.draw(st.lists(row, min_size=1, max_size=3))
    encoder, said, expected_said = Encoder.of(PREPARATIONS["plain"]), [], []
    assert encoder is not None
    quick = rows.prepared(encoder, records, said)
    expected = tables.transform(PREPARATIONS["plain"], pd.DataFrame(records), expected_said)
    if quick is not None:
        assert quick.numpy().tobytes() == expected.numpy().tobytes()
        assert said == expected_said


def test_rows_that_are_no_plain_dicts_are_for_pandas() -> None:
    encoder = Encoder.of(PREPARATIONS["plain"])
    assert encoder is not None
    row = dict.fromkeys(encoder.names)
    assert rows.prepared(encoder, row, []) is not None
    for other in (
        [],
        [[1]],
        training_table(),
        {**row, "plain": [1, 2]},
        [{"plain": 1}],
        [{**row, "flag": [True]}],
        "x",
    ):
        assert rows.prepared(encoder, other, []) is None


def test_forms_that_pandas_has_to_read_have_no_encoder() -> None:
    assert Encoder.of({"form": "array"}) is None
    assert Encoder.of({"form": "table", "columns": []}) is None  # of version 0.1
    plain = PREPARATIONS["plain"]
    assert Encoder.of({**plain, "something": "new"}) is None
    assert Encoder.of({**plain, "columns": [{**plain["columns"][0], "bins": [1]}]}) is None
