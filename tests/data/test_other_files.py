"""Files that are no plain table, or one with something in its way: read rightly, or refused with what to do."""

import io
import zipfile

import numpy as np
import pandas as pd
import pytest

from automl.data import load
from automl.errors import DataError

N = 60
ROWS = [f"{np.sin(k):.3f},{('Rio', 'Bern')[k % 2]},{k % 5},{('no', 'yes')[k % 3 == 0]}" for k in range(N)]
TEXT = "\n".join(["size,city,count,result", *ROWS]) + "\n"


def zipped(*names):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in names:
            archive.writestr(name, TEXT)
    return made.getvalue()


def read(tmp_path, content, name="t.csv", **options):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return load(str(tmp_path / name), target="result", prepare=options)


AS_THE_TABLE = {
    "titles of a spreadsheet": "Report 2021,,,\nmade by,me,,\n,,,\n" + TEXT,
    "joined files": TEXT + TEXT.splitlines()[0] + "\n",
    "a zip archive": zipped("t.csv"),
}


@pytest.mark.parametrize("how", AS_THE_TABLE)
def test_read_as_the_plain_table(tmp_path, how):
    plain, other = read(tmp_path, TEXT), read(tmp_path, AS_THE_TABLE[how])
    assert plain.preparation == other.preparation
    assert plain.classes == other.classes == ["no", "yes"]


def test_cells_in_columns_of_spaces(tmp_path):
    aligned = "\n".join("   ".join(f"{cell:>9}" for cell in line.split(",")) for line in TEXT.splitlines())
    assert (
        read(tmp_path, aligned, separator="space").preparation["columns"] == read(tmp_path, TEXT).preparation["columns"]
    )


REFUSED = {
    "another separator": (TEXT.replace(",", "^"), "the cells seem to be separated by '^': `prepare: {separator: '^'}`"),
    "spaces": (TEXT.replace(",", "   "), "`prepare: {separator: ' '}`"),
    "single quotes": (TEXT.replace("result", "'result'"), "single quotation marks"),
    "no header": ("\n".join(["1,2,3,4", *ROWS]), "the first line of the file has to name the columns"),
    "a header below": ("a,b,c,d\n" + TEXT, "row 1 below the first line holds that name"),
    "two files in a zip": (zipped("a.csv", "b.csv"), "a zip archive of 2 files: unpack it"),
    "a workbook": (zipped("[Content_Types].xml"), "a workbook of a spreadsheet: save it as CSV"),
    "a broken archive": (b"PK\x03\x04" + bytes(200), "cannot be read"),
    "JSON": ('[{"result": 1}]', "is JSON"),
    "a web page": ("<!DOCTYPE html><p>", "a web page"),
    "Parquet": (b"PAR1" + bytes(20), "is Parquet: let its name end with .parquet"),
    "nothing": ("\n \n", "t.csv is empty"),
}


@pytest.mark.parametrize("how", REFUSED)
def test_refused_in_a_sentence(tmp_path, how):
    content, said = REFUSED[how]
    with pytest.raises(DataError) as error:
        read(tmp_path, content)
    assert said in str(error.value)
    assert "cannot be read: data:" not in str(error.value)


@pytest.mark.parametrize("name", ["t.xlsx", "t.json", "t.pkl", "t.feather"])
def test_kinds_by_name(tmp_path, name):
    with pytest.raises(DataError, match=r"CSV|Parquet"):
        read(tmp_path, TEXT, name)


def test_rows_of_a_program_that_look_like_a_header_stay(tmp_path):
    frame = pd.DataFrame({"a": ["a", *map(str, range(N))], "result": ["result", *(["x", "y"] * (N // 2))]})
    assert "result" in load(frame, target="result").classes
