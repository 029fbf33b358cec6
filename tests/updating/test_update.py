"""A model learns from new rows: by each way, with new classes and columns, and only what is not worse answers."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import automl
from automl.bundle import io
from automl.data.further import answers
from automl.errors import AutoMLError, BundleError, DataError, SpecError
from automl.updating.journal import Journal
from automl.updating.options import Options
from automl.updating.place import Place
from automl.updating.update import update
from automl.updating.versions import roll_back, settle
from tests.support.updating import SPEC, flowers, trained

Make = Callable[..., Path]


def loaded(path: Path) -> Any:
    return io.load_model(path)


def accuracy(path: Path, rows: pd.DataFrame) -> float:
    return float((loaded(path).predict(rows.drop(columns="kind")) == rows.kind.to_numpy()).mean())


@pytest.mark.parametrize("how", ["head", "finetune", "retrain"])
def test_each_way_learns_what_has_changed_and_forgets_little(model: Path, new: Make, how: str) -> None:
    later, before = flowers(400, 9, bent=0.5), flowers(400, 8)
    frozen, old = accuracy(model, later), accuracy(model, before)
    done = update(model, new(), Options(how=how, old=model.parent / "old.csv", lose=0.02))
    assert done.promoted == 2 == done.version
    assert accuracy(model, later) > frozen + 0.1
    assert accuracy(model, before) > old - 0.02
    tried = done.entry["tries"][0]
    assert tried["new"]["challenger"] > tried["new"]["champion"]
    assert tried["old"]["floor"] >= -tried["old"]["limit"]
    assert tried["new"]["rows"] == 100


def test_the_head_alone_changes_with_head_and_the_preparation_stays(model: Path, new: Make) -> None:
    first = loaded(model)
    update(model, new(), Options(how="head", old=model.parent / "old.csv", lose=0.02))
    second = loaded(model)
    one, other = first.module.state_dict(), second.module.state_dict()
    assert [name for name in one if not one[name].equal(other[name])] == ["2.weight", "2.bias"]
    kept = [{k: v for k, v in column.items() if k != "seen"} for column in first.preparation["columns"]]
    assert kept == [{k: v for k, v in column.items() if k != "seen"} for column in second.preparation["columns"]]


def test_what_it_has_seen_is_that_of_the_rows_it_learned_from(model: Path, new: Make) -> None:
    most = next(c["seen"]["most"] for c in loaded(model).preparation["columns"] if c["name"] == "size")
    file = new()
    update(model, file, Options(how="head", old=model.parent / "old.csv", lose=0.02))
    seen = next(c["seen"] for c in loaded(model).preparation["columns"] if c["name"] == "size")
    assert seen["most"] == pytest.approx(pd.read_csv(file)["size"][:300].max())
    assert seen["most"] > most + 5


def test_rows_of_the_same_kind_do_not_replace_the_model(model: Path, new: Make) -> None:
    done = update(model, new(bent=0.0, rows=100), Options(how="head", old=model.parent / "old.csv"))
    assert done.promoted is None
    assert done.version == 1
    assert "lineage" not in loaded(model).manifest


def test_rows_with_wrong_answers_do_not_replace_the_model(model: Path, tmp_path: Path) -> None:
    wrong = flowers(400, 3)
    wrong["kind"] = np.where(wrong.kind == "iris", "rose", "iris")
    wrong.to_csv(tmp_path / "wrong.csv", index=False)
    done = update(model, tmp_path / "wrong.csv", Options(old=model.parent / "old.csv"))
    assert done.promoted is None
    assert [tried["how"] for tried in done.entry["tries"]] == ["head", "finetune", "retrain"]
    assert not any(tried["old"]["passed"] for tried in done.entry["tries"][2:])


@pytest.mark.parametrize("how", ["head", "finetune", "retrain"])
def test_a_new_class_gets_an_output(model: Path, new: Make, how: str) -> None:
    said: list[str] = []
    done = update(model, new(lily=True), Options(how=how, old=model.parent / "old.csv", lose=0.5), said.append)
    assert done.promoted == 2
    assert "new class of 'kind': 'lily'; the challenger gets an output for each" in said
    found = loaded(model)
    assert set(found.classes) == {"iris", "rose", "lily"}
    rows = flowers(200, 7, bent=0.5, lily=True)
    assert (found.predict(rows)[rows.kind == "lily"] == "lily").mean() > (0.15 if how == "head" else 0.3)


def test_answers_are_labels_by_what_is_written() -> None:
    entry = {"kind": "classification", "classes": [0, 1, 2]}
    y, keep, _ = answers(pd.Series(["1", "2.0", "x", None, "7"], dtype=object), entry, ())
    assert y.tolist() == [1, "2.0", "x", None, 7]
    assert keep.tolist() == [True, True, True, False, True]
    assert answers(np.array([1.0, 2.0, np.nan]), entry, ())[0].tolist() == [1, 2, None]
    texts = {"kind": "classification", "classes": ["a", "1"]}
    assert answers(pd.Series([1, 2, "a "]), texts, ())[0].tolist() == ["1", "2", "a"]
    with pytest.raises(DataError, match="predicts 2 values a row, the rows have 1"):
        answers(np.zeros((3, 1)), {"kind": "regression", "center": [0, 0], "scale": [1, 1]}, ())


def test_new_categories_and_columns_are_told_and_retrain_learns_the_categories(model: Path, tmp_path: Path) -> None:
    rows = flowers(400, 3, bent=0.5).assign(colour=lambda f: f.colour.replace("blue", "green"), smell="sweet")
    rows.to_csv(tmp_path / "new.csv", index=False)
    said: list[str] = []
    done = update(
        model, tmp_path / "new.csv", Options(how="retrain", old=model.parent / "old.csv", lose=0.5), said.append
    )
    assert "no place for the new column 'smell'" in said[0]
    assert "'green'" in said[1]
    assert done.promoted == 2
    column = next(c for c in loaded(model).preparation["columns"] if c["name"] == "colour")
    assert {"red", "blue", "green"} <= set(column["values"])


def test_weights_and_dropped_columns_are_those_of_the_specification(model: Path, tmp_path: Path) -> None:
    def with_more(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(heavy=1.0 + (rows.height > 0), later="x")

    old, spec = with_more(flowers(3000, 1)), {**SPEC, "prepare": {"weight": "heavy", "drop": ["later"]}}
    weighted = trained(tmp_path / "weighted", old, spec)
    done = update(weighted, with_more(flowers(400, 2, bent=0.5)), Options(how="retrain", old=old, lose=0.05))
    assert done.promoted == 2
    assert done.notes == []
    with pytest.raises(DataError, match="no column 'heavy', the weight of a row"):
        update(weighted, flowers(400, 3).assign(later="x"), Options())


def test_what_is_refused_is_told_in_a_sentence(model: Path, new: Make, tmp_path: Path) -> None:
    old = Options(old=model.parent / "old.csv")
    pd.read_csv(new()).rename(columns={"kind": "kinds"}).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match=r"no column 'kind', which the model predicts; did you mean 'kinds'\?"):
        update(model, tmp_path / "a.csv", old)
    pd.read_csv(new()).drop(columns="size").to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(DataError, match="no column 'size'"):
        update(model, tmp_path / "b.csv", old)
    with pytest.raises(DataError, match="10 rows are too few for an update; 20 are needed"):
        update(model, new("c.csv", rows=10), old)
    with pytest.raises(DataError, match="no file"):
        update(model, tmp_path / "nothing.csv", old)
    with pytest.raises(SpecError, match="did you mean 'head'"):
        update(model, new(), Options(how="heads"))
    assert not (tmp_path / "flowers.versions" / "v2").exists()


def test_a_bundle_alone_needs_its_old_rows(model: Path, new: Make) -> None:
    with pytest.raises(DataError, match="--old FILE"):
        update(model, new())


def test_the_same_rows_are_used_once(model: Path, new: Make) -> None:
    options = Options(how="head", old=model.parent / "old.csv", lose=0.02)
    first = update(model, new(), options)
    again = update(model, new("other_name.csv"), options)
    assert again.again
    assert again.promoted == first.promoted == 2
    assert [entry["version"] for entry in Journal(Place.of(model)).versions] == [1, 2]


def test_versions_have_their_lineage_and_rollback_brings_the_very_bundle_back(model: Path, new: Make) -> None:
    before = (model / "manifest.json").read_bytes()
    update(model, new(), Options(how="head", old=model.parent / "old.csv", lose=0.02))
    place = Place.of(model)
    journal = Journal(place)
    one, two = journal.versions
    assert (one["parent"], two["parent"], two["how"]) == (None, 1, "head")
    assert two["rows"]["file"] == "new.csv"
    assert two["spec"] == one["spec"] == json.loads(before)["spec_sha256"]
    lineage = loaded(model).manifest["lineage"]
    assert lineage["parent"] == {"version": 1, "manifest": one["manifest"]}
    assert "Version 2, made from version 1 by `head`" in (model / "README.md").read_text()
    roll_back(place, journal, 1)
    assert (model / "manifest.json").read_bytes() == before
    done = update(model, new("third.csv", seed=5), Options(how="finetune", lose=0.02))
    assert (done.promoted, done.entry["parent"]) == (3, 1)
    with pytest.raises(SpecError, match=r"no version 9 \(versions: 1, 2, 3\)"):
        roll_back(place, Journal(place), 9)


def test_a_model_that_somebody_put_in_the_place_is_the_next_version(model: Path, new: Make) -> None:
    update(model, new(), Options(how="head", old=model.parent / "old.csv", lose=0.02))
    trained(model, model.parent / "old.csv", {**SPEC, "epochs": 2})
    found = json.loads((model / "manifest.json").read_bytes())
    place = Place.of(model)
    journal = Journal(place)
    settle(place, journal)
    assert [entry["how"] for entry in journal.versions] == ["given", "head", "given"]
    assert journal.current == 3
    assert json.loads((place.version(3) / "manifest.json").read_bytes()) == found


def test_rows_that_are_kept_are_bounded(model: Path, new: Make) -> None:
    options = Options(how="head", old=model.parent / "old.csv", keep_rows=200, lose=0.02)
    for k in range(3):
        update(model, new(f"{k}.csv", seed=k), options)
    from automl.updating import batches

    place = Place.of(model)
    kept = [batches.read(place.rows(digest)) for digest in Journal(place).content["batches"]]
    assert sum((~batch.held).sum() for batch in kept) == 200
    assert sum(batch.held.sum() for batch in kept) == 50


def test_a_table_in_memory_is_known_by_its_content(model: Path) -> None:
    rows = flowers(400, 2, bent=0.5)
    options = Options(how="head", old=model.parent / "old.csv", lose=0.02)
    assert update(model, rows, options).promoted == 2
    assert update(model, rows.copy(), options).again


def test_a_file_of_text_and_the_same_table_in_memory_give_the_same_version(model: Path, new: Make) -> None:
    file, twin = new(), shutil.copytree(model, model.parent / "twin")
    options = Options(how="head", old=model.parent / "old.csv", lose=0.02)
    one = update(model, file, options).entry["tries"][0]
    other = update(twin, pd.read_csv(file), options).entry["tries"][0]
    assert one["metrics"] == pytest.approx(other["metrics"], abs=0.05)


def test_what_no_file_is_to_blame_for(tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        update(tmp_path, "new.csv")


def test_two_updates_of_one_model_exclude_each_other(model: Path, new: Make) -> None:
    from automl.updating.journal import locked

    with locked(Place.of(model)), pytest.raises(AutoMLError, match="is being driven by process"):
        update(model, new())


def test_partial_fit_learns_in_memory(model: Path) -> None:
    later, before = flowers(400, 9, bent=0.5), flowers(400, 8)
    found = automl.load(model)
    assert isinstance(found, automl.bundle.model.Model)
    said = found.predict(later)
    assert found.partial_fit(flowers(300, 2, bent=0.5), old=flowers(300, 1)) is found
    assert (found.predict(later) == later.kind).mean() > (said == later.kind).mean() + 0.1
    assert (found.predict(before) == before.kind).mean() > 0.95
    found.partial_fit(flowers(300, 3, bent=0.5, lily=True), how="finetune")
    assert found.classes == ["iris", "rose", "lily"]
    assert found.predict_proba(later).shape == (400, 3)
    assert (found.predict(before) == before.kind).mean() > 0.9
    with pytest.raises(SpecError, match="did you mean 'head'"):
        found.partial_fit(later, how="heads")
    assert accuracy(model, before) > 0.95
