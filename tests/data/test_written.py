"""Numbers, lengths of time and dates in further spellings: each is read with the right value, and what is told fits."""

import datetime
import math

import numpy as np
import pandas as pd
import pytest

from automl.data import load
from automl.data.cells import dates, deciding, durations, numbers, readings
from automl.data.preparing.transform import transform

DAY = (datetime.date(2023, 1, 6) - datetime.date(1970, 1, 1)).days


@pytest.mark.parametrize("cell", [
    "06/Jan/2023:00:00:00 +0000", "Fri Jan  6 00:00:00 2023", "Fri Jan 06 00:00:00 UTC 2023", "06.01.2023 00.00",
    "06.01.2023 00:00 Uhr", "2023\u5e7401\u670806\u65e5", "6. Januar 2023", "6 janvier 2023", "6 de enero de 2023",
    "6 gennaio 2023", "06JAN2023", "06JAN23:00:00:00", "Fr 06.01.2023", "ven. 06/01/2023",
    "Friday, 06.01.2023", "2023-01-06 01:00 CET", "2023-01-05T20:00:00 EDT",
    "2023-01-06T02:00:00+02:00[Europe/Helsinki]", "05.01.2023 24:00", "20230106", "20230106T000000", "202301060000",
    "2023-01-06 0h00",
])  # fmt: skip
def test_dates(cell):
    assert dates.days(cell, dayfirst=True) == DAY


@pytest.mark.parametrize(
    "cell", ["12abc34", "1.2.10", "Version 06.01.2023", "20211340", "jui 2023", "12 pro 2020", "Mar 5"]
)
def test_no_dates(cell):
    assert math.isnan(dates.days(cell, dayfirst=True))


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [("14h30", 52_200), ("14:30 Uhr", 52_200), ("2 h 05", 7_500), ("5pm", 61_200), ("12 a.m.", 0), ("24:00", 86_400)],
)
def test_times_of_day(cell, seconds):
    assert dates.seconds(cell) == seconds


@pytest.mark.parametrize(("cell", "seconds"), [
    ("36:15", 130_500), ("2 days 03:15:00", 184_500), ("1 day, 0:00:01", 86_401), ("-1 days +23:00:00", -3_600),
    ("1h 20m", 4_800), ("1h20m5s", 4_805), ("PT1H20M", 4_800), ("1:07.5", 67.5), ("90 sec", 90), ("P1D", 86_400),
])  # fmt: skip
def test_lengths_of_time(cell, seconds):
    assert durations.seconds(cell) == seconds


def read(cells):
    """(the reading of a column, its values) of cells that a file has."""
    values = pd.Series(cells)
    reading = deciding.decide(values, "c", readings.Rules(file=True))
    missing = readings.missing_words()
    if reading["kind"] == "date":
        return reading, readings.as_days(values, reading, missing).values
    return reading, None if reading["kind"] != "number" else readings.as_numbers(values, reading, missing, False).values


NUMBERS = {
    "minus behind": (["1,250.50-", "10.25", "3.75-"], [-1250.5, 10.25, -3.75]),
    "no cents": (["5.-", "12.50", "1'250.--"], [5, 12.5, 1250]),
    "no cents, comma": (["5,- \u20ac", "12,50 \u20ac", "1.250,\u2014 \u20ac"], [5, 12.5, 1250]),
    "credit and debit": (["1,250.00 DR", "12.50 CR", "3.75 CR"], [-1250, 12.5, 3.75]),
    "Soll and Haben": (["1.250,00 S", "12,50 H", "3,75 H"], [-1250, 12.5, 3.75]),
    "credit alone": (["1,250.00", "12.50CR", "3.75"], [1250, -12.5, 3.75]),
    "all in thousands": (["1.5K", "2K", "30K"], [1500, 2000, 30000]),
    "unit of two words": (["1,050 sq ft", "900 sq ft", "75.5 sq ft"], [1050, 900, 75.5]),
    "other digits": (["\u0661\u0662", "\uff13\uff0e\uff15", "\u06f7"], [12, 3.5, 7]),
    "text of Excel": (['="12"', '="3.5"', '="7"'], [12, 3.5, 7]),
    "multiples": (["1.5K", "2M", "300"], [1500, 2e6, 300]),
    "money in multiples": (["$1.5M", "$20K", "$300"], [1.5e6, 2e4, 300]),
    "bytes": (["1.5 GB", "20 MB", "3 KB"], [1.5e9, 2e7, 3e3]),
    "mass": (["1.5 kg", "300 g", "2 kg"], [1.5, 0.3, 2]),
    "durations": (["1 days 12:00:00", "0 days 06:00:00", "2 days 00:00:00"], [1.5, 0.25, 2]),
}


@pytest.mark.parametrize("how", NUMBERS)
def test_numbers(how):
    cells, expected = NUMBERS[how]
    reading, values = read(cells * 10)
    assert reading["kind"] == "number"
    assert np.allclose(values, expected * 10)


def test_a_number_without_its_unit_is_the_same_beside_any_others():
    """5 among minutes is five minutes, alone, among further such numbers and among numbers with units."""
    reading, values = read(["10 min", "2 h", "30 min", "5"] * 10)
    assert values[3] == 300
    for others in ([], ["7", "8", "9"], ["1 h", "2 h", "3 h"]):
        assert numbers.read_all(["5", "5.0e+00", *others], reading["style"])[:2].tolist() == [300, 300]


@pytest.mark.parametrize(
    "cells",
    [["12A", "3B", "4C"], ["2T", "12M", "3T"], ["$1.5", "\u20ac2.5", "$3.5"], ["5-", "6+"], ['="01"', '="02"', "03"]],
)
def test_codes_and_unlike_units_stay_text(cells):
    assert read([*cells] * 10)[0]["kind"] == "category"


def test_days_of_digits_alone_are_dates_where_all_are():
    cells = ["20230106", "20211231", "20220630"]
    reading, days = read(cells * 5)
    assert reading["kind"] == "date"
    assert days[0] == DAY
    assert read([*cells, "20221340", "20220001"] * 5)[0]["kind"] == "number"


def test_zero_dates_are_missing():
    reading, days = read(["0000-00-00", "2023-01-06"] * 10)
    assert reading["kind"] == "date"
    assert np.isnan(days[0])


def test_durations_of_a_program_are_those_of_a_file(tmp_path):
    spans = pd.to_timedelta(np.random.default_rng(0).integers(0, 10**6, 60), unit="s")
    frame = pd.DataFrame({"a": spans, "b": np.arange(60) % 7, "y": np.where(np.arange(60) % 2, "no", "yes")})
    frame.to_csv(tmp_path / "t.csv", index=False)
    data = load(str(tmp_path / "t.csv"), target="y")
    rows = frame.drop(columns="y")
    typed, text = (transform(data.preparation, given).numpy() for given in (rows, rows.astype(str)))
    assert np.allclose(typed, text)
    assert any("lengths of time in days" in note for note in data.notes)


def test_what_is_told(tmp_path):
    n = np.arange(150)
    columns = {"zip": [f"{k * 631 % 99991:05d}" for k in n], "price": ["$\u20ac"[k % 2] + f"{k}.5" for k in n]}
    day = pd.Series(pd.date_range("2020-01-01", periods=150)).dt.strftime("%Y%m%d")
    pd.DataFrame({**columns, "day": day, "y": n % 2}).to_csv(tmp_path / "t.csv", index=False)
    said = " ".join(load(str(tmp_path / "t.csv"), target="y").notes)
    assert "column 'zip': numbers with leading zeros (`prepare: {types: {zip: category}}` if they are codes)" in said
    assert "column 'price': numbers in units that cannot be converted" in said
    assert "column 'day': dates of digits alone, year first" in said
