"""Saved ensembles: what they answer, and that their members are verified."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

import automl
from automl.bundle import ensemble, io
from automl.bundle.model import Model
from automl.data import load
from automl.errors import BundleError
from automl.models import build
from automl.training import Trainer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ensemble of three models, with weights 3, 1 and 2."""
    root = tmp_path_factory.mktemp("ensemble")
    prepared = load("diabetes", seed=1)
    bundles = {}
    for seed in range(3):
        config = {"width": 8, "lr": 1e-2}
        trainer = Trainer(build("mlp"), prepared, config, 1, seed=seed)
        report = trainer.epoch()
        bundles[f"m{seed}"] = io.save(
            root / f"m{seed}",
            model="mlp",
            config=config,
            prepared=prepared,
            state_dict=trainer.weights(),
            metrics=report,
        )
    ensemble.write(root / "ensemble", bundles, {"m0": 3, "m1": 1, "m2": 2})
    return root / "ensemble"


def test_it_answers_with_the_members_average(folder: Path) -> None:
    from sklearn.datasets import load_diabetes

    rows = load_diabetes(as_frame=True).data.head(7)
    together = automl.load(folder)
    assert together.weights == [3, 1, 2]
    parts = [w * m.predict(rows) for m, w in zip(together.models, together.weights, strict=True)]
    assert np.allclose(together.predict(rows), sum(parts) / 6, rtol=1e-5)


def test_rows_are_prepared_once_for_members_with_equal_preparations(folder: Path) -> None:
    from sklearn.datasets import load_diabetes

    class Counted(Model):
        calls = 0

        def prepared(self, rows: Any, unread: list[str] | None = None) -> Tensor:
            Counted.calls += 1
            return super().prepared(rows, unread)

    rows = load_diabetes(as_frame=True).data.head(7)
    models = automl.load(folder).models
    for model in models:
        model.__class__ = Counted
    expected = sum(w * m.predict(rows) for m, w in zip(models, [3, 1, 2], strict=True)) / 6
    for others, calls in (({}, 1), ({"added": True}, 2)):
        models[2].preparation = {**models[2].preparation, **others}
        Counted.calls = 0
        assert np.allclose(ensemble.Ensemble(models, [3, 1, 2]).predict(rows), expected, rtol=1e-5)
        assert Counted.calls == calls


def test_another_member_is_refused(folder: Path) -> None:
    manifest = folder / "m1" / "manifest.json"
    kept = manifest.read_text()
    manifest.write_text(kept.replace('"format"', ' "format"'))
    with pytest.raises(BundleError, match="not the member that was saved"):
        automl.load(folder)
    manifest.write_text(kept)
    assert automl.load(folder).kind == "regression"


def test_writing_again_replaces_the_whole_folder(folder: Path) -> None:
    root = folder.parent
    ensemble.write(root / "again", {"m0": root / "m0", "m1": root / "m1"}, {"m0": 1, "m1": 1})
    ensemble.write(root / "again", {"m2": root / "m2"}, {"m2": 4})
    assert sorted(path.name for path in (root / "again").iterdir()) == ["m2", "manifest.json"]
    assert not [path for path in root.iterdir() if path.name.startswith(".")]
