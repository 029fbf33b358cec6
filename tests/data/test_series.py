"""Time series as people have them: gaps, duplicates, several series, counters, dates in any format."""

import numpy as np
import pandas as pd
import pytest
import torch

from automl.data import load
from automl.data.preparing import series
from automl.data.preparing.ordering import steps
from automl.errors import DataError
from tests.support.series import sensor, shops


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
    assert any(
        "2 rows left out, at the time of another row in 'when': the last one in the file is kept" in note
        for note in data.notes
    )


def test_no_window_spans_a_gap():
    frame = sensor().drop(index=[50, 51, 52])
    data = load(frame, target="load", prepare={"window": 6})
    steady = load(sensor(), target="load", prepare={"window": 6, "gaps": "split"})
    assert len(data.train) == round(237 / 2) - 6 - 6
    assert len(steady.train) == 120 - 6
    assert any(
        "1 gap in 'when', 3 rows at a step of 1 hour missing: no window spans one" in note for note in data.notes
    )
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
    gone = np.arange(40, 46)
    less = np.delete(days, gone)
    absent = steps.absent_before(less, np.zeros(114, dtype=np.int64), how, notes)
    assert absent[40] == absent.sum() == 6
    assert steps.earlier(less[[40] * 6], np.arange(6, 0, -1), how) == pytest.approx(days[40:46])


def test_single_days_without_rows_are_holidays_where_weekends_have_none_either():
    dates = pd.bdate_range("2024-01-01", periods=240)
    frame = sensor().assign(when=dates.strftime("%Y-%m-%d")).drop(index=[50, 100, 101, 150])
    data = load(frame, target="load", prepare={"window": 6})
    assert len(data.train) == 118 - 6
    assert "4 days missing in 'when', at most 5 in a row: holidays, no gap" in data.notes
    shop = pd.date_range("2024-01-01", periods=280)
    frame = sensor().assign(when=shop[shop.day_of_week != 6][:240])
    data = load(frame, target="load", prepare={"window": 12})
    assert len(data.train) == 120 - 12
    assert not any("missing" in note for note in data.notes)
    assert steps.described(data.preparation["order"]) == "1 day of 6 a week"


def test_irregular_times_are_told():
    rng = np.random.default_rng(0)
    when = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(240) * 300 + rng.integers(-60, 60, 240), unit="s")
    data = load(sensor().assign(when=when), target="load", prepare={"window": 6})
    assert any("do not follow the one before at the regular step" in note for note in data.notes)
    assert len(data.train) == 120 - 6


def test_times_without_any_regular_step_have_no_gaps():
    rng = np.random.default_rng(0)
    when = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.cumsum(rng.exponential(600, 240)), unit="s")
    data = load(sensor().assign(when=when), target="load", prepare={"window": 6})
    assert len(data.train) == 120 - 6
    assert "the times in 'when' have no regular step: each row is taken as one step" in data.notes
    often = sensor()[rng.random(240) < 0.45]
    data = load(often, target="load", prepare={"window": 2})
    assert any("at a step of 1 hour missing" in note for note in data.notes)


def local(first: str, hours: int = 240) -> pd.DatetimeIndex:
    return pd.date_range(first, periods=hours, freq="h", tz="UTC").tz_convert("Europe/Berlin")


def test_clocks_that_are_changed_make_no_gap_and_are_told():
    spring, autumn = local("2023-03-23"), local("2023-10-26")
    data = load(sensor().assign(when=spring.tz_localize(None)), target="load", prepare={"window": 6})
    assert len(data.train) == 120 - 6
    assert "the hour that clocks skip in spring is missing in 'when' (1 time): no gap" in data.notes
    filled = load(sensor().assign(when=spring.tz_localize(None)), target="load", prepare={"window": 6, "gaps": "fill"})
    assert torch.equal(filled.train.x, data.train.x)
    text = sensor().assign(when=autumn.strftime("%d.%m.%Y %H:%M"))
    data = load(text, target="load", prepare={"window": 6})
    told = next(note for note in data.notes if note.startswith("1 row left out, at the time of another row in 'when'"))
    assert "an hour that clocks repeat in autumn" in told
    for whole in (spring, autumn):
        for when in (whole, whole.map(lambda time: time.isoformat())):
            data = load(sensor().assign(when=when), target="load", prepare={"window": 6})
            assert len(data.train) == 120 - 6
            assert not any("missing" in note or "left out" in note for note in data.notes)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("timestamp", 1_700_000_000 + 3600 * np.arange(240)),
        ("time_ms", 1_700_000_000_000 + 60_000 * np.arange(240)),
        ("year", 1700 + np.arange(240)),
        ("t", np.arange(240)),
    ],
)
def test_numbers_that_are_times_order_the_rows(name: str, values: np.ndarray):
    frame = sensor().drop(columns="when").assign(**{name: values})
    plain = load(frame, target="load", prepare={"window": 6})
    assert f"rows in order of {name!r}, times as numbers" in plain.notes
    mixed = load(frame.sample(frac=1, random_state=0), target="load", prepare={"window": 6})
    assert mixed.fingerprint == plain.fingerprint
    fewer = load(frame.drop(index=[50]), target="load", prepare={"window": 6})
    assert any(note.startswith(f"1 gap in {name!r}, 1 row at a step of") for note in fewer.notes)


def test_counters_and_targets_are_no_times():
    big = 1_700_000_000 + np.cumsum(np.arange(240) % 7)
    frame = sensor().drop(columns="when").assign(bytes_sent=big)
    data = load(frame, target="load", prepare={"window": 6})
    told = (
        "rows taken in the order of the file: no column holds dates; name the one to sort by with `split: {time: ...}`"
    )
    assert told in data.notes
    data = load(frame.rename(columns={"load": "time"}).assign(time=big), target="time", prepare={"window": 6})
    assert told in data.notes


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


@pytest.mark.parametrize("where", ["prepare", "found"])
def test_series_may_be_told_apart_by_two_columns(where: str):
    frame = shops()
    frame["goods"] = frame["shop"].map({"north": "tea", "south": "tea", "west": "milk"})
    frame["town"] = frame["shop"].map({"north": "Bonn", "south": "Trier", "west": "Bonn"})
    prepare = {"window": 6, **({"series": ["town", "goods"]} if where == "prepare" else {})}
    split = {"train": 0.5, "val": 0.25, "test": 0.25}
    data = load(frame.drop(columns="shop"), target="sales", split=split, prepare=prepare)
    assert [len(part) for part in (data.train, data.val, data.test)] == [3 * 54, 3 * 30, 3 * 30]
    names, _ = series.last_rows(data.preparation, frame)
    if where == "prepare":
        assert sorted(names) == ["Bonn / milk", "Bonn / tea", "Trier / tea"]
    else:
        assert sorted(names) == ["milk / Bonn", "tea / Bonn", "tea / Trier"]
        assert "3 series told apart by 'goods' and 'town': one row of each at a time of 'month'" in data.notes
    with pytest.raises(DataError, match=r"prepare\.series: no column 'twn'; did you mean 'town'"):
        load(frame, target="sales", prepare={"window": 6, "series": ["twn", "goods"]})


def test_a_name_and_a_number_of_the_same_series_are_one_choice():
    frame = shops().assign(number=lambda rows: rows["shop"].map({"north": 11, "south": 12, "west": 13}))
    data = load(frame, target="sales", prepare={"window": 6})
    assert data.preparation["order"]["columns"] == ["shop"]
    till = np.arange(len(frame)) // 3 % 2 + frame["number"] * 2
    for other in (frame.assign(till=till), frame.assign(till=till)[["till", *frame.columns]]):
        assert load(other, target="sales", prepare={"window": 6}).preparation["order"]["columns"] == []


def test_a_target_that_is_missing_at_the_end_leaves_the_test_part_empty():
    frame = sensor()
    frame.loc[180:, "load"] = np.nan
    data = load(frame, target="load", prepare={"window": 6, "horizon": 2})
    assert len(data.val) == 59
    assert data.test.y.shape == (0, 2)


def test_many_rows_of_one_time_without_a_series_get_the_option_to_name():
    frame = shops().rename(columns={"shop": "a"})
    frame["b"] = frame["a"] + np.where(np.arange(len(frame)) // 3 % 2, "!", "?")
    split = {"train": 0.5, "val": 0.25, "test": 0.25}
    with pytest.raises(DataError, match=r"prepare: \{series: \.\.\.\}"):
        load(frame, target="sales", split={**split, "time": "month"}, prepare={"window": 6})
    data = load(frame, target="sales", split=split, prepare={"window": 6})
    assert any("rows taken in the order of the file" in note for note in data.notes)
    assert not any("rows in order of" in note for note in data.notes)


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


@pytest.mark.parametrize("lengths", [{"A": 200, "B": 60, "C": 40}, {"A": 200, "B": 30, "C": 20}])
def test_short_series_beside_a_long_one_are_series_and_not_rows_of_its_times(lengths):
    days = pd.date_range("2021-01-01", periods=200)
    shops = [pd.DataFrame({"day": days[:n], "shop": name, "y": np.arange(n) % 7 + 100.0 * k})
             for k, (name, n) in enumerate(lengths.items())]  # fmt: skip
    frame = pd.concat([*shops, shops[0].head(20)])  # some rows twice
    data = load(frame, target="y", prepare={"window": 5})
    assert data.preparation["order"]["columns"] == ["shop"]
    assert len(data.train) + len(data.val) + len(data.test) == sum(lengths.values()) - 3 * 5


def test_rows_of_one_series_that_are_told_anew_are_no_series():
    days = pd.date_range("2021-01-01", periods=200)
    frame = pd.DataFrame({"day": days, "kind": np.where(np.arange(200) % 3, "a", "b"), "y": np.arange(200) % 7 + 0.5})
    again = frame.head(40).assign(y=9.0)
    data = load(pd.concat([frame, again]), target="y", prepare={"window": 5})
    assert data.preparation["order"]["columns"] == []
    assert any("40 rows left out, at the time of another row" in note for note in data.notes)
