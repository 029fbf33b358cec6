"""The commands around a search: pictures, reports, comparisons, exports, first steps, predictions."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from automl.core.space import Float
from automl.study.study import Study


@pytest.fixture
def studies(tmp_path):
    """studies/one and studies/two, eight trials each."""
    for name, seed in (("one", 1), ("two", 2)):
        with Study(
            {"x": Float(0, 1)}, metric="val_loss", trials=8, seed=seed, path=tmp_path / "studies" / name
        ) as made:
            while (trial := made.ask()) is not None:
                made.report(trial, 1, {"val_loss": 2.0})
                made.tell(trial, val_loss=trial["x"])
    return tmp_path / "studies"


def test_plot_and_report(run, studies):
    pytest.importorskip("matplotlib")
    code, out, err = run("plot", "history", "one")
    assert (code, err) == (0, "")
    assert Path(out.strip()).read_bytes().startswith(b"\x89PNG")
    assert run("plot", "curves", "one", "--out", "c.svg")[1] == "c.svg\n"
    code, _, err = run("plot", "importance", "one")
    assert code == 2
    assert "importance" in err
    code, out, _ = run("report", "one")
    assert code == 0
    assert Path(out.strip()) == Path("studies/one/report.html")
    assert Path(out.strip()).read_text().startswith("<!doctype html>")


def test_compare(run, studies):
    code, out, _ = run("compare", "one", "two")
    assert code == 0
    assert "at 16" in out
    assert [s["study"] for s in json.loads(run("compare", "one", "two", "--json")[1])["studies"]] == ["one", "two"]
    shutil.copytree("studies/one", "elsewhere/one")
    twins = json.loads(run("compare", "one", "elsewhere/one", "--json")[1])["studies"]
    assert [s["study"] for s in twins] == ["studies/one", "elsewhere/one"]


def test_export(run, studies):
    pytest.importorskip("optuna")
    code, out, _ = run("export", "one", "--csv", "all.csv", "--optuna", "journal.log")
    assert code == 0
    assert out.count("8 trials") == 2
    assert len(list(csv.DictReader(Path("all.csv").read_text().splitlines()))) == 8
    assert run("export", "one", "--optuna", "journal.log")[0] == 2


def test_init(run, tmp_path):
    code, out, _ = run("init", "new")
    assert code == 0
    assert "automl search new/space.yaml" in out
    assert json.loads((tmp_path / "new" / "space.schema.json").read_text())["properties"]
    assert run("validate", "new/space.yaml")[0] == 0
    code, _, err = run("init", "new")
    assert code == 2
    assert "--force" in err
    assert run("init", "new", "--force")[0] == 0
    (tmp_path / "new" / "space.yaml").unlink()  # the schema beside it is the same for every specification
    assert run("init", "new")[0] == 0
    (tmp_path / "new" / "space.yaml").unlink()
    (tmp_path / "new" / "space.schema.json").write_text("my own")
    assert run("init", "new")[0] == 2


def test_init_with_several_targets(run, tmp_path):
    rows = "".join(f"{k % 7},{k % 5},{k % 3},{'ab'[k % 2]}\n" for k in range(40))
    (tmp_path / "flats.csv").write_text("area,rent a,days,town\n" + rows)
    assert run("init", "new", "--csv", "flats.csv", "--target", "rent a", "--target", "days")[0] == 0
    text = (tmp_path / "new" / "space.yaml").read_text()
    assert 'target: ["rent a", days]\n' in text
    assert "metric: val_r2 " in text
    assert run("validate", "new/space.yaml")[0] == 0
    code, _, err = run("init", "other", "--csv", "flats.csv", "--target", "days", "--target", "days")
    assert code == 2
    assert "'days' is named twice" in err


def test_doctor(run):
    code, out, _ = run("doctor", "--json")
    assert code in (0, 5)
    assert {"python", "disk"} <= {f["what"] for f in json.loads(out)["findings"]}


MUP = """model: mlp
data: iris
metric: val_loss
epochs: 1
parametrization: mup
space: {depth: 3, lr: {float: [1e-3, 1e-1], log: true, default: 0.01}, batch_size: 64, norm: none}
budget: {trials: 1}
"""


def test_mup_check_distinguishes_a_flat_model_from_one_that_grows(run, tmp_path):
    (tmp_path / "space.yaml").write_text(MUP)
    code, out, err = run("mup-check", "space.yaml", "--widths", "32,256", "--json")
    document = json.loads(out)
    assert (code, err, document["ok"], document["rates"]) == (0, "", True, None)
    assert document["widths"] == [32, 256]
    code, out, _ = run("mup-check", "space.yaml", "--widths", "64,1024", "--set", "parametrization=standard")
    assert code == 1
    assert "grows" in out


@pytest.mark.slow
def test_mup_check_finds_the_best_rates_and_draws(run, tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "space.yaml").write_text(MUP)
    code, out, _ = run("mup-check", "space.yaml", "--widths", "32,128", "--rates", "--out", "m.svg")
    assert "octaves apart" in out
    assert out.endswith("m.svg\n")
    assert "mean |activation|" in Path("m.svg").read_text()
    assert code in (0, 1)


def test_predict_refuses_what_is_no_bundle(run, studies):
    for name in ("nothing", "one"):
        code, out, err = run("predict", name, "rows.csv")
        assert code in (2, 3)
        assert out == ""
        assert "Traceback" not in err


@pytest.mark.slow
def test_from_a_table_to_predictions_and_pictures_of_the_winner(run, tmp_path):
    pytest.importorskip("matplotlib")
    lines = [["size", "colour", "kind"]]
    lines += [[k % 10, ("red", "blue")[k % 2], ("big" if k % 10 > 4 else "small")] for k in range(200)]
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    assert run("init", ".", "--csv", "rows.csv", "--target", "kind")[0] == 0
    small = ["--set", "epochs=4", "--trials", "3", "--executor", "inline", "--stopper", "none"]
    code, out, err = run("search", "space.yaml", "-q", *small)
    assert code == 0, err
    code, out, err = run("predict", "rows", "rows.csv", "--proba", "--keep")
    assert code == 0, err
    made = list(csv.DictReader(io.StringIO(out)))
    assert len(made) == 200
    assert list(made[0]) == ["size", "colour", "kind", "prediction", "p(big)", "p(small)"]
    assert all(abs(float(r["p(big)"]) + float(r["p(small)"]) - 1) < 1e-6 for r in made)
    assert sum(r["prediction"] == r["kind"] for r in made) > 120
    assert run("plot", "errors", "rows", "--out", "errors.svg")[0] == 0
    assert "validation rows" in Path("errors.svg").read_text()
    assert run("plot", "seeds", "rows")[0] == 0
