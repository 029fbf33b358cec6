"""`automl compress` of what answers together: trees, the models of folds, and packs of both."""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import automl
from automl import specfile
from automl.bundle.compressed.network import OnnxNetwork
from automl.bundle.ensemble import Ensemble
from automl.bundle.model import Model
from automl.cli.app import app
from automl.compression import measuring
from automl.errors import BundleError
from automl.evaluation.finalists import holdout_of
from automl.tasks.builtin import BuiltinTask
from automl.tasks.from_spec import task_of
from tests.compression.test_compress import Killed

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")
SPEC = """study: s
model: {models}
data: table.csv
target: t
metric: val_accuracy
epochs: 2
split: {split}
space: {space}
budget: {{trials: {trials}}}
seed: 3
"""
PACK = "pack: {models: 6, patience: 99}\n"
TREES = "{rounds: 12, leaves: {int: [3, 9]}}"
NETWORKS = "{width: {int: [6, 12]}, lr: {float: [0.005, 0.05], log: true}}"
FOLDS, ROWS = "{folds: 3, test: 0.2}", "{train: 0.6, val: 0.2, test: 0.2}"


def searched(folder: Path, models: str, split: str, trials: int, more: str, space: str = TREES) -> Path:
    """The folder of a finished study of a small table."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(300, 4)), columns=list("abcd"))
    frame["kind"] = rng.choice(["x", "y", "z"], 300)
    frame.loc[::7, "b"] = None
    value = frame.a + frame.b.fillna(0) ** 2 + (frame.kind == "x")
    frame["t"] = np.where(value + rng.normal(size=300) / 3 > 1, "yes", "no")
    frame.to_csv(folder / "table.csv", index=False)
    (folder / "space.yaml").write_text(SPEC.format(models=models, split=split, trials=trials, space=space) + more)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = automl.search(folder / "space.yaml", dir=folder / "studies", executor="inline")
    assert study.path is not None
    return study.path


@pytest.fixture(autouse=True)
def measured_shortly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "BLOCK_S", 0.002)


@pytest.fixture(scope="module")
def pack_of_folds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its winner is an ensemble of trees, each of them the models of three folds."""
    return searched(tmp_path_factory.mktemp("folds"), "trees", FOLDS, 9, PACK)


@pytest.fixture
def study(pack_of_folds: Path, tmp_path: Path) -> Path:
    shutil.copytree(pack_of_folds.parent.parent, tmp_path / "project")
    return tmp_path / "project" / "studies" / pack_of_folds.name


def table(study: Path) -> pd.DataFrame:
    return pd.read_csv(study.parent.parent / "table.csv")


def test_a_pack_of_folds_is_scored_on_what_each_model_has_not_seen(study: Path) -> None:
    small = automl.compress(study, ways=["fewer", "onnx"], lose=0.1)
    original, onnx = small.variants[0], next(v for v in small.variants if v.name == "onnx")
    verdict = automl.Study.open(study).verdict
    assert verdict is not None
    assert original.score == pytest.approx(verdict["finalists"][0]["mean"])  # as the search had it
    assert (onnx.gain, onnx.score, onnx.parameters) == (0.0, original.score, original.parameters)
    assert onnx.bytes < original.bytes
    assert onnx.latency_ms < original.latency_ms
    # what the members say of validation rows is that of models that have not seen them
    task = task_of(specfile.read(study.parent.parent / "space.yaml"))
    assert isinstance(task, BuiltinTask)
    holdout, made = holdout_of(task), study / "compressed" / "variants" / "onnx"
    ours, theirs = (holdout.outputs(one, "val") for one in (made, study / "ensemble"))
    assert torch.allclose(ours, theirs, atol=1e-4)
    manifest = json.loads((made / "manifest.json").read_text())
    assert {member["fold"] for member in manifest["members"]} == {0, 1, 2}
    assert manifest["metrics"]["val_accuracy"] == pytest.approx(original.score)
    # and for further rows all answer
    rows = table(study)
    whole, loaded = automl.load(study), automl.load(made)
    assert isinstance(loaded, Ensemble)
    assert all(isinstance(member.module, OnnxNetwork) for member in loaded.models)
    assert np.allclose(loaded.predict_proba(rows), whole.predict_proba(rows), atol=1e-5)
    fewer = [v for v in small.variants if v.way == "fewer"]
    assert {v.name for v in fewer} <= {"fewer-1", "fewer-2", "fewer-3", "fewer-4", "fewer-5"}
    assert all(v.bytes < original.bytes for v in fewer)
    assert small.chosen is not None
    assert small.chosen.way == "onnx"
    best = automl.load(study / "compressed")
    assert small.test is not None
    assert best.metrics["test_accuracy"] == small.test["value"]
    assert f"on {small.test['rows']} test rows" in (study / "compressed" / "best" / "README.md").read_text()
    assert automl.load(study / "compressed").predict(rows.head(2)).tolist() == best.predict(rows.head(2)).tolist()


def test_a_run_that_was_killed_goes_on_and_a_second_one_makes_nothing(study: Path) -> None:
    def kill(text: str) -> None:
        made.append(text.partition(":")[0])
        if len(made) == 3:
            raise Killed

    made, told = list[str](), list[str]()
    with pytest.raises(Killed):
        automl.compress(study, ways=["fewer", "onnx"], say=kill)
    small = automl.compress(study, ways=["fewer", "onnx"], say=told.append)
    assert not {line.partition(":")[0] for line in told} & set(made)
    names = [v.name for v in small.variants]
    assert len(set(names)) == len(names) > len(made)
    before = len(told)
    automl.compress(study, ways=["fewer", "onnx"], say=told.append)
    assert len(told) == before


@pytest.mark.parametrize("split", [ROWS, FOLDS])
def test_a_winner_of_trees(tmp_path: Path, split: str) -> None:
    study = searched(tmp_path, "trees", split, 1, "finalists: none\n")
    small = automl.compress(study, ways=["prune", "onnx", "int8"], lose=0.3)
    names = {v.name for v in small.variants}
    assert {"original", "prune-50", "onnx", "prune-90-onnx"} <= names
    assert not any(v.failed or v.way == "int8" for v in small.variants)
    sizes = {v.name: v.parameters for v in small.variants}
    assert sizes["prune-90"] < sizes["prune-50"] < sizes["original"]
    rows = table(study)
    made, whole = automl.load(study / "compressed" / "variants" / "onnx"), automl.load(study)
    assert isinstance(made, Model if split == ROWS else Ensemble)
    assert np.allclose(made.predict_proba(rows), whole.predict_proba(rows), atol=1e-5)


def test_the_command_exports_compressed_trees_as_onnx_and_serves_what_is_together(study: Path, tmp_path: Path) -> None:
    from automl.serving.models.served import Served

    run = CliRunner().invoke
    done = run(app, ["compress", "s", "--dir", str(study.parent), "--way", "onnx", "--json", "--quiet"])
    assert done.exit_code == 0, done.output
    served = Served("s", "v1", "x", automl.load(study / "compressed"))
    card = served.card()
    assert card["metrics"]["test_accuracy"] == json.loads(done.stdout)["test"]["value"]
    assert "test_accuracy" in card["intervals"]
    ready = served.prepare(table(study).head(3))
    answer = served.answer(served.compute(ready.inputs), proba=False)
    assert answer["predictions"] == automl.load(study).predict(table(study).head(3)).tolist()
    export = ["export", "s", "--onnx", str(tmp_path / "x.onnx"), "--dir", str(study.parent)]
    out = run(app, export)
    assert "the best single model (the winner is an ensemble of" in out.output
    out = run(app, [*export, "--compressed"])
    assert isinstance(out.exception, BundleError)
    assert "networks that answer together, and a file holds one" in str(out.exception)
    alone = searched(tmp_path, "trees", ROWS, 1, "finalists: none\n")
    automl.compress(alone, ways=["onnx"])
    file = tmp_path / "trees.onnx"
    out = run(app, ["export", "s", "--dir", str(alone.parent), "--compressed", "--onnx", str(file)])
    assert out.exit_code == 0, out.output
    assert b"TreeEnsemble" in file.read_bytes()


@pytest.mark.parametrize("split", [ROWS, FOLDS])
def test_a_student_of_folds_is_scored_by_siblings_that_have_not_seen_the_rows(tmp_path: Path, split: str) -> None:
    study = searched(tmp_path, "mlp", split, 6, PACK, NETWORKS)
    ensemble = automl.load(study)
    assert isinstance(ensemble, Ensemble)
    small = automl.compress(study, ways=["student"], epochs=1, lose=0.5)
    original, student = small.variants
    made = automl.load(study / "compressed" / "variants" / "student")
    assert isinstance(made, Model)
    assert student.parameters < original.parameters
    assert made.metrics["val_accuracy"] == student.score
    siblings = study / "compressed" / "siblings" / "student"
    assert siblings.exists() == ("folds" in split)
    if siblings.exists():
        task = task_of(specfile.read(study.parent.parent / "space.yaml"))
        assert isinstance(task, BuiltinTask)
        holdout, own = holdout_of(task), automl.load(siblings)
        assert isinstance(own, Ensemble)
        folds, x = holdout.prepared.folds, holdout.prepared.val.x
        assert folds is not None
        alone = folds.joined([one.module(x[folds.held_rows(k)]).detach() for k, one in enumerate(own.models)])
        assert holdout.sample_of(alone, "val").value == student.score
        assert "scored by 3 siblings" in small.table()
    assert small.test is not None
    assert np.allclose(automl.load(study / "compressed").predict_proba(table(study)), made.predict_proba(table(study)))


@pytest.mark.slow
def test_a_pack_of_trees_and_networks_in_int8(tmp_path: Path) -> None:
    study = searched(tmp_path, "[trees, mlp]", ROWS, 6, PACK, TREES[:-1] + ", width: [8]}")
    small = automl.compress(study, ways=["onnx", "int8"], lose=0.3)
    by_name = {v.name: v for v in small.variants}
    assert not any(v.failed for v in small.variants)
    families = {model.manifest["model"] for model in automl.load(study).models}  # type: ignore[union-attr]
    assert families
    if "int8" in by_name:  # a network is among them
        assert by_name["int8"].bytes < by_name["original"].bytes
    rows = table(study)
    onnx = automl.load(study / "compressed" / "variants" / "onnx")
    assert np.allclose(onnx.predict_proba(rows), automl.load(study).predict_proba(rows), atol=1e-4)
