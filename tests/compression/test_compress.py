"""`automl compress` as a whole, on a small network for digits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from typer.testing import CliRunner

import automl
from automl.bundle import export, files
from automl.bundle.compressed.network import OnnxNetwork
from automl.bundle.io import load_model
from automl.cli.app import app
from automl.compression.options import WAYS
from automl.compression.record import FACT, CompressionRecord
from automl.errors import BundleError, SpecError
from automl.evaluation.verdict import TEST_EVALUATIONS
from automl.study import paths
from automl.study.ledger.ledger import Ledger
from automl.view import figures
from tests.compression.conftest import copied, searched

pytest.importorskip("torch_pruning")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


def facts(study: Path) -> dict:
    ledger = Ledger.read_only(study)
    try:
        return ledger.facts()
    finally:
        ledger.close()


@pytest.mark.slow
def test_cut_then_int8_in_a_process_without_the_data(study: Path) -> None:
    said: list[str] = []
    small = automl.compress(study, ways=["prune", "int8"], lose=0.05, epochs=3, say=said.append)
    names = [variant.name for variant in small.variants]
    assert names[0] == "original"
    assert any(name.startswith("prune-") and name.endswith("-int8-static") for name in names)
    original, chosen = small.variants[0], small.chosen
    assert chosen is not None
    assert chosen.bytes < original.bytes / 3
    assert chosen.low >= -0.05
    assert chosen.latency_ms <= 1.05 * original.latency_ms
    digits = load_digits()
    assert np.mean(small.model().predict(digits.data) == digits.target) > 0.85
    # loaded elsewhere, where neither the specification nor the search is
    elsewhere = study.parent.parent / "elsewhere"
    os.rename(study / "compressed" / "best", elsewhere)
    code = (
        "import sys, json, automl\n"
        f"model = automl.load({str(elsewhere)!r})\n"
        f"rows = {digits.data[:3].tolist()!r}\n"
        "print(json.dumps([model.predict(rows).tolist(), model.manifest['compressed']['name'],"
        " [m for m in sys.modules if m.startswith(('automl.study', 'automl.driver', 'automl.compression'))]]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=elsewhere)
    predicted, name, loaded = json.loads(done.stdout)
    assert (predicted, name, loaded) == (small_predictions(elsewhere, digits.data[:3]), chosen.name, [])


def small_predictions(bundle: Path, rows: np.ndarray) -> list[object]:
    return list(automl.load(bundle).predict(rows).tolist())


def test_the_test_part_is_opened_once_for_each_model_that_was_chosen(quantized: Path, tmp_path: Path) -> None:
    study, told = copied(quantized, tmp_path), list[str]()
    assert len(facts(study)[TEST_EVALUATIONS]) == 2  # the winner's, and that of the variant that was chosen
    first = automl.compress(study, ways=["onnx", "int8"], say=told.append)
    assert told == []  # nothing was made, measured or evaluated again
    assert first.test is not None
    assert first.test["looks"] == 2
    assert first.chosen is not None
    manifest = json.loads((study / "compressed" / "best" / files.MANIFEST).read_text())
    assert manifest["metrics"]["test_accuracy"] == first.test["value"]
    assert manifest["intervals"]["test_accuracy"] == first.test["interval"]
    other = next(v for v in first.variants if v.way and v.name != first.chosen.name and v.alone)
    limit = {"bytes": other.bytes} if other.bytes < first.chosen.bytes else {"latency_ms": other.latency_ms}
    second = automl.compress(study, ways=["onnx", "int8"], at_most=limit)
    assert second.chosen is not None
    wanted = 2 if second.chosen.name == first.chosen.name else 3
    assert len(facts(study)[TEST_EVALUATIONS]) == wanted


class Killed(BaseException):
    """As SIGKILL: nothing in the program handles it."""


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_a_run_that_was_killed_goes_on_where_it_was(study: Path) -> None:
    ways, limit = ["prune", "rank"], 0.05

    def kill(text: str) -> None:
        if text.startswith("prune-") and "epoch 1 of" in text and len(made) == 2:
            raise Killed
        if "score" in text:
            made.append(text.partition(":")[0])

    made: list[str] = []
    with pytest.raises(Killed):
        automl.compress(study, ways=ways, lose=limit, epochs=2, say=kill)
    assert made[0] == "original"
    done = study / "compressed" / "variants" / made[1] / files.MANIFEST
    before, told = done.stat().st_mtime_ns, list[str]()
    small = automl.compress(study, ways=ways, lose=limit, epochs=2, say=told.append)
    assert done.stat().st_mtime_ns == before
    assert not any(line.startswith((f"{made[1]}:", "original:", "prune: measuring")) for line in told)
    assert [v.name for v in small.variants][:2] == made
    assert len({v.name for v in small.variants}) == len(small.variants) > 4


def test_a_bundle_that_was_changed_is_made_anew(quantized: Path, tmp_path: Path) -> None:
    study, told = copied(quantized, tmp_path), list[str]()
    (study / "compressed" / "variants" / "onnx" / files.MANIFEST).write_text("{}")
    automl.compress(study, ways=["onnx"], say=told.append)
    assert any(line.startswith("onnx:") for line in told)
    automl.load(study / "compressed" / "variants" / "onnx")


def test_the_command_prints_a_table_and_says_when_nothing_fits(quantized: Path, tmp_path: Path) -> None:
    study, run = copied(quantized, tmp_path), CliRunner().invoke
    common = ["compress", study.name, "--dir", str(study.parent), "--way", "int8", "--quiet"]
    done = run(app, common)
    assert done.exit_code == 0, done.output
    assert "int8-static" in done.stdout
    assert "change +0." in done.stdout or "change -0." in done.stdout
    nothing = run(app, [*common, "--at-most", "bytes=10"])
    assert nothing.exit_code == 1
    assert "no variant is within the limits" in nothing.stdout
    assert "is above 10" in nothing.stdout
    as_json = json.loads(run(app, [*common, "--json"]).stdout)
    assert {v["name"] for v in as_json["variants"]} == {"original", "onnx", "int8-static", "int8-dynamic"}
    file = study / "out.onnx"
    out = run(app, ["export", study.name, "--dir", str(study.parent), "--compressed", "--onnx", str(file)])
    assert out.exit_code == 0, out.output
    assert file.read_bytes() == (study / "compressed" / "best" / files.NETWORK).read_bytes()
    with pytest.raises(BundleError, match="is an ONNX network"):
        export.to_pt2(load_model(study / "compressed" / "best"), study / "out.pt2")


def test_what_cannot_be_compressed_is_told(tmp_path: Path) -> None:
    def train(trial: automl.Trial) -> float:
        return 0.5

    automl.search(train, space={"x": [1, 2]}, metric="loss", trials=1, path=tmp_path / "own", executor="inline")
    with pytest.raises(SpecError, match="started from a Python function"):
        automl.compress(tmp_path / "own")


@pytest.mark.slow
@pytest.mark.usefixtures("quick")
def test_convnet_with_every_way_and_transformer_with_those_of_torch(tmp_path: Path) -> None:
    of_one = tuple(way for way in WAYS if way != "fewer")
    for model, ways in (("convnet", of_one), ("transformer", ("prune", "rank", "student"))):
        folder = tmp_path / model
        folder.mkdir()
        study = searched(folder, model, width=16, depth=1, epochs=3, more="prepare: {form: images}\n", rows=400)
        small = automl.compress(study, ways=ways, lose=0.2, epochs=1)
        failed = {v.name: v.failed for v in small.variants if v.failed}
        assert not failed
        assert {v.way for v in small.variants} == {"", *ways}
        for variant in small.variants[1:]:
            model_of = automl.load(study / "compressed" / "variants" / variant.name)
            assert isinstance(model_of.module, OnnxNetwork) == (variant.way in ("onnx", "int8"))


def test_the_report_shows_the_variants(quantized: Path) -> None:
    pytest.importorskip("matplotlib")
    drawn = figures.svg(figures.draw("compression", automl.Study.open(quantized)))
    for name in ("original", "int8-static", "onnx"):
        assert name in drawn


def test_a_ledger_that_names_other_folders_is_not_followed(quantized: Path, tmp_path: Path) -> None:
    study = copied(quantized, tmp_path)
    victim = study / "victim"
    victim.mkdir()
    (victim / files.MANIFEST).write_text("{}")
    with_ledger = Ledger.open(study)
    try:
        fact = with_ledger.facts()[FACT]
        entry = {**fact["variants"]["onnx"], "name": "../../victim", "digest": files.sha256(victim / files.MANIFEST)}
        fact["variants"]["../../victim"] = entry
        with_ledger.describe(**{FACT: fact})

        class Opened:
            path, ledger = study, with_ledger

        assert CompressionRecord(Opened(), fact["of"]).variants == []  # type: ignore[arg-type]
    finally:
        with_ledger.close()
    assert (victim / files.MANIFEST).is_file()
    assert not paths.compressed(study).exists()
