"""Texts in a table: which column they are in, in training and in rows to predict; tokens that are not known."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from automl.data import load
from automl.data.preparing.transform import transform
from automl.errors import DataError


def reviews(rows: int = 80) -> pd.DataFrame:
    words = ["a good fine film", "a bad sad film"]
    return pd.DataFrame(
        {
            "id": [f"r{k}" for k in range(rows)],
            "title": ["Some", "Other"] * (rows // 2),
            "review": [words[k % 2] for k in range(rows)],
            "stars": [1 + k % 5 for k in range(rows)],
            "label": ["p", "n"] * (rows // 2),
        }
    )


@pytest.fixture(scope="module")
def preparation() -> dict:
    return json.loads(json.dumps(load(reviews(), target="label", prepare={"text": "review"}).preparation))


def codes(preparation: dict, *texts: str) -> torch.Tensor:
    known = {token: k + 2 for k, token in enumerate(preparation["vocabulary"])}
    rows = torch.zeros(len(texts), preparation["window"], dtype=torch.int64)
    for k, text in enumerate(texts):
        for place, token in enumerate(text.split()):
            rows[k, place] = known.get(token, 1)
    return rows


@pytest.mark.parametrize(
    "form", ["table", "other order", "column", "csv", "dict", "records", "one row", "series", "list"]
)
def test_the_texts_are_taken_from_the_column_of_the_training(preparation: dict, tmp_path: Path, form: str):
    frame = reviews(2).drop(columns="label")
    frame.to_csv(tmp_path / "rows.csv", index=False)
    rows = {
        "table": frame,
        "other order": frame[frame.columns[::-1]],
        "column": frame[["review"]].set_axis(["says"], axis=1),
        "csv": tmp_path / "rows.csv",
        "dict": frame.to_dict("list"),
        "records": frame.to_dict("records"),
        "one row": frame.iloc[0].to_dict(),
        "series": frame["review"],
        "list": frame["review"].tolist(),
    }[form]
    expected = codes(preparation, *frame["review"])
    assert torch.equal(transform(preparation, rows), expected[:1] if form == "one row" else expected)
    assert (expected > 1).sum() == 8


def test_tokens_that_are_not_in_the_vocabulary_are_counted(preparation: dict):
    unread: list[str] = []
    frame = reviews(2).assign(review=["a good unheard thing", None])
    assert torch.equal(transform(preparation, frame, unread), codes(preparation, "a good unheard thing", ""))
    assert unread == ["column 'review': 2 of 4 tokens are not in the vocabulary"]
    unread.clear()
    transform(preparation, ["a good one"], unread)
    assert unread == ["1 of 3 tokens are not in the vocabulary"]
    unread.clear()
    transform(preparation, reviews(4), unread)
    assert not unread


def test_a_missing_text_is_empty_in_training_and_in_rows_to_predict(preparation: dict):
    frame = reviews()
    frame.loc[::2, "review"] = None
    data = load(frame, target="label", prepare={"text": "review"})
    assert "nan" not in data.preparation["vocabulary"]
    assert "none" not in data.preparation["vocabulary"]
    for missing in (None, np.nan, pd.NA, ""):
        rows = pd.DataFrame({"review": pd.Series([missing, "a film"], dtype=object), "id": ["x", "y"]})
        assert transform(preparation, rows)[0].sum() == 0


def test_sentences_of_a_table_are_found_and_what_is_not_used_is_told(tmp_path: Path):
    reviews().to_csv(tmp_path / "t.csv", index=False)
    named = load("t.csv", target="label", prepare={"text": "review"}, base=tmp_path)
    found = load("t.csv", target="label", prepare={"form": "sentences"}, base=tmp_path)
    assert found.fingerprint == named.fingerprint
    assert found.preparation["column"] == "review"
    assert "texts of column 'review', the only input; not used: id, title, stars" in found.notes
    with pytest.raises(DataError, match=r"prepare\.text: no column 'reviews' of texts; did you mean 'review'"):
        load("t.csv", target="label", prepare={"text": "reviews"}, base=tmp_path)
    twice = reviews().assign(other=reviews()["review"])
    with pytest.raises(DataError, match=r"which column holds the texts\? id, title, review, stars, other; name it"):
        load(twice, target="label", prepare={"form": "sentences"})


def test_rows_without_the_column_are_refused(preparation: dict):
    with pytest.raises(DataError, match="no column 'review' of texts; did you mean 'Review'"):
        transform(preparation, reviews(2).rename(columns={"review": "Review"}))


def test_a_model_saved_without_the_column_takes_the_one_that_holds_texts(preparation: dict):
    former = {name: value for name, value in preparation.items() if name != "column"}
    assert torch.equal(transform(former, reviews(2)), codes(preparation, *reviews(2)["review"]))
    with pytest.raises(DataError, match="which column holds the texts"):
        transform(former, reviews(2).drop(columns="review"))


def test_a_file_of_lines_is_one_text_a_line(preparation: dict, tmp_path: Path):
    (tmp_path / "rows.txt").write_text("a good film\n\na bad film, really\n")
    unread: list[str] = []
    assert torch.equal(transform(preparation, tmp_path / "rows.txt", unread)[0], codes(preparation, "a good film")[0])
    assert unread == ["1 of 7 tokens are not in the vocabulary"], "the comma; what follows it is beyond the window"
