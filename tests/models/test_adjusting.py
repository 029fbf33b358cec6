"""Logits adjusted on the validation rows: temperature and thresholds, and that saved models keep them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import f1_score

import automl
from automl import specfile
from automl.bundle.model import Model
from automl.metrics.kinds.kind import Kind
from automl.models import adjusting
from automl.specfile.yaml.complaint import InvalidSpec

SPEC = """
model: mlp
data: t.csv
target: y
metric: val_f1_macro
epochs: 8
space: {width: 16, depth: 1, lr: [0.01]}
adjust: thresholds
budget: {trials: 1}
strategy: random
"""


def drawn(temperature: float, n: int = 4000) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that are `temperature` times too large, and classes drawn by the true ones."""
    generator = torch.Generator().manual_seed(0)
    true = torch.randn(n, 3, generator=generator) * 2
    y = torch.multinomial(true.softmax(-1), 1, generator=generator)[:, 0]
    return true * temperature, y


@pytest.mark.parametrize("true", [0.3, 1.0, 4.0])
def test_the_temperature_is_found(true: float) -> None:
    logits, y = drawn(true)
    assert adjusting.temperature(logits, y, None) == pytest.approx(true, rel=0.07)
    assert adjusting.temperature(logits, y, torch.ones(len(y))) == pytest.approx(true, rel=0.07)


def test_thresholds_raise_the_metric_of_rare_classes() -> None:
    generator = torch.Generator().manual_seed(1)
    y = (torch.rand(2000, generator=generator) < 0.06).long()
    seen = torch.stack([torch.zeros(2000), y * 1.5 - 3 + torch.randn(2000, generator=generator)], 1)
    shift = adjusting.offsets("f1_macro", seen, y, None)
    before, after = (f1_score(y, logits.argmax(1), average="macro") for logits in (seen, seen + shift))
    assert after > before + 0.05
    assert adjusting.fit("none", "accuracy", seen, y, None) == {}


@pytest.mark.slow
def test_a_saved_model_keeps_its_thresholds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(600, 3)), columns=list("abc"))
    frame["y"] = np.where(frame.a + 0.7 * rng.normal(size=600) > 1.6, "rare", "common")
    frame.to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "space.yaml").write_text(SPEC)
    scores = {}
    for way in ("thresholds", "calibrate", "none"):
        study = automl.search(tmp_path / "space.yaml", dir=tmp_path / way, workers=1, executor="inline",
                              overrides={"adjust": way})  # fmt: skip
        model = automl.load(study.path)
        assert isinstance(model, Model)
        assert isinstance(model.module, adjusting.Adjusted) is (way != "none")
        scores[way] = model.predict(frame.drop(columns="y"))
    assert (scores["calibrate"] == scores["none"]).all()
    assert (scores["thresholds"] == "rare").sum() > (scores["none"] == "rare").sum()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("refit: train+val", "adjust: needs validation rows that no model was trained on"),
        ("ensemble: 4", "thresholds are those of a single model; leave out ensemble"),
        ("metric: val_auroc", "thresholds are chosen for val_accuracy"),
    ],
)
def test_what_cannot_be_adjusted_is_told(line: str, says: str) -> None:
    text = SPEC.replace("metric: val_f1_macro", line) if line.startswith("metric") else f"{SPEC}{line}\n"
    with pytest.raises(InvalidSpec, match=says):
        specfile.parse(text)


@pytest.mark.parametrize("weighted", [False, True])
def test_cuts_of_labels_have_the_highest_f1_of_the_rows(weighted: bool) -> None:
    from sklearn.metrics import f1_score

    draw = torch.Generator().manual_seed(0)
    y = (torch.rand(80, 2, generator=draw) < torch.tensor([0.1, 0.6])).float()
    p = ((0.5 * torch.rand(80, 2, generator=draw) + 0.3 * y) * 30).round() / 60
    weight = torch.rand(80, generator=draw) + 0.1 if weighted else None
    kind = Kind("regression", "labels")
    found = adjusting.fit("thresholds", "f1_macro", p, y, weight, kind)
    module = adjusting.adjusted(torch.nn.Identity(), found)
    assert adjusting.without(found) == {}
    guess = module(p) >= 0.5
    for k in range(2):
        best = max(f1_score(y[:, k], p[:, k] >= t, sample_weight=weight) for t in p[:, k].unique())
        assert f1_score(y[:, k], guess[:, k], sample_weight=weight) == pytest.approx(best)
