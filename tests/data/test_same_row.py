"""The prediction of a row never depends on the rows beside it, on how the file is written, or on today's date."""

import datetime
import random
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from automl.data import load
from automl.data.cells import dates, words
from automl.data.preparing.transform import transform
from automl.errors import DataError
from automl.testing.stress.random_tables import FILES, OBJECTS, table, write

ROWS = 40
FILE_NAMES, OBJECT_NAMES = sorted(FILES), sorted(OBJECTS)


class _IsDate(type):
    def __instancecheck__(cls, instance):
        return isinstance(instance, cls.__mro__[1])


class Tomorrow(datetime.date, metaclass=_IsDate):
    """A date whose `today` is 400 days later."""

    @classmethod
    def today(cls):
        return datetime.date.today() + datetime.timedelta(days=400)


class Later(datetime.datetime, metaclass=_IsDate):
    """A moment whose `now` is 400 days later."""

    @classmethod
    def now(cls, tz=None):
        return datetime.datetime.now(tz) + datetime.timedelta(days=400)

    today = utcnow = now


LATER = SimpleNamespace(**{**vars(datetime), "date": Tomorrow, "datetime": Later})
"""The module `datetime`, 400 days later."""


def trained(seed: int, folder: Path) -> tuple[pd.DataFrame, dict, torch.Tensor] | None:
    """(a table of text without its target, the preparation that was fitted on its file, what it makes of the file)."""
    rng = random.Random(seed)
    frame = pd.DataFrame(table(rng, ROWS, most=6))
    path = next(p for name in rng.sample(FILE_NAMES, len(FILE_NAMES)) if (p := write(frame, name, folder)))
    options = {"categorical": "embed"} if seed % 3 == 0 else {}
    if seed % 5 == 0:
        options["types"] = {str(frame.columns[0]): rng.choice(("category", "number", "date", "time"))}
    try:
        preparation = load(str(path), target="target", prepare=options).preparation
    except DataError:  # no column is left to learn from
        return None
    return frame.drop(columns="target"), preparation, transform(preparation, path)


def rows_of(rng: random.Random) -> np.ndarray:
    return np.array(rng.sample(range(ROWS), rng.choice((1, 5, ROWS))))


@settings(max_examples=12, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
@given(seed=st.integers(0, 10**6), files=st.sets(st.sampled_from(FILE_NAMES), min_size=2, max_size=3),
       forms=st.sets(st.sampled_from(OBJECT_NAMES), min_size=2, max_size=3))  # fmt: skip
def test_a_row_is_prepared_alike_beside_any_rows_in_any_form(seed, files, forms):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        rng = random.Random(seed)
        if (found := trained(seed, Path(folder))) is None:
            return
        frame, preparation, expected = found
        assert len(expected) == ROWS
        patch.setattr(dates, "datetime", LATER)
        patch.setattr(words, "datetime", LATER)
        for name in files:
            chosen = rows_of(rng)
            path = write(frame.iloc[chosen], name, Path(folder))
            assert path is None or torch.equal(transform(preparation, path), expected[chosen])
        for form in forms:
            chosen = rows_of(rng)
            rows = OBJECTS[form](frame.iloc[chosen].reset_index(drop=True))
            assert torch.equal(transform(preparation, rows), expected[chosen])


@pytest.mark.slow
def test_many_random_tables():
    for seed in range(150):
        test_a_row_is_prepared_alike_beside_any_rows_in_any_form.hypothesis.inner_test(
            seed, set(random.Random(seed).sample(FILE_NAMES, 3)), set(random.Random(seed).sample(OBJECT_NAMES, 3))
        )


NEW = 'd,day,n,c\n05/06/2021,8:15,"1,234",01\n13/06/2021,23:59,2,A1\n'


def test_four_hundred_days_later_nothing_has_changed(tmp_path):
    """Dates and times of day as numbers, in the unit of the data."""
    lines = [
        f'{k % 28 + 1:02d}/{k % 12 + 1:02d}/2021,{k % 24}:{k % 60:02d},"{k + 1},{k % 900 + 100}",0{k % 3},{k % 2}'
        for k in range(60)
    ]
    (tmp_path / "train.csv").write_text("d,day,n,c,y\n" + "\n".join(lines).replace(",03,", ",A1,"))
    data = load(str(tmp_path / "train.csv"), target="y", prepare={"scale": "none"})
    roles = {c["name"]: (c["role"], c["center"], c["scale"]) for c in data.preparation["columns"] if "center" in c}
    assert {name: role for name, (role, *_) in roles.items()} == {"d": "date", "day": "time", "n": "number"}
    (tmp_path / "new.csv").write_text(NEW)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dates, "datetime", LATER)
        patch.setattr(words, "datetime", LATER)
        x = transform(data.preparation, tmp_path / "new.csv")
    values = {
        name: x[:, data.columns.index(name)].double() * scale + center for name, (_, center, scale) in roles.items()
    }
    days = [(datetime.date(2021, 6, day) - datetime.date(1970, 1, 1)).days for day in (5, 13)]
    assert values["d"].numpy() == pytest.approx(days, abs=0.01)
    assert values["day"].numpy() == pytest.approx([29_700, 86_340], abs=0.1)
    assert values["n"].numpy() == pytest.approx([1234, 2])


def test_a_first_cell_that_begins_with_a_hash_is_no_comment(tmp_path):
    (tmp_path / "t.csv").write_text(
        'tag,"a,b",y\n' + "".join(f"{('#N/A', '#x', 'z')[k % 3]},{k},{k % 2}\n" for k in range(30))
    )
    data = load(str(tmp_path / "t.csv"), target="y")
    assert len(data.train) + len(data.val) + len(data.test) == 30


def test_empty_lines_of_a_single_column_are_rows(tmp_path):
    data = load(pd.DataFrame({"x": np.arange(30) ** 1.5, "y": ["a", "b"] * 15}), target="y")
    (tmp_path / "new.csv").write_text("x\n1\n\n3\n \n5\n\n")
    assert len(transform(data.preparation, tmp_path / "new.csv")) == 5


def test_a_model_of_another_encoding_reads_the_file_as_it_is_written(tmp_path):
    frame = pd.DataFrame({"Preis (€)": ["1,5", "2,5", "ä"] * 10, "y": ["a", "b", "c"] * 10})
    frame.to_csv(tmp_path / "t.csv", index=False, encoding="utf-16")
    data = load(str(tmp_path / "t.csv"), target="y")
    for encoding in ("cp1252", "utf-8", "utf-16"):
        frame[["Preis (€)"]].head(1).to_csv(tmp_path / "new.csv", index=False, sep=";", encoding=encoding)
        assert torch.equal(transform(data.preparation, tmp_path / "new.csv")[0], data.train.x[data.train.y == 0][0])
