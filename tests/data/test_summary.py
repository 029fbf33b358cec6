"""What is said about data: right counts, right baselines, the columns that tell the target."""

import json
import time

import numpy as np
import pandas as pd
import pytest

from automl import data, metrics
from automl.data.attributes import shared
from automl.data.cells.readings import ATTRIBUTE
from automl.data.summary import columns, facts
from automl.data.summary import find as finding
from automl.data.summary.facts import Summary
from automl.errors import DataError

ROWS = 400


def table(rows=ROWS, seed=0):
    """90 % "no", 10 % "yes"; of each kind of column one."""
    rng = np.random.default_rng(seed)
    y = np.where(np.arange(rows) % 10 == 0, "yes", "no")
    words = ["good", "bad", "late", "fast", "parcel"]
    return pd.DataFrame(
        {
            "customer_id": np.arange(rows) + 1000,
            "age": rng.integers(18, 80, rows),
            "city": rng.choice(["Rome", "Oslo", "Lima"], rows),
            "country": "NL",
            "review": [" ".join(rng.choice(words, 6)) + f" {k}" for k in range(rows)],
            "result": np.where(y == "yes", "R2", "R0"),
            "weight": np.ones(rows),
            "churn": y,
        }
    )


def written(tmp_path, frame, name="t.csv"):
    frame.to_csv(tmp_path / name, index=False)
    return tmp_path / name


def by_name(summary):
    return {column.name: column for column in summary.columns}


def test_roles_counts_and_examples_of_columns_in_a_file(tmp_path):
    frame = table()
    frame.loc[3:22, "city"] = "NA"
    frame.loc[0:1, "churn"] = ""
    file = written(tmp_path, frame)
    loaded = data.load(file, target="churn", prepare={"weight": "weight", "drop": "result"}, look=None)
    summary = loaded.summary
    found = by_name(summary)
    assert list(found) == ["churn", "customer_id", "age", "city", "country", "review", "result", "weight"]
    assert {name: column.role for name, column in found.items()} == {
        "churn": "target", "customer_id": "left out", "age": "input", "city": "input", "country": "left out",
        "review": "left out", "result": "dropped", "weight": "weight",
    }  # fmt: skip
    assert (found["city"].missing, found["city"].distinct, found["city"].kind) == (20, 3, "category")
    assert (found["churn"].missing, found["churn"].distinct) == (2, 2)
    assert found["age"].distinct == frame["age"][2:].nunique()
    assert found["age"].examples == tuple(dict.fromkeys(frame["age"][2:].astype(str)))[:3]
    assert found["country"].note == "constant ('NL')"
    assert "identifier" in found["customer_id"].note
    assert summary.text == ("review",)
    assert (summary.used, summary.unused, summary.left_out_rows) == (2, 3, 2)
    assert dict(summary.rows) == {"train": 199, "val": 100, "test": 99}
    assert sum(summary.rows.values()) == ROWS - 2


def test_class_balance_and_what_the_majority_alone_scores(tmp_path):
    frame = table().drop(columns="result")
    loaded = data.load(written(tmp_path, frame), target="churn")
    summary = loaded.summary
    labels = {one.label: (one.rows, one.train) for one in summary.target.classes}
    assert (labels["no"][0], labels["yes"][0]) == (360, 40)
    assert summary.target.classes[0].label == "no"
    share = float((loaded.val.y == loaded.classes.index("no")).double().mean())
    assert summary.baselines["val_accuracy"] == pytest.approx(share)
    assert summary.guesses["val_accuracy"] == "always 'no'"
    assert summary.baselines["val_balanced_accuracy"] == 0.5
    assert summary.baselines["val_auroc"] == 0.5
    train = float((loaded.train.y == loaded.classes.index("no")).double().mean())
    entropy = -(share * np.log(train) + (1 - share) * np.log(1 - train))
    assert summary.baselines["val_log_loss"] == pytest.approx(entropy, rel=2e-3)
    assert set(summary.baselines) == {f"val_{name}" for name in metrics.names("classification")}


def test_balanced_weights_change_what_a_constant_guess_scores(tmp_path):
    frame = table().drop(columns="result")
    summary = data.load(written(tmp_path, frame), target="churn", prepare={"class_weight": "balanced"}).summary
    assert summary.baselines["val_accuracy"] == pytest.approx(0.5, abs=0.02)


def test_regression_is_compared_with_mean_and_median():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"a": rng.normal(size=300), "b": rng.normal(size=300), "price": rng.lognormal(3, 1, 300)})
    loaded = data.load(frame, target="price")
    summary = loaded.summary
    center, scale = loaded.target_center.double(), loaded.target_scale.double()
    train, val = (part.y.double() * scale + center for part in (loaded.train, loaded.val))
    rmse = min(float((val - guess).square().mean().sqrt()) for guess in (train.mean(), train.median()))
    mae = min(float((val - guess).abs().mean()) for guess in (train.mean(), train.median()))
    assert summary.baselines["val_rmse"] == pytest.approx(rmse, rel=1e-5)
    assert summary.baselines["val_mae"] == pytest.approx(mae, rel=1e-5)
    assert summary.guesses["val_mae"] == "the training median"
    assert summary.target.spread == pytest.approx(
        (float(train.min()), float(train.flatten().median()), float(train.max())), rel=1e-5
    )
    assert summary.baselines["val_r2"] <= 0.01


def test_a_series_is_compared_with_its_last_value():
    rng = np.random.default_rng(2)
    walk = np.cumsum(rng.normal(size=400))
    frame = pd.DataFrame({"day": pd.date_range("2020-01-01", periods=400), "load": walk})
    loaded = data.load(frame, target="load", prepare={"window": 8})
    summary = loaded.summary
    assert summary.guesses["val_rmse"] == "the last value"
    part = loaded.val
    last = part.x[:, -1, list(loaded.inputs.continues)]
    rmse = float(((last - part.y) * loaded.target_scale).double().square().mean().sqrt())
    assert summary.baselines["val_rmse"] == pytest.approx(rmse, rel=1e-5)
    found = by_name(summary)
    assert (found["load"].role, found["load"].note) == ("target", "its own past is an input")
    assert found["day"].note.startswith("orders the rows")
    assert summary.inputs.startswith("windows of 8 steps of ")


def test_the_columns_that_tell_series_apart_are_named():
    frame = pd.DataFrame({"shop": np.repeat(["a", "b"], 150), "sold": np.random.default_rng(0).normal(size=300)})
    frame["day"] = list(pd.date_range("2020-01-01", periods=150)) * 2
    found = by_name(data.load(frame, target="sold", prepare={"window": 4, "series": "shop"}).summary)
    assert found["shop"].note.startswith("tells series apart")
    assert found["day"].note.startswith("orders the rows")


def test_next_token_is_compared_with_the_commonest(tmp_path):
    file = tmp_path / "t.txt"
    file.write_text("aaab" * 400)
    summary = data.load(file, prepare={"window": 8}).summary
    assert summary.baselines["val_accuracy"] == pytest.approx(0.75, abs=0.02)
    assert summary.baselines["val_loss"] == pytest.approx(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)), abs=0.02)
    assert summary.columns == ()


def test_images_and_arrays_have_no_columns():
    x, y = np.random.default_rng(0).integers(0, 255, (60, 8, 8)).astype(np.uint8), np.arange(60) % 3
    summary = data.load((x, y)).summary
    assert summary.inputs == "images of 1 x 8 x 8"
    assert (summary.columns, summary.leaks) == ((), {})
    assert [one.rows for one in summary.target.classes] == [20, 20, 20]


# -- leaks -------------------------------------------------------------------------------------------------------------


def leaks_of(frame, target="y", **prepare):
    return data.load(frame, target=target, prepare=prepare).summary.leaks


def leaking(rows=600, seed=3):
    rng = np.random.default_rng(seed)
    y = rng.choice(["a", "b", "c"], rows)
    return pd.DataFrame({"noise": rng.normal(size=rows), "weak": (y == "a") + rng.normal(0, 0.3, rows), "y": y})


@pytest.mark.parametrize("encoding", ["onehot", "embed"])
@pytest.mark.parametrize("place", [0, 3])
def test_a_renamed_target_is_found_wherever_it_stands(encoding, place):
    frame = leaking()
    frame.insert(place, "code", frame["y"].map({"a": "x", "b": "z", "c": "w"}))
    frame.insert(1, "town", np.random.default_rng(0).choice(["p", "q"], len(frame)))
    assert leaks_of(frame, categorical=encoding) == {"code": "each class has a value of its own"}


def test_a_number_that_tells_the_class_is_found_and_a_good_input_is_not():
    frame = leaking()
    frame["score"] = frame["y"].map({"a": 1.0, "b": 2.0, "c": 3.0}) + np.random.default_rng(1).normal(0, 0.01, 600)
    found = leaks_of(frame)
    assert list(found) == ["score"]
    assert found["score"].startswith("right in ")


def test_a_column_that_is_filled_only_for_one_class_is_found():
    frame = leaking()
    frame["y"] = np.where(frame["y"] == "a", "yes", "no")
    rng = np.random.default_rng(2)
    frame["closed_on"] = np.where(frame["y"] == "yes", rng.normal(size=600), np.nan)
    assert list(leaks_of(frame)) == ["closed_on"]


def test_the_target_in_another_unit_and_a_curve_of_it_are_found():
    rng = np.random.default_rng(4)
    y = rng.normal(size=600) * 10 + 50
    frame = pd.DataFrame({"a": rng.normal(size=600), "fahrenheit": y * 1.8 + 32, "log": np.log(y + 100), "y": y})
    found = leaks_of(frame)
    assert found["fahrenheit"] == "the same number, perhaps in another unit"
    assert found["log"].startswith("R2 0.9999") or found["log"].startswith("R2 1.0000")
    assert "a" not in found


def test_dates_with_a_clock_and_times_do_not_shift_the_columns_behind_them():
    frame = leaking()
    rng = np.random.default_rng(5)
    stamps = pd.Timestamp("2021-01-01") + pd.to_timedelta(rng.integers(0, 10**7, 600), unit="s")
    frame.insert(0, "seen", stamps)
    frame.insert(1, "hour", [f"{h:02d}:{m:02d}" for h, m in rng.integers(0, 24, (600, 2))])
    frame.insert(2, "gap", np.where(rng.random(600) < 0.2, np.nan, rng.normal(size=600)))
    frame["code"] = frame["y"].map({"a": 7, "b": 9, "c": 2})
    assert list(leaks_of(frame)) == ["code"]


def test_a_very_good_input_of_a_small_table_is_no_leak():
    """One flower in a hundred is told wrong by the petals alone: 75 rows are too few to call that a leak."""
    assert data.load("iris").summary.leaks == {}


def test_a_target_beyond_float32_has_a_spread_and_is_json():
    frame = table().assign(price=np.random.default_rng(0).normal(size=ROWS) * 1e40)
    summary = data.load(frame, target="price").summary
    assert summary.target.spread == pytest.approx((frame["price"].min(), 0, frame["price"].max()), rel=0.5, abs=1e40)
    json.dumps(summary.to_json(), allow_nan=False)


def test_nothing_is_said_of_few_rows_or_of_a_single_column():
    frame = leaking(60)
    frame["code"] = frame["y"]
    assert leaks_of(frame) == {}
    rng = np.random.default_rng(6)
    x = rng.normal(size=400)
    assert leaks_of(pd.DataFrame({"x": x, "y": 2 * x})) == {}


def test_real_tables_have_no_leaks(shared_data):
    for name in ("adult", "credit_g", "phoneme", "vehicle", "wine_quality_red"):
        loaded = data.load(shared_data / "tables" / f"{name}.tsv.gz", target="target")
        assert loaded.summary.leaks == {}, name
        assert loaded.summary.text == ()


# -- drop --------------------------------------------------------------------------------------------------------------


def test_dropped_columns_are_no_inputs_and_predictions_need_them_not(tmp_path):
    file = written(tmp_path, table())
    whole = data.load(file, target="churn")
    loaded = data.load(file, target="churn", prepare={"drop": ["result", "age"]})
    assert whole.summary.leaks == {"result": "each class has a value of its own"}
    assert loaded.summary.leaks == {}
    assert [c["name"] for c in loaded.preparation["columns"]] == ["city"]
    assert loaded.preparation["expects"] == ["customer_id", "city", "country", "review", "weight"]


@pytest.mark.usefixtures("cache")
def test_a_streamed_table_drops_the_same_columns(tmp_path):
    file = written(tmp_path, table(2000))
    prepare = {"drop": "result", "weight": "weight"}
    streamed = data.load(file, target="churn", prepare={**prepare, "memory": "1kB"})
    whole = data.load(file, target="churn", prepare=prepare)
    assert streamed.columns == whole.columns
    roles = {column.name: column.role for column in streamed.summary.columns}
    assert roles == {column.name: column.role for column in whole.summary.columns}
    assert roles["result"] == "dropped"
    assert by_name(streamed.summary)["city"].counted == 1000
    assert streamed.summary.baselines["val_accuracy"] == pytest.approx(whole.summary.baselines["val_accuracy"])


def test_a_series_drops_columns():
    frame = pd.DataFrame({"day": pd.date_range("2020-01-01", periods=200), "load": np.sin(np.arange(200.0))})
    frame["copy"] = frame["load"] * 2
    loaded = data.load(frame, target="load", prepare={"window": 4, "drop": ["copy"]})
    assert "copy" not in loaded.preparation["table"]["expects"]
    assert by_name(loaded.summary)["copy"].role == "dropped"


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        ("churn", "prepare.drop: 'churn' is the target"),
        (["resultt"], "prepare.drop: no column 'resultt'; did you mean 'result'?"),
        ({"a": 1}, "prepare.drop: expected a column or a list of columns"),
        (list(table().columns[:-1]), "prepare.drop: no column is left to learn from"),
    ],
)
def test_wrong_drops_name_place_value_and_remedy(drop, message):
    with pytest.raises(DataError) as error:
        data.load(table(), target="churn", prepare={"drop": drop})
    assert message in str(error.value)


def test_arrays_have_no_columns_to_drop():
    with pytest.raises(DataError, match=r"prepare\.drop: only tables have columns with names"):
        data.load((np.random.default_rng(0).normal(size=(50, 3)), np.arange(50) % 2), prepare={"drop": "a"})


# -- as plain data -----------------------------------------------------------------------------------------------------


def test_a_summary_survives_json_and_anything_else_is_no_summary():
    summary = data.load(table(), target="churn").summary
    again = Summary.from_json(json.loads(json.dumps(summary.to_json(), allow_nan=False)))
    assert again == summary
    good = summary.to_json()
    wrong = [None, 3, "x", [], {}, {**good, "rows": 3}, {**good, "columns": "abc"}, {**good, "target": None}]
    wrong += [{**good, "baselines": {"val_accuracy": float("nan")}}, {**good, "notes": "text"}]
    wrong += [{**good, "columns": [{"name": "x"}]}, {**good, "target": {**good["target"], "spread": [1]}}]
    wrong += [{**good, "target": {**good["target"], "spread": [0.0, float("inf"), 1.0]}}]
    for one in wrong:
        assert Summary.from_json(one) is None, one


def test_a_wide_table_keeps_what_is_to_be_said_about_it():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 600)), columns=[f"x{k}" for k in range(600)])
    frame["last"], frame["y"] = "same", np.arange(60) % 2
    summary = data.load(frame, target="y").summary
    short = summary.shortened()
    assert (summary.used, summary.unused, len(summary.columns)) == (600, 1, 602)
    assert len(short.columns) == facts.MOST_COLUMNS
    assert {"y", "last"} <= {column.name for column in short.columns}
    assert len(json.dumps(short.to_json())) < 60_000


def test_many_classes_keep_the_common_and_the_rare_ones():
    y = np.repeat(np.arange(100), np.arange(100) + 3)
    frame = pd.DataFrame({"a": np.random.default_rng(0).normal(size=len(y)), "b": 1.0 * (y % 7), "y": y.astype(str)})
    short = data.load(frame, target="y", prepare={"task": "classification"}).summary.shortened()
    labels = [one.label for one in short.target.classes]
    assert (len(labels), short.target.count) == (facts.MOST_CLASSES, 100)
    assert (labels[0], labels[-1]) == ("99", "0")
    assert short.target.rare > 0


def test_quick_counts_say_in_how_many_rows_they_were_made():
    summary = data.load(table(5000), target="churn").summary
    assert by_name(summary)["city"].counted == columns.ROWS
    assert by_name(data.load(table(5000), target="churn", look=None).summary)["city"].counted == 0


def test_a_summary_costs_little_beside_loading(tmp_path, monkeypatch):
    """It looks at a bounded number of rows: ten times the rows may not take ten times as long."""
    spent = []

    def timed(*arguments):
        begun = time.process_time()
        try:
            return finding.summary_of(*arguments)
        finally:
            spent.append(time.process_time() - begun)

    monkeypatch.setattr("automl.data.loading.summary_of", timed)
    rng = np.random.default_rng(0)
    for rows in (3_000, 60_000):
        frame = pd.DataFrame({f"x{k}": rng.normal(size=rows).round(3) for k in range(10)})
        frame["y"] = rng.choice(["a", "b"], rows)
        file = written(tmp_path, frame)
        for _ in range(3):
            data.load(file, target="y")
    assert min(spent[3:]) < 8 * min(spent[:3])  # of twenty times the rows


def test_what_is_known_of_a_table_is_not_copied_with_each_of_its_columns():
    """pandas copies `attrs` deeply with every column: the readings of 600 columns, 6,000 times, took minutes."""
    known = {"readings": {f"x{k}": {"kind": "number"} for k in range(3)}}
    frame = pd.DataFrame({"x0": [1.0, 2.0]})
    frame.attrs = {ATTRIBUTE: known, "user": [1]}
    frame = shared(frame)
    assert frame.attrs == {ATTRIBUTE: known, "user": [1]}
    assert frame["x0"].attrs[ATTRIBUTE] is frame.attrs[ATTRIBUTE]
    assert frame.iloc[:1].attrs[ATTRIBUTE] is frame.attrs[ATTRIBUTE]
