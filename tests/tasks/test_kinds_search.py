"""Whole searches for quantiles, counts, ordered classes and labels: search, predict and export, from a file."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import automl
from automl.cli.app import app
from automl.errors import AutoMLError
from automl.view.pages import finalists

ASKED: dict[str, tuple[str | list[str], dict[str, Any]]] = {
    "val_f1_macro": (["red", "blue"], {"task": "labels", "drop": ["y", "n", "size"]}),
    "val_pinball": ("y", {"quantiles": [0.1, 0.5, 0.9], "drop": ["n", "size", "red", "blue"]}),
    "val_poisson_deviance": ("n", {"task": "counts", "drop": ["y", "size", "red", "blue"]}),
    "val_qwk": ("size", {"order": ["small", "middle", "large"], "drop": ["y", "n", "red", "blue"]}),
}


def frame(n: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(n, 3)), columns=list("abc"))
    table = table.assign(red=(table.a > 1).astype(int), blue=(table.a + table.b + rng.normal(size=n) > 1).astype(int))
    return table.assign(
        size=pd.cut(table.a, [-9, -0.5, 0.7, 9], labels=["small", "middle", "large"]).astype(str),
        y=10 + 3 * table.a + table.b.abs() * rng.normal(size=n),
        n=rng.poisson(np.exp(1 + 0.7 * table.a)),
    )


def run(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.slow
@pytest.mark.parametrize("metric", ASKED)
def test_a_search_of_networks_and_trees_predicts_and_is_exported(metric: str, tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "t.csv", index=False)
    target, prepare = ASKED[metric]
    spec = {
        "data": "t.csv", "target": target, "prepare": prepare, "model": ["mlp", "trees"], "metric": metric,
        "epochs": 4, "strategy": "grid", "stopper": "none", "budget": {"trials": 2},
        "finalists": {"top": 2, "seeds": 2}, "executor": "inline",
        "space": {"width": 16, "depth": 1, "lr": 0.02, "rounds": 20, "min_leaf": 5},
    }  # fmt: skip
    if metric == "val_f1_macro":
        spec["adjust"] = "thresholds"
    (tmp_path / "space.yaml").write_text(json.dumps(spec))
    study = automl.search(tmp_path / "space.yaml", path=tmp_path / "s", workers=1)
    assert {t.config["model"] for t in study.history.done} == {"mlp", "trees"}
    assert study.verdict is not None
    told = study.verdict["test"]["metrics"]
    before = automl.data.load(tmp_path / "t.csv", target=target, prepare=prepare).summary.baselines[metric]
    assert all(t.loss < (-before if metric in ("val_qwk", "val_f1_macro") else before) for t in study.history.done)
    folder = str(tmp_path / "s")
    run("predict", folder, str(tmp_path / "t.csv"), "--out", str(tmp_path / "p.csv"))
    made = pd.read_csv(tmp_path / "p.csv")
    if metric == "val_pinball":
        assert list(made) == [f"prediction of {level} of y" for level in (0.1, 0.5, 0.9)]
        assert (np.diff(made.to_numpy(), axis=1) >= 0).all()
        assert 0 < told["test_coverage"] <= 1
        assert "test_coverage" in dict(finalists.sentences(study))["also"]
    elif metric == "val_f1_macro":
        assert list(made) == ["prediction of red", "prediction of blue"]
        assert set(made.to_numpy().ravel()) == {0, 1}
        assert told["test_f1_macro"] == pytest.approx(np.mean([told[f"test_f1_macro of {k}"] for k in ("red", "blue")]))
        shares = pd.read_csv(io.StringIO(run("predict", folder, str(tmp_path / "t.csv"), "--proba")))
        assert ((shares["p(red)"] >= 0.5) == (shares["prediction of red"] == 1)).all()
    elif metric == "val_qwk":
        assert set(made["prediction"]) <= {"small", "middle", "large"}
        assert told["test_qwk"] > 0.4
    else:
        assert (made["prediction"] > 0).all()
    pytest.importorskip("onnxscript", reason="the extra `onnx` is not installed")
    assert "outputs differ by at most" in run("export", folder, "--onnx", str(tmp_path / "m.onnx"))
    with pytest.raises(AutoMLError, match="does not learn further"):
        automl.load(folder).partial_fit(frame())  # type: ignore[union-attr]
