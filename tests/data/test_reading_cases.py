"""Ordinary tables that were once read wrongly: each is read with the right values, and what was decided is told."""

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from automl.data import load
from automl.data.cells import dates
from automl.data.preparing.transform import transform

N = 80
RNG = np.random.default_rng(1)
X = RNG.normal(size=N).round(4)
LABELS = ["yes" if x > 0 else "no" for x in X]


def table(folder: Path, columns: dict[str, list[str]], name="t.csv", separator=",", encoding="utf-8", before=""):
    lines = [separator.join(columns)]
    for row in zip(*columns.values(), strict=True):
        lines.append(separator.join(f'"{cell}"' if separator in cell else cell for cell in row))
    (folder / name).write_bytes((before + "\n".join(lines) + "\n").encode(encoding))
    return folder / name


def column(data, name: str) -> dict:
    return next(c for c in data.preparation["columns"] if c["name"] == name)


def test_clock_times_are_times_of_day(tmp_path):
    hours = RNG.uniform(6, 22, N)
    cells = [f"{int(h):02d}:{int(h % 1 * 60):02d}" for h in hours]
    data = load(str(table(tmp_path, {"at": cells, "y": ["late" if h > 14 else "early" for h in hours]})), target="y")
    assert column(data, "at")["role"] == "time"
    seconds = (
        column(data, "at")["center"]
        + column(data, "at")["scale"]
        * transform(json.loads(json.dumps(data.preparation)), pd.DataFrame({"at": ["08:15", "8:15 pm"]}))[:, 0]
        .double()
        .numpy()
    )
    assert np.allclose(seconds, [8.25 * 3600, 20.25 * 3600], atol=0.1)


@pytest.mark.parametrize("given", [pd.to_timedelta(["08:15:00", "23:59:00"]), [dt.time(8, 15), dt.time(23, 59)]])
def test_times_of_day_as_databases_give_them(tmp_path, given):
    hours = [f"{k % 24:02d}:{k * 7 % 60:02d}" for k in range(N)]
    data = load(str(table(tmp_path, {"at": hours, "y": LABELS})), target="y")
    text = transform(data.preparation, pd.DataFrame({"at": ["08:15", "23:59"]}))
    assert torch.equal(transform(data.preparation, pd.DataFrame({"at": given})), text)
    assert torch.equal(transform(data.preparation, [{"at": one} for one in given]), text)


def test_lengths_of_time_as_databases_give_them(tmp_path):
    lengths = [f"{k * 7 % 90}:{k * 11 % 60:02d}:30" for k in range(N)]
    data = load(str(table(tmp_path, {"took": lengths, "y": LABELS})), target="y")
    text = transform(data.preparation, pd.DataFrame({"took": ["8:15:00", "49:00:00"]}))
    given = pd.to_timedelta(["8:15:00", "49:00:00"])
    assert torch.equal(transform(data.preparation, pd.DataFrame({"took": given})), text)
    assert torch.equal(transform(data.preparation, [{"took": one} for one in given]), text)
    data = load(pd.DataFrame({"took": pd.to_timedelta(lengths), "y": LABELS}), target="y")
    assert column(data, "took")["role"] == "number"
    assert not torch.isnan(transform(data.preparation, pd.DataFrame({"took": given}))).any()


@pytest.mark.parametrize("other", ["02", "A1"])
def test_a_code_is_the_same_beside_any_other_rows(tmp_path, other):
    codes = [("01", "02", "03", "A1")[k % 4] for k in range(N)]
    data = load(str(table(tmp_path, {"code": codes, "x": [str(x) for x in X], "y": LABELS})), target="y")
    assert column(data, "code")["values"] == ["01", "02", "03", "A1"]
    alone = transform(data.preparation, table(tmp_path, {"code": ["01"], "x": ["0.5"]}, "new.csv"))
    beside = transform(data.preparation, table(tmp_path, {"code": ["01", other], "x": ["0.5", "1"]}, "new.csv"))
    assert torch.equal(alone, beside[:1])


def test_what_cannot_be_read_is_counted(tmp_path):
    codes = [("01", "02", "03", "A1")[k % 4] for k in range(N)]
    data = load(str(table(tmp_path, {"code": codes, "x": [str(x) for x in X], "y": LABELS})), target="y")
    unread: list[str] = []
    transform(data.preparation, pd.DataFrame({"code": ["ZZ", "01"], "x": ["1,5", "abc"]}), unread)
    assert unread == ["column 'code': 1 not seen in training ('ZZ')", "column 'x': 1 not a number ('abc')"]


def test_a_late_word_does_not_make_numbers_and_texts_of_the_same_labels(tmp_path):
    labels = [str(k % 3) for k in range(N - 10)] + ["x"] * 10
    data = load(str(table(tmp_path, {"x": [str(x) for x in X], "y": labels})), target="y")
    assert data.classes == ["0", "1", "2", "x"]


@pytest.mark.parametrize("word", ["None", "NA", "null", "-", "?"])
def test_words_for_missing_values_are_classes_where_they_are_many(tmp_path, word):
    labels = [(word, "leak")[k % 2] for k in range(N)]
    data = load(str(table(tmp_path, {"x": [str(x) for x in X], "y": labels})), target="y")
    assert set(data.classes) == {word, "leak"}
    assert any(f"{word!r} (40 rows) read as a class" in note for note in data.notes)


WRITTEN = {
    "thousands": (lambda v: f"{v:,.0f}", 1.0), "currency": (lambda v: f"${v:.2f}", 1.0),
    "unit": (lambda v: f"{v:.2f} kg", 1.0), "space": (lambda v: f"\u00a0{v:.2f}", 1.0),
    "minus": (lambda v: f"{-v:.2f}".replace("-", "\u2212"), -1.0), "percent": (lambda v: f"{v:.2f}%", 1.0),
}  # fmt: skip


@pytest.mark.parametrize("how", sorted(WRITTEN))
def test_written_numbers_are_numbers(tmp_path, how):
    write, sign = WRITTEN[how]
    values = RNG.uniform(1000, 9000, N)
    path = table(tmp_path, {"amount": [write(v) for v in values], "y": LABELS})
    data = load(str(path), target="y", prepare={"scale": "none"})
    assert column(data, "amount")["role"] == "number"
    read = transform(data.preparation, pd.read_csv(path, dtype=str)[["amount"]]).numpy()[:, 0]
    assert np.allclose(read, sign * values, atol=0.6)


def read_numbers(folder: Path, cells: list[str]) -> tuple[np.ndarray, list[str]]:
    """(the numbers of a column, the notes about it)."""
    path = table(folder, {"v": cells, "y": LABELS})
    data = load(str(path), target="y", prepare={"scale": "none"})
    assert column(data, "v")["role"] == "number"
    return transform(data.preparation, path).numpy()[:, 0], [note for note in data.notes if "'v'" in note]


@pytest.mark.parametrize("decimal", [".", ","])
def test_percents_beside_shares_of_one(tmp_path, decimal):
    cells = [f"{k % 30}.5%" if k % 3 else f"0.{k % 30:02d}5" for k in range(N)]
    read, notes = read_numbers(tmp_path, [cell.replace(".", decimal) for cell in cells])
    assert np.allclose(read, [(k % 30 + 0.5) / 100 for k in range(N)])
    assert any("percent signs beside shares of 1" in note for note in notes)


@pytest.mark.parametrize(("cells", "value"), [(["0.1%", "0.3", "0.2%"], 0.3), (["10%", "30", "20%"], 30)])
def test_percents_with_some_signs_missing(tmp_path, cells, value):
    read, _ = read_numbers(tmp_path, [cells[k % 3] for k in range(N)])
    assert np.isclose(read[1], value)


@pytest.mark.parametrize("codes", [["1E2", "2E3", "10E1", "5E0"], ["01E2", "07E1", "10E1"]])
def test_digits_with_an_e_between_them_are_codes(tmp_path, codes):
    cells = [codes[k % len(codes)] for k in range(N)]
    data = load(str(table(tmp_path, {"well": cells, "y": LABELS})), target="y")
    assert column(data, "well")["values"] == sorted(codes)
    assert any("codes such as 1E2" in note and "types: {well: number}" in note for note in data.notes)
    given = {"types": {"well": "number"}}
    assert column(load(str(tmp_path / "t.csv"), target="y", prepare=given), "well")["role"] == "number"
    labels = load(str(table(tmp_path, {"x": [str(x) for x in X], "y": cells})), target="y")
    assert labels.classes == sorted(codes)


@pytest.mark.parametrize(
    "cells", [[f"{k}.5E-0{k % 9}" for k in range(N)], [f"{k}e3" if k % 3 else f"{k}" for k in range(N)]]
)
def test_numbers_with_an_exponent_stay_numbers(tmp_path, cells):
    assert np.allclose(read_numbers(tmp_path, cells)[0], [float(cell) for cell in cells])


def test_two_numbers_in_a_cell_are_told_with_what_to_do(tmp_path):
    pressure = [f"{110 + k % 40}/{60 + k % 30}" for k in range(N)]
    data = load(str(table(tmp_path, {"x": [str(x) for x in X], "pressure": pressure, "y": LABELS})), target="y")
    assert any("'pressure' left out: two numbers in a cell, such as '" in note for note in data.notes)


@pytest.mark.parametrize("separator", [",", "\t"])
def test_rows_with_names_as_r_writes_them(tmp_path, separator):
    path = table(tmp_path, {"x": [str(x) for x in X], "y": LABELS}, separator=separator)
    header, *lines = path.read_text().splitlines()
    path.write_text("\n".join([header, *(f'"{k + 1}"{separator}{line}' for k, line in enumerate(lines))]))
    data = load(str(path), target="y", prepare={"scale": "none"})
    assert data.columns == ["x"]
    assert np.allclose(transform(data.preparation, path).numpy()[:, 0], X)
    path.write_text("\n".join([header, *(f"{line}{separator}" for line in lines)]))  # a separator ends each line
    assert np.allclose(transform(data.preparation, path).numpy()[:, 0], X)


TITLES = "Quarterly report,,\nprinted 03/01/2022,,\n,,\n"
FILES = {
    "titles": {"before": TITLES}, "titles of one cell": {"before": "Quarterly report\n\n"},
    "semicolon": {"separator": ";"}, "tab": {"separator": "\t"}, "bar": {"separator": "|"},
    "latin": {"encoding": "cp1252"}, "utf-16": {"encoding": "utf-16"}, "mark": {"encoding": "utf-8-sig"},
    "sep": {"before": "sep=,\n"}, "strange sep": {"before": "sep=,,\n"}, "upper": {"name": "T.CSV"},
    "comment": {"before": "# from a machine\n"},
}  # fmt: skip


@pytest.mark.parametrize("how", sorted(FILES))
def test_files_of_other_programs(tmp_path, how):
    decimal = "," if how == "semicolon" else "."
    numbers = [f"{x:.4f}".replace(".", decimal) for x in X]
    path = table(tmp_path, {"größe": numbers, "y": LABELS}, **FILES[how])
    data = load(str(path), target="y", prepare={"scale": "none"})
    assert data.columns == ["größe"]
    assert np.allclose(transform(data.preparation, path).numpy()[:, 0], X)


def test_day_and_month_are_told_apart_by_the_whole_column(tmp_path):
    cells = [f"{k % 28 + 1:02d}/{k % 12 + 1:02d}/2021" for k in range(N)]
    data = load(str(table(tmp_path, {"on": cells, "y": LABELS})), target="y")
    assert column(data, "on")["dayfirst"] is True
    assert "column 'on': dates read as day/month/year" in data.notes
    unclear = [f"{k % 12 + 1:02d}/{(k * 5) % 12 + 1:02d}/2021" for k in range(N)]
    data = load(str(table(tmp_path, {"on": unclear, "y": LABELS})), target="y")
    assert any("that is a guess" in note and "dayfirst" in note for note in data.notes)


@pytest.mark.parametrize(("cell", "day"), [
    ("2021-06", "2021-06-01"), ("6/2021", "2021-06-01"), ("06/2021", "2021-06-01"), ("June 2021", "2021-06-01"),
    ("Jun-2021", "2021-06-01"), ("Sept. 2021", "2021-09-01"), ("2021-Q2", "2021-04-01"), ("2021Q4", "2021-10-01"),
    ("Q1 2021", "2021-01-01"), ("q3/2021", "2021-07-01"), ("2021-W01", "2021-01-04"), ("2021W53", None),
    ("2020-W53-7", "2021-01-03"), ("20210625", "2021-06-25"), ("20211325", None), ("2021-Q5", None), ("Foo 2021", None),
    ("Mar 5", None), ("13/2021", None), ("3/21", None), ("Q2", None), ("March", None),
])  # fmt: skip
def test_a_period_with_its_year_is_its_first_day(cell, day):
    expected = np.nan if day is None else (np.datetime64(day) - np.datetime64("1970-01-01")).astype(float)
    assert np.array_equal(dates.days(cell, True), expected, equal_nan=True)


def test_columns_of_months_quarters_and_weeks_are_dates(tmp_path):
    columns = {
        "month": [f"{('Jan', 'May', 'Oct')[k % 3]} {2001 + k % 19}" for k in range(N)],
        "quarter": [f"{2001 + k % 19} Q{k % 4 + 1}" for k in range(N)],
        "week": [f"{2001 + k % 19}-W{k % 52 + 1:02d}" for k in range(N)],
        "day": [f"{2001 + k % 19}{k % 12 + 1:02d}{k % 28 + 1:02d}" for k in range(N)],
    }
    data = load(str(table(tmp_path, {**columns, "y": LABELS})), target="y", prepare={"types": {"day": "date"}})
    assert {name: column(data, name)["role"] for name in columns} == dict.fromkeys(columns, "date")


def test_hidden_and_foreign_files_beside_images_are_passed_over(tmp_path):
    image = pytest.importorskip("PIL.Image")
    for name, level in (("cat", 60), ("dog", 180)):
        (tmp_path / "img" / name).mkdir(parents=True)
        for k in range(20):
            pixels = RNG.normal(level, 20, (8, 8, 3)).clip(0, 255).astype("u1")
            image.fromarray(pixels).save(tmp_path / "img" / name / f"{k}.png")
            (tmp_path / "img" / name / f"._{k}.png").write_bytes(b"\x00\x05\x16\x07Mac OS X")
    (tmp_path / "img" / ".cache").mkdir()
    (tmp_path / "img" / ".cache" / "x.png").write_bytes(b"")
    (tmp_path / "img" / "cat" / "notes.txt").write_text("hello")
    data = load(str(tmp_path / "img"))
    assert len(data.train) + len(data.val) + len(data.test) == 40
    assert data.classes == ["cat", "dog"]
    assert "img: 41 hidden files passed over" in data.notes
    assert any("1 files that are no images" in note and "cat/notes.txt" in note for note in data.notes)


def test_a_date_with_an_hour_that_does_not_exist_is_counted(tmp_path):
    cells = [f"2021-03-{k % 28 + 1:02d} {k % 24:02d}:30" for k in range(N)]
    data = load(str(table(tmp_path, {"on": cells, "y": LABELS})), target="y")
    unread: list[str] = []
    transform(
        data.preparation, pd.DataFrame({"on": ["2021-03-04 25:30", "5/3/2021 99:00", "2021-03-04 23:30"]}), unread
    )
    assert unread == ["column 'on': 2 not a date ('2021-03-04 25:30', '5/3/2021 99:00')"]


def test_a_header_with_equal_and_empty_names(tmp_path):
    lines = [f"{k},{x},{-x},{label}" for k, (x, label) in enumerate(zip(X, LABELS, strict=True))]
    (tmp_path / "t.csv").write_text("\n".join([",x,x,y", *lines]))
    data = load(str(tmp_path / "t.csv"), target="y", prepare={"scale": "none"})
    assert data.columns == ["x", "x.1"]  # the first is the number of the row
    assert "t.csv: a column whose name another one has is read as 'x.1'" in data.notes
    for rows in (tmp_path / "t.csv", pd.read_csv(tmp_path / "t.csv")):
        assert np.allclose(transform(data.preparation, rows), np.stack([X, -X], axis=1))


def test_titles_are_no_header_and_summaries_no_rows(tmp_path):
    body = "".join(f'{x},"{1000 + k % 30:,}",{label}\n' for k, (x, label) in enumerate(zip(X, LABELS, strict=True)))
    (tmp_path / "t.csv").write_text(f'{TITLES}x,visits,y\n{body}Total,"99,999",\n,,\n')
    data = load(str(tmp_path / "t.csv"), target="y", prepare={"types": {"x": "number"}})
    assert data.columns == ["x", "visits"]
    assert len(data.train) + len(data.val) + len(data.test) == N
    assert "t.csv: 2 lines of comments or titles passed over" in data.notes


def test_a_header_of_one_cell_is_no_title(tmp_path):
    data = load(pd.DataFrame({"tags": ["a;b", "b;c", "c;d"] * 20, "y": ["u", "v"] * 30}), target="y")
    (tmp_path / "new.csv").write_text("tags\na;b\nb;c\nc;d\na;b\n")
    assert len(transform(data.preparation, tmp_path / "new.csv")) == 4


def test_moments_with_a_named_zone_are_dates(tmp_path):
    cells = [f"2021/0{k % 9 + 1}/{k % 28 + 1:02d} {k % 12 + 1}:{k % 60:02d}:00 PM GMT+1" for k in range(N)]
    data = load(str(table(tmp_path, {"at": cells, "y": LABELS})), target="y")
    spoken = transform(data.preparation, pd.DataFrame({"at": ["2021/03/04 3:00:00 PM GMT+1"]}))
    typed = transform(data.preparation, pd.DataFrame({"at": [pd.Timestamp("2021-03-04 14:00", tz="UTC")]}))
    assert torch.equal(spoken, typed)


@pytest.mark.parametrize("word", ["n.a.", "#DIV/0!", "--", "."])
def test_further_words_for_missing_values(tmp_path, word):
    cells = [word if k % 8 == 0 else f"{x} kg" for k, x in enumerate(X)]
    data = load(str(table(tmp_path, {"weight": cells, "y": LABELS})), target="y")
    assert data.columns == ["weight", "weight is missing"]


def test_a_few_words_among_many_numbers_are_missing_values_and_told(tmp_path):
    cells = [("unknown", "<5")[k % 2] if k % 3 == 0 else f"{abs(x) * 50 + 5:.1f} mg" for k, x in enumerate(X)]
    path = table(tmp_path, {"crp": cells, "y": LABELS})
    data = load(str(path), target="y")
    assert data.columns == ["crp", "crp is missing"]
    assert "column 'crp': 27 values that are not numbers read as missing" in data.notes


@pytest.mark.parametrize("cells", [["red", "1", "2", "blue"] * 20, [f"{k:03d}" if k % 4 else "new" for k in range(N)],
                                   [f"A{k}" if k % 2 else str(k) for k in range(40)] * 2])  # fmt: skip
def test_codes_and_few_numbers_beside_words_stay_categories(tmp_path, cells):
    data = load(str(table(tmp_path, {"c": cells, "x": [str(x) for x in X], "y": LABELS})), target="y")
    assert not any(c["name"] == "c" and c["role"] != "category" for c in data.preparation["columns"])


def test_folders_of_parts_are_no_classes(tmp_path):
    image = pytest.importorskip("PIL.Image")
    for part, n in (("train", 12), ("valid", 5), ("test", 4)):
        for label, level in (("cat", 20), ("dog", 200)):
            for k in range(n):
                (tmp_path / "img" / part / label).mkdir(parents=True, exist_ok=True)
                image.new("L", (6, 6) if k else (9, 6), level + k).save(tmp_path / "img" / part / label / f"{k}.png")
    data = load("img", base=tmp_path)
    assert data.classes == ["cat", "dog"]
    assert [len(part) for part in (data.train, data.val, data.test)] == [24, 10, 8]
    assert any("the folders in it are parts (24 train, 10 val, 8 test)" in note for note in data.notes)
    assert any("36 images of another size read as 9 x 6" in note for note in data.notes)
