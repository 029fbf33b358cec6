import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from torch import nn

from automl.bundle import files, io, loading
from automl.data import load
from automl.errors import BundleError, DataError
from automl.models import build
from automl.training import Trainer


def table(rows=200):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=rows), rng.choice(["u", "v", None], rows)
    y = np.where((a > 0) & (b == "u"), "good", "bad")
    return pd.DataFrame({"a": np.where(np.arange(rows) % 9 == 0, np.nan, a), "b": b, "y": y})


def saved(folder: Path, data="digits", model="mlp", own=None, **kwargs) -> tuple[Trainer, Path]:
    made = load(data, seed=1, **kwargs)
    config = {"depth": 1, "width": 32, "norm": "batch", "lr": 1e-2}
    trainer = Trainer(own or build(model), made, config, 3, seed=0)
    for _ in range(3):
        report = trainer.epoch()
    io.save(
        folder / "best",
        model=model,
        config=config,
        prepared=made,
        state_dict=trainer.weights(),
        metrics=report,
        build=own,
    )
    return trainer, folder


def test_a_saved_model_predicts_raw_rows(tmp_path: Path):
    from sklearn.datasets import load_digits

    _, folder = saved(tmp_path)
    model = loading.load(folder)  # a study's folder; folder / "best" works as well
    digits = load_digits()
    assert (model.predict(digits.data) == digits.target).mean() > 0.9
    assert np.allclose(model.predict_proba(digits.data[:5]).sum(1), 1)
    assert model.metrics["val_accuracy"] > 0.9
    assert not list((folder / "best").glob("*.p*kl*"))


def test_labels_come_back_for_a_table_with_gaps_and_unseen_categories(tmp_path: Path):
    _, folder = saved(tmp_path, table(), target="y")
    model = loading.load(folder / "best")
    frame = table()
    assert (model.predict(frame) == frame.y).mean() > 0.9
    with pytest.warns(UserWarning, match=r"column 'b': 1 not seen in training \('zz'\)"):
        assert set(model.predict(pd.DataFrame({"a": [1.0, None], "b": ["zz", None]}))) <= {"good", "bad"}
    assert model.predict([{"a": 1.0, "b": "u"}]).tolist() == ["good"]


def test_regression_answers_in_the_unit_of_the_data(tmp_path: Path):
    from sklearn.datasets import load_diabetes

    _, folder = saved(tmp_path, "diabetes")
    model = loading.load(folder)
    frame = load_diabetes(as_frame=True).data
    assert 100 < model.predict(frame).mean() < 200
    with pytest.raises(DataError, match="probabilities are for classes"):
        model.predict_proba(frame)


@pytest.mark.parametrize("name", files.FILES)
def test_a_changed_file_is_refused(tmp_path: Path, name):
    _, folder = saved(tmp_path)
    path = folder / "best" / name
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=name):
        loading.load(folder)


def test_outputs_that_differ_from_the_saved_ones_are_refused(tmp_path: Path):
    _, folder = saved(tmp_path)
    sample = folder / "best" / "sample.json"
    content = json.loads(sample.read_text())
    content["outputs"][0][0] += 0.1
    sample.write_text(json.dumps(content))
    manifest = folder / "best" / "manifest.json"
    listed = json.loads(manifest.read_text())
    listed["files"]["sample.json"] = files.sha256(sample)
    manifest.write_text(json.dumps(listed))
    with pytest.raises(BundleError, match="does not give the outputs"):
        loading.load(folder)


def own(config, inputs, outputs):
    return nn.Sequential(
        nn.Flatten(), nn.Linear(inputs, config["width"]), nn.Tanh(), nn.Linear(config["width"], outputs)
    )


def test_a_users_model_needs_to_be_given_or_trusted(tmp_path: Path):
    _, folder = saved(tmp_path, model="my_own_model:own", own=own)
    with pytest.raises(BundleError, match="trust=True"):
        loading.load(folder)
    with pytest.raises(BundleError, match="cannot be imported"):
        loading.load(folder, trust=True)
    assert loading.load(folder, build=own).classes == list(range(10))


@pytest.mark.parametrize("tied", [True, False])
def test_a_language_model_goes_on_with_a_text(tmp_path: Path, tied):
    (tmp_path / "t.txt").write_text("abcabcabc" * 200)
    made = load("t.txt", prepare={"window": 12}, base=tmp_path)
    config = {"width": 16, "depth": 1, "heads": 2, "tied": tied, "lr": 1e-2, "batch_size": 16}
    trainer = Trainer(build("transformer"), made, config, 8, seed=0)
    for _ in range(8):
        report = trainer.epoch()
    assert report["val_perplexity"] < 1.5
    weights = trainer.weights()
    io.save(tmp_path / "lm", model="transformer", config=config, prepared=made, state_dict=weights, metrics=report)
    model = loading.load(tmp_path / "lm")
    assert model.generate("abcab", 7, temperature=0) == "abcabcabcabc"
    assert model.generate("abcab", 7, seed=3) == model.generate("abcab", 7, seed=3)
    assert model.predict(["abcabcabcabc"])[0].tolist() == list("bcabcabcabca")
    with pytest.raises(DataError, match="prompt"):
        model.generate("", 3)


def test_nothing_there(tmp_path: Path):
    with pytest.raises(BundleError, match="does not exist"):
        loading.load(tmp_path / "nowhere")
    with pytest.raises(BundleError, match="no winner yet"):
        loading.load(tmp_path)


def test_saving_again_replaces_the_whole_folder(tmp_path: Path):
    saved(tmp_path)
    (tmp_path / "best" / "stale.txt").write_text("old")
    saved(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best"]
    assert not (tmp_path / "best" / "stale.txt").exists()
