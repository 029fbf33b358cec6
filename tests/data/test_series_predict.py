"""Predicting a series: the rows of its past in any form and order, and what is told of them."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from automl.data import load
from automl.data.preparing import series
from automl.data.preparing.transform import transform
from automl.errors import DataError
from tests.support.series import HOURS, sensor, shops


def european(frame: pd.DataFrame) -> str:
    text = frame.assign(
        when=pd.to_datetime(frame.when).dt.strftime("%d.%m.%Y %H:%M"),
        load=[f"{v:.6f}".replace(".", ",") for v in frame.load * 1],
        wind=[f"{v * 100:.4f}".replace(".", ",") + " %" for v in frame.wind],
    )
    return text.to_csv(sep=";", index=False)


@pytest.mark.parametrize("form", ["csv", "text", "typed", "reversed columns", "dict", "path", "shuffled", "json"])
def test_one_window_gets_the_same_prediction_in_any_form(tmp_path: Path, form: str):
    (tmp_path / "s.csv").write_text(european(sensor()))
    data = load("s.csv", target="load", prepare={"window": 6}, base=tmp_path)
    preparation = json.loads(json.dumps(data.preparation))
    last = sensor().iloc[114:120]
    (tmp_path / "w.csv").write_text(european(last))
    text = pd.read_csv(io.StringIO(european(last)), sep=";", dtype=str)
    typed = last.assign(when=pd.to_datetime(last.when), load=last.load.round(6), wind=(last.wind * 100).round(4))
    rows = {
        "csv": pd.read_csv(io.StringIO(european(last)), sep=";"),
        "text": text,
        "typed": typed,
        "reversed columns": text[text.columns[::-1]],
        "dict": text.to_dict(orient="list"),
        "path": tmp_path / "w.csv",
        "shuffled": text.sample(frac=1, random_state=3),
        "json": json.loads(typed.to_json(orient="records", date_format="iso", double_precision=12)),
    }[form]
    assert torch.allclose(transform(preparation, rows), data.val.x[:1], atol=2e-4)


def test_predictions_are_one_for_each_series_whatever_the_order():
    frame = shops()
    data = load(frame, target="sales", prepare={"window": 6, "series": "shop"})
    north = transform(data.preparation, frame[frame["shop"] == "north"].sample(frac=1, random_state=0))
    messages: list[str] = []
    both = transform(data.preparation, frame[frame["shop"] != "west"].iloc[::-1], messages)
    assert both.shape[0] == 2
    assert any(torch.equal(north[0], one) for one in both)
    assert messages == ["rows were not in order of 'month': sorted"]


def test_predict_tells_gaps_order_and_too_few_rows():
    data = load(sensor(), target="load", prepare={"window": 6})
    messages: list[str] = []
    transform(data.preparation, sensor().drop(index=[237]), messages)
    assert messages == ["rows are missing in the last 6 rows of 'when' (a gap), which no window of the training had"]
    with pytest.raises(DataError, match="looks back 6"):
        transform(data.preparation, sensor(5))
    filled = load(sensor(), target="load", prepare={"window": 6, "gaps": "fill"})
    messages = []
    assert transform(filled.preparation, sensor().drop(index=[237]), messages).shape[1] == 6
    assert messages == ["1 row inserted into 1 gap of 'when', their inputs missing"]


def test_predict_tells_that_the_newest_rows_have_no_target():
    data = load(sensor(), target="load", prepare={"window": 6})
    rows, messages = sensor(), []
    rows.loc[238:, "load"] = np.nan
    transform(data.preparation, rows, messages)
    told = "no value of 'load'; what is predicted is the step after, so leave them out to predict their own"
    assert messages[0] == f"the newest 2 rows have {told}"
    messages.clear()
    rows = sensor().astype({"load": object})
    rows.loc[239, "load"] = "n/a"
    transform(data.preparation, rows, messages)
    assert messages[0] == f"the newest row has {told}"
    messages.clear()
    rows = sensor()
    rows.loc[236, "load"] = np.nan
    transform(data.preparation, rows, messages)
    assert not [message for message in messages if "newest" in message]


@pytest.mark.parametrize("form", ["frame", "records", "dict", "path"])
def test_what_predictions_follow_is_known_for_rows_in_any_form(tmp_path: Path, form: str):
    frame = shops()
    frame.iloc[::-1].to_csv(tmp_path / "rows.csv", index=False)
    rows = {
        "frame": frame,
        "records": frame.to_dict("records"),
        "dict": frame.to_dict("list"),
        "path": tmp_path / "rows.csv",
    }[form]
    data = load(frame, target="sales", prepare={"window": 6, "series": "shop"})
    names, times = series.last_rows(data.preparation, rows)
    assert sorted(names) == ["north", "south", "west"]
    assert times == ["01.12.2019"] * 3
    x = transform(data.preparation, rows)
    sales = x[:, -1, data.columns.index("sales")] * data.target_scale[0] + data.target_center[0]
    for name, value in zip(names, sales, strict=True):
        assert float(value) == pytest.approx({"north": 1011, "south": 2011, "west": 3011}[name], abs=0.01)
    one = load(sensor(), target="load", prepare={"window": 6})
    assert series.last_rows(one.preparation, sensor()) == ([], ["2024-01-10 23:00:00"])
    assert series.last_rows(one.preparation, np.zeros((2, 6, 3))) == ([], [])


def test_rows_without_the_time_or_the_series_are_refused():
    frame = shops().assign(country="DE")
    data = load(frame, target="sales", prepare={"window": 6, "series": ["country", "shop"]})
    for name in ("month", "shop", "country"):
        with pytest.raises(DataError, match=f"column '{name}' is missing"):
            transform(data.preparation, frame.drop(columns=name))


def test_an_index_of_dates_is_the_time():
    frame = sensor()[["load", "wind"]].set_index(HOURS)
    data = load(frame.sample(frac=1, random_state=0), target="load", prepare={"window": 6})
    assert torch.equal(transform(data.preparation, frame.iloc[114:120]), data.val.x[:1])
