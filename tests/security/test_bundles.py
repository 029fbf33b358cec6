"""Saved models of a stranger: every wrong content is a BundleError, and nothing outside is read, written or run."""

import csv
import io as text_io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from automl.bundle import ensemble, files, io, loading, outputs
from automl.cli.app import app
from automl.data import load
from automl.errors import BundleError
from automl.leaderboard.board import harmless
from automl.models import build
from automl.testing.stress import fuzz_bundles
from automl.training import Trainer
from tests.support.bundles import edit, rehash


def saved(folder: Path, table: pd.DataFrame | None = None, model: str = "mlp") -> Path:
    rng = np.random.default_rng(0)
    a = rng.normal(size=60)
    table = pd.DataFrame({"a": a, "y": np.where(a > 0, "good", "bad")}) if table is None else table
    prepared = load(table, seed=1, target="y")
    config = {"depth": 1, "width": 8, "lr": 0.1}
    trainer = Trainer(build(model), prepared, config, 20, seed=0)
    for _ in range(20):
        report = trainer.epoch()
    weights = trainer.weights()
    return io.save(folder, model=model, config=config, prepared=prepared, state_dict=weights, metrics=report)


@pytest.mark.parametrize("size", [("config", "width", 10**6), ("config", "depth", 10**7), ("outputs", "units", 2**30)])
def test_a_model_that_asks_for_more_memory_than_its_weights_is_refused_before_it_is_built(tmp_path: Path, size):
    where, name, value = size
    bundle = saved(tmp_path / "b")
    edit(bundle, "model.json", lambda model: model[where].__setitem__(name, value))
    with pytest.raises(BundleError, match=r"do not fit the model|one class for each"):
        loading.load(bundle)


@pytest.mark.parametrize(
    ("file", "path", "value"),
    [
        ("manifest.json", ("files",), None),
        ("manifest.json", ("files",), [1]),
        ("manifest.json", ("kind",), "nonsense"),
        ("manifest.json", ("classes",), ["one"]),
        ("manifest.json", ("classes",), [["a"], {}]),
        ("manifest.json", ("metrics",), "good"),
        ("model.json", ("inputs", "shape"), [10**9, 10**9]),
        ("model.json", ("inputs", "shape"), ["x"]),
        ("model.json", ("inputs",), None),
        ("model.json", ("model",), "os:system"),
        ("model.json", ("model",), 7),
        ("preparation.json", ("form",), "pickle"),
        ("preparation.json", ("columns",), None),
        ("preparation.json", ("window",), 10**12),
        ("sample.json", ("rows",), 3),
        ("sample.json", ("outputs",), [["x"]]),
    ],
    ids=str,
)
def test_wrong_content_is_a_bundle_error(tmp_path: Path, file, path, value):
    bundle = saved(tmp_path / "b")

    def change(tree):
        for key in path[:-1]:
            tree = tree[key]
        tree[path[-1]] = value

    edit(bundle, file, change)
    with pytest.raises(BundleError, match=r"b(/\w+\.json)?: |outside this bundle"):
        loading.load(bundle)


@pytest.mark.parametrize("content", ["[" * 100_000, "[]", "null", "7", "{", "\x00", '{"format": "automl-bundle"}'])
def test_a_manifest_of_other_content_is_a_bundle_error(tmp_path: Path, content):
    bundle = saved(tmp_path / "b")
    (bundle / files.MANIFEST).write_text(content)
    with pytest.raises(BundleError):
        loading.load(bundle)


def test_weights_of_other_shapes_or_names_are_refused(tmp_path: Path):
    bundle = saved(tmp_path / "b")
    weights = load_file(bundle / "model.safetensors")
    name = next(iter(weights))
    for wrong in (
        {**weights, name: torch.zeros(3, 3, 3)},
        {**weights, "more": torch.zeros(1)},
        dict([*weights.items()][1:]),
    ):
        save_file(wrong, bundle / "model.safetensors")
        rehash(bundle, "model.safetensors")
        with pytest.raises(BundleError, match="weights do not fit the model"):
            loading.load(bundle)


def test_an_ensemble_names_folders_of_its_own_and_whole_weights(tmp_path: Path):
    bundle = saved(tmp_path / "b")
    ensemble.write(tmp_path / "e", {"00001": bundle}, {"00001": 2})
    assert loading.load(tmp_path / "e").weights == [2]
    for entry, value in (("folder", "../b"), ("folder", "/etc"), ("folder", "a\x00"), ("weight", -1), ("weight", 1.5)):
        edit(tmp_path / "e", files.MANIFEST, lambda tree, e=entry, v=value: tree["members"][0].__setitem__(e, v))
        with pytest.raises(BundleError, match="a member is a folder's name"):
            loading.load(tmp_path / "e")
        edit(tmp_path / "e", files.MANIFEST, lambda tree: tree["members"][0].update(folder="00001", weight=2))


def test_saving_replaces_links_and_leaves_what_they_point_to(tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "keep.txt").write_text("mine")
    for name in ("b", "b.part", "b.old"):
        (tmp_path / name).symlink_to(outside)
    bundle = saved(tmp_path / "b")
    assert [file.name for file in outside.iterdir()] == ["keep.txt"]
    assert not bundle.is_symlink()
    loading.load(bundle)


def test_stored_outputs_of_any_content_are_no_outputs(tmp_path: Path):
    file = tmp_path / "outputs.npy"
    outputs.store(file, torch.ones(3, 2))
    assert outputs.stored(file, 3).tolist() == [[1, 1]] * 3
    whole = file.read_bytes()
    huge = whole.replace(b"(3, 2)", b"(3, 9999999999)"[:6])
    np.save(tmp_path / "object.npy", np.array([{}, {}, {}]), allow_pickle=True)
    np.savez(tmp_path / "zip.npz", a=np.ones(3))
    for content in (b"", whole[:40], huge, (tmp_path / "object.npy").read_bytes(), (tmp_path / "zip.npz").read_bytes()):
        file.write_bytes(content)
        assert outputs.stored(file, 3) is None


def test_a_few_hundred_changed_bundles_give_a_model_or_a_sentence():
    assert sum(fuzz_bundles.run(120, seed=3).values()) == 120


@pytest.mark.parametrize(
    ("cell", "right"),
    [
        ("=1+1", "'=1+1"), ("+cmd", "'+cmd"), ("-cmd", "'-cmd"), ("@x", "'@x"), ("\t=1", "'\t=1"), ("\r=1", "'=1"),
        (" =1", "' =1"), ("\n=1", "'\n=1"), ("-1.5", "-1.5"), ("+1e-3", "+1e-3"), ("-.5", "-.5"), ("-1-1", "'-1-1"),
        (-3, -3), (0.5, 0.5), (None, ""), (True, "true"), ("a\x1b[31mb", "a[31mb"), ("\x1b=1", "'=1"), ("a\x9bb", "ab"),
        ("plain", "plain"),
    ],
)  # fmt: skip
def test_cells_that_a_spreadsheet_would_run_are_text(cell, right):
    assert harmless(cell) == right


def test_predict_writes_no_formula_and_no_escape(tmp_path: Path):
    a = np.random.default_rng(0).normal(size=60)
    table = pd.DataFrame({"=a": a, "y": np.where(a > 0, "=cmd|' /C calc'!A1", "\x1b[31mred")})
    bundle = saved(tmp_path / "b", table)
    table.drop(columns="y").to_csv(tmp_path / "rows.csv", index=False)
    told = CliRunner().invoke(app, ["predict", str(bundle), str(tmp_path / "rows.csv"), "--keep", "--proba"])
    rows = list(csv.reader(text_io.StringIO(told.stdout)))
    assert rows[0][:2] == ["'=a", "prediction"]
    assert {row[1] for row in rows[1:]} == {"'=cmd|' /C calc'!A1", "[31mred"}
    assert "\x1b" not in told.stdout
