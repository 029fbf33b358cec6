"""Time series as people have them: gaps, duplicates, several series, counters, dates in any format."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from automl.data import load
from automl.data.preparing import steps
from automl.data.preparing.transform import transform
from automl.errors import DataError

HOURS = pd.date_range("2024-01-01", periods=240, freq="h")


def sensor(rows: int = 240) -> pd.DataFrame:
    t = np.arange(rows)
    return pd.DataFrame({"when": HOURS[:rows].astype(str), "load": np.sin(t / 5) * 10 + 50, "wind": np.cos(t / 3)})


def values_of(part, data) -> np.ndarray:
    return (part.y * data.target_scale + data.target_center).numpy()


@pytest.mark.parametrize("values", [np.arange(240) * 2 + 7, np.cumsum(np.arange(240) % 3 + 1), np.arange(240)])
def test_a_target_that_counts_keeps_its_own_history(values: np.ndarray):
    frame = sensor().assign(load=values)
    data = load(frame, target="load", prepare={"window": 6})
    assert "load" in data.columns
    assert data.inputs.continues == (data.columns.index("load"),)
    column = data.columns.index("load")
    past = data.val.x[:, -1, column] * data.target_scale + data.target_center
    assert torch.allclose(past[1:], torch.from_numpy(values_of(data.val, data)[:-1, 0]), atol=1e-3)


def test_missing_targets_are_left_out_and_never_made_up():
    frame = sensor()
    gone = [30, 31, 130, 131, 132, 220]
    frame.loc[gone, "load"] = np.nan
    frame.loc[140, "load"] = np.inf
    data = load(frame, target="load", prepare={"window": 6})
    assert len(data.train) == 120 - 6 - 2
    assert len(data.val) == 60 - 4
    assert len(data.test) == 60 - 1
    truth = frame.load[np.isfinite(frame.load)].to_numpy()
    for part in (data.train, data.val, data.test):
        assert np.abs(values_of(part, data) - truth).min(axis=1).max() < 1e-4
    assert data.inputs.continues, "the target's own past is in the unit of the target"
    assert any("7 rows without a number in load: no window predicts them" in note for note in data.notes)


def test_what_training_sees_does_not_depend_on_later_rows():
    frame, other = sensor(), sensor()
    frame.loc[118:122, "wind"] = np.nan
    other.loc[118:122, "wind"] = np.nan
    other.loc[123:, ["load", "wind"]] *= 1000
    prepare = {"window": 6}
    assert torch.equal(
        load(frame, target="load", prepare=prepare).train.x, load(other, target="load", prepare=prepare).train.x
    )


def test_rows_are_ordered_by_the_only_column_of_dates_and_the_last_of_a_time_is_kept():
    frame = sensor()
    mixed = frame.sample(frac=1.0, random_state=1)
    first = frame.iloc[[5, 6]].assign(load=-1e6)
    data = load(pd.concat([first, mixed]), target="load", prepare={"window": 6})
    plain = load(frame, target="load", prepare={"window": 6})
    assert data.fingerprint == plain.fingerprint
    assert "rows in order of 'when', the only column with dates" in plain.notes
    assert any("were not in order of 'when': sorted" in note for note in data.notes)
    assert any("2 rows left out that have the time of another row" in note for note in data.notes)


def test_no_window_spans_a_gap():
    frame = sensor().drop(index=[50, 51, 52])
    data = load(frame, target="load", prepare={"window": 6})
    steady = load(sensor(), target="load", prepare={"window": 6, "gaps": "split"})
    assert len(data.train) == round(237 / 2) - 6 - 6
    assert len(steady.train) == 120 - 6
    assert any("1 gaps in 'when', 3 steps of 1 hour are missing" in note for note in data.notes)
    column = data.columns.index("when")
    center, scale = (data.preparation["table"]["columns"][0][k] for k in ("center", "scale"))
    hours = np.round((data.train.x[:, :, column].double().numpy() * scale + center) * 24)
    assert (np.diff(hours, axis=1) == 1).all()
    ignored = load(frame, target="load", prepare={"window": 6, "gaps": "ignore"})
    assert len(ignored.train) == round(237 / 2) - 6


def test_filled_gaps_are_inputs_but_never_targets():
    frame = sensor().drop(index=[50, 51, 52, 150])
    data = load(frame, target="load", prepare={"window": 6, "gaps": "fill"})
    assert len(data.train) == 120 - 6 - 3
    assert len(data.val) == 60 - 1
    assert any("4 rows inserted into 2 gaps of 'when'" in note for note in data.notes)
    missing = data.columns.index("load is missing")
    assert data.train.x[:, :, missing].sum() == 4 + 5 + 6, "windows that would predict an inserted row are left out"
    whole = load(sensor(), target="load", prepare={"window": 6})
    column = whole.columns.index("when")
    elapsed = data.train.x[:, :, data.columns.index("when")]
    assert torch.allclose(elapsed[:40], whole.train.x[:40, :, column], atol=1e-5)
    far = pd.concat([sensor(), sensor(1).assign(when="2044-01-01")])
    with pytest.raises(DataError, match="fill would insert"):
        load(far, target="load", prepare={"window": 6, "gaps": "fill"})


@pytest.mark.parametrize(
    ("dates", "step"),
    [
        (pd.date_range("2000-01-01", periods=120, freq="MS"), "1 month"),
        (pd.date_range("2000-01-31", periods=120, freq="ME"), "1 month"),
        (pd.date_range("2000-01-31", periods=120, freq="QE"), "3 months"),
        (pd.bdate_range("2024-01-01", periods=120), "1 weekday"),
        (pd.date_range("2024-01-01", periods=120, freq="15min"), "15 minutes"),
        (pd.date_range("2024-01-01", periods=120, freq="D"), "1 day"),
        (pd.date_range("2024-01-01", periods=120, freq="10s"), "10 seconds"),
        (pd.date_range("1900-01-01", periods=120, freq="YS"), "12 months"),
    ],
)
def test_the_step_of_a_calendar_is_found(dates: pd.DatetimeIndex, step: str):
    days = np.asarray((dates - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1))
    how = {**steps.decide(days, np.zeros(120, dtype=np.int64), "date"), "time": "t"}
    assert steps.described(how) == step
    notes: list[str] = []
    assert steps.absent_before(days, np.zeros(120, dtype=np.int64), how, notes).sum() == 0
    assert not notes
    less = np.delete(days, [40, 41, 42])
    absent = steps.absent_before(less, np.zeros(117, dtype=np.int64), how, notes)
    assert absent[40] == absent.sum() == 3
    assert steps.earlier(less[[40] * 3], np.array([3, 2, 1]), how) == pytest.approx(days[40:43])


def test_irregular_times_are_told():
    rng = np.random.default_rng(0)
    when = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(240) * 300 + rng.integers(-60, 60, 240), unit="s")
    data = load(sensor().assign(when=when), target="load", prepare={"window": 6})
    assert any("do not follow the one before at the regular step" in note for note in data.notes)
    assert len(data.train) == 120 - 6


def shops() -> pd.DataFrame:
    months = pd.date_range("2010-01-01", periods=120, freq="MS")
    parts = [
        pd.DataFrame({"month": months.strftime("%d.%m.%Y"), "shop": shop, "sales": 1000.0 * k + np.arange(120) % 12})
        for k, shop in enumerate(("north", "south", "west"), 1)
    ]
    return pd.concat(parts, ignore_index=True).sort_values("month", kind="stable", ignore_index=True)


@pytest.mark.parametrize("where", ["prepare", "split", "found"])
def test_windows_lie_in_one_series_each_split_in_time(where: str):
    frame = shops()
    split = {"train": 0.5, "val": 0.25, "test": 0.25, **({"group": "shop"} if where == "split" else {})}
    prepare = {"window": 6, **({"series": "shop"} if where == "prepare" else {})}
    data = load(frame, target="sales", split=split, prepare=prepare)
    assert [len(part) for part in (data.train, data.val, data.test)] == [3 * 54, 3 * 30, 3 * 30]
    sales = data.columns.index("sales")
    past = data.train.x[:, :, sales] * data.target_scale + data.target_center
    assert (torch.round(past / 1000).std(dim=1) == 0).all(), "no window has the sales of two shops"
    assert (np.round(values_of(data.train, data)[:, 0] / 1000) == np.round(past[:, -1].numpy() / 1000)).all()
    if where == "found":
        assert any("3 series told apart by 'shop'" in note for note in data.notes)


def test_predictions_are_one_for_each_series_whatever_the_order():
    frame = shops()
    data = load(frame, target="sales", prepare={"window": 6, "series": "shop"})
    north = transform(data.preparation, frame[frame["shop"] == "north"].sample(frac=1, random_state=0))
    messages: list[str] = []
    both = transform(data.preparation, frame[frame["shop"] != "west"].iloc[::-1], messages)
    assert both.shape[0] == 2
    assert any(torch.equal(north[0], one) for one in both)
    assert messages == ["rows were not in order of 'month': sorted"]


def test_many_rows_of_one_time_without_a_series_get_the_option_to_name():
    frame = shops().rename(columns={"shop": "a"})
    frame["b"] = frame["a"]
    split = {"train": 0.5, "val": 0.25, "test": 0.25}
    with pytest.raises(DataError, match=r"prepare: \{series: \.\.\.\}"):
        load(frame, target="sales", split={**split, "time": "month"}, prepare={"window": 6})
    data = load(frame, target="sales", split=split, prepare={"window": 6})
    assert any("rows taken in the order of the file" in note for note in data.notes)


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
    assert messages == ["1 rows inserted into 1 gaps of 'when', their inputs missing"]


def test_an_index_of_dates_is_the_time():
    frame = sensor()[["load", "wind"]].set_index(HOURS)
    data = load(frame.sample(frac=1, random_state=0), target="load", prepare={"window": 6})
    assert torch.equal(transform(data.preparation, frame.iloc[114:120]), data.val.x[:1])


def test_options_of_series_are_checked():
    with pytest.raises(DataError, match=r"prepare\.gaps: expected split, fill, ignore, got 'fil'; did you mean 'fill'"):
        load(sensor(), target="load", prepare={"window": 6, "gaps": "fil"})
    with pytest.raises(DataError, match=r"prepare\.gaps: only a time series has it; set `window`"):
        load(sensor(), target="load", prepare={"gaps": "fill"})
    with pytest.raises(DataError, match=r"prepare\.series: no column 'lod'"):
        load(sensor(), target="load", prepare={"window": 6, "series": "lod"})
    gappy = sensor().iloc[::1].drop(index=list(range(3, 240, 4)))
    with pytest.raises(DataError, match=r"too few for windows of 6 \+ 1, as no window spans a gap"):
        load(gappy, target="load", prepare={"window": 6})
