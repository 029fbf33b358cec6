import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from automl.bundle import io
from automl.bundle.loading import load as load_bundle
from automl.data import load
from automl.data.preparing.transform import transform
from automl.errors import DataError
from automl.models import build
from automl.training import Trainer

TEXT = "the quick brown fox jumps over the lazy dog. " * 60 + "ZZZ" * 200


def test_a_long_text_becomes_windows_and_what_follows(tmp_path: Path):
    (tmp_path / "t.txt").write_text(TEXT)
    data = load("t.txt", prepare={"window": 16}, base=tmp_path)
    assert data.kind == "next_token"
    assert data.inputs.vocabulary == int(data.outputs) == len(data.classes)
    assert torch.equal(data.train.x[:, 1:], data.train.y[:, :-1])
    assert "".join(data.classes[k] for k in data.train.x[0]) == TEXT[:16]
    assert (data.test.y == 0).any(), "Z was never seen in training: it is unknown"
    assert (transform(data.preparation, data.sample) == data.val.x[:1]).all()


def test_words_bytes_and_ids(tmp_path: Path):
    (tmp_path / "t.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    words = load("t.txt.gz", prepare={"window": 8, "tokens": "word"}, base=tmp_path)
    assert {"quick", "."} <= set(words.classes)
    assert load("t.txt.gz", prepare={"window": 8, "tokens": "byte", "stride": 4}, base=tmp_path).train.x.shape[1] == 8
    np.save(tmp_path / "ids.npy", np.tile(np.arange(7), 40))
    ids = load("ids.npy", prepare={"window": 5, "tokens": "ids"}, base=tmp_path)
    assert ids.inputs.vocabulary == 8


def test_sentences_with_labels(tmp_path: Path):
    lines = [f"{k % 2} {'good fine' if k % 2 else 'bad sad'} film number {k}\n" for k in range(60)]
    (tmp_path / "t.all").write_bytes("".join([*lines, "1 caf\xe9 good\n"]).encode("latin-1"))
    data = load("t.all", prepare={"form": "sentences"}, base=tmp_path)
    assert data.classes == ["0", "1"]
    assert data.inputs.kind == "tokens"
    again = transform(data.preparation, ["good film", "never seen words"])
    assert again[0, 2:].sum() == 0
    assert again[1, :3].tolist() == [1, 1, 1]
    frame = pd.DataFrame(
        {"says": [line[2:].strip() for line in lines], "n": range(60), "y": [line[0] for line in lines]}
    )
    table = load(frame, target="y", prepare={"text": "says"})
    assert int(table.inputs.vocabulary or 0) > 5
    (tmp_path / "bad.all").write_text("0 fine\nbroken\n")
    with pytest.raises(DataError, match="line 2"):
        load("bad.all", prepare={"form": "sentences"}, base=tmp_path)


def series(rows: int = 400) -> pd.DataFrame:
    t = np.arange(rows)
    when = pd.date_range("2024-01-01", periods=rows, freq="h").astype(str)
    return pd.DataFrame({"when": when, "load": np.sin(t / 5) * 10 + 50, "wind": np.cos(t / 5)})


def test_windows_never_predict_what_an_earlier_part_has_seen():
    frame = series()
    data = load(frame, target="load", prepare={"window": 24, "horizon": 6})
    assert data.inputs.shape[0] == 24
    assert int(data.outputs) == 6
    assert len(data.train) == 200 - 24 - 6 + 1
    assert len(data.val) == 100 - 6 + 1
    values = data.val.y * data.target_scale + data.target_center
    assert np.allclose(values[0], frame.load[200:206], atol=1e-3)
    past = transform(data.preparation, frame.iloc[176:200])
    assert torch.equal(past, data.val.x[:1])
    with pytest.raises(DataError, match="looks back 24"):
        transform(data.preparation, frame.head(5))


def test_a_saved_forecaster_answers_in_the_unit_of_the_data(tmp_path: Path):
    data = load(series(), target="load", prepare={"window": 24, "horizon": 6})
    config = {"width": 16, "lr": 1e-2}
    trainer = Trainer(build("lstm"), data, config, 12, seed=0)
    for _ in range(12):
        report = trainer.epoch()
    io.save(tmp_path / "b", model="lstm", config=config, prepared=data, state_dict=trainer.weights(), metrics=report)
    predicted = load_bundle(tmp_path / "b").predict(series().iloc[:300])
    assert predicted.shape == (1, 6)
    assert np.abs(predicted[0] - series().load[300:306].to_numpy()).max() < 6


def test_idx_files_and_image_folders(tmp_path: Path):
    pictures = np.random.default_rng(0).integers(0, 255, (40, 5, 4)).astype(np.uint8)
    labels = np.arange(40, dtype=np.uint8) % 2
    for name, array in (("a-images-idx3-ubyte.gz", pictures), ("a-labels-idx1-ubyte.gz", labels)):
        head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">i4").tobytes()
        (tmp_path / name).write_bytes(gzip.compress(head + array.tobytes()))
    data = load("a-images-idx3-ubyte.gz", base=tmp_path)
    assert data.inputs.shape == (1, 5, 4)
    image = pytest.importorskip("PIL.Image")
    for k in range(24):
        folder = tmp_path / "pets" / ("cat" if k % 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        image.fromarray(pictures[k].repeat(3).reshape(5, 4, 3)).save(folder / f"{k}.png")
    data = load("pets", base=tmp_path)
    assert data.classes == ["cat", "dog"]
    assert data.inputs.shape == (3, 5, 4)


def test_npy_files(tmp_path: Path):
    x = np.random.default_rng(0).normal(size=(50, 4))
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", (x[:, 0] > 0).astype(int))
    assert load("x.npy", target="y.npy", base=tmp_path).kind == "classification"
    assert load("x.npy", base=tmp_path).inputs == 3


@pytest.mark.parametrize(
    ("file", "target", "prepare", "family", "config", "metric", "beats"),
    [
        ("text/TREC.train.all.gz", None, {"form": "sentences"}, "lstm", {"width": 32, "lr": 1e-2}, "accuracy", 0.5),
        (
            "ett/ETTh1.csv.gz",
            "OT",
            {"window": 24, "horizon": 1, "stride": 8},
            "lstm",
            {"width": 16, "lr": 1e-2},
            "r2",
            0.4,
        ),
        pytest.param(
            "mnist/mnist.npz",
            None,
            {"rows": 2000},
            "convnet",
            {"width": 4, "lr": 2e-2, "batch_size": 32},
            "accuracy",
            0.6,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_real_sequences_and_images(shared_data: Path, file, target, prepare, family, config, metric, beats):
    data = load(shared_data / file, target=target, prepare=prepare)
    trainer = Trainer(build(family), data, {"batch_size": 64, "schedule": "cosine", **config}, 3, seed=0)
    for _ in range(3):
        report = trainer.epoch()
    assert report[f"val_{metric}"] > beats, report


def test_a_language_model_beats_letter_frequencies(shared_data: Path):
    data = load(shared_data / "shakespeare/input.txt.gz", prepare={"window": 32})
    few = data.train.x[:1500]
    counts = torch.bincount(data.train.y.flatten(), minlength=int(data.outputs)).double() + 1
    p = counts / counts.sum()
    frequencies = float(-(p * p.log()).sum())
    from dataclasses import replace

    from automl.data import Part

    small = replace(data, train=Part(few, data.train.y[:1500]), val=Part(data.val.x[:200], data.val.y[:200]))
    trainer = Trainer(
        build("transformer"), small, {"width": 32, "depth": 1, "heads": 2, "lr": 1e-2, "batch_size": 32}, 1, seed=0
    )
    assert trainer.epoch()["val_loss"] < frequencies - 0.5
