"""`automl predict`: the user's columns come back to the letter, and what could not be read is counted."""

from pathlib import Path

import pandas as pd
import pytest

from automl.bundle import io
from automl.cli import main
from automl.data import load
from automl.models import build
from automl.training import Trainer


@pytest.fixture
def predict(capsys, monkeypatch, tmp_path):
    """Writes a table and predicts its rows with a saved model: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    rows = 120
    frame = pd.DataFrame({"code": ["01", "02", "03", "A1"] * 30, "amount": [f"{k % 7}.5" for k in range(rows)]})
    frame.assign(y=["p", "n", "p", "n"] * 30).to_csv("train.csv", index=False)
    data = load("train.csv", target="y", seed=1)
    config = {"depth": 1, "width": 16, "lr": 3e-2}
    trainer = Trainer(build("mlp"), data, config, 8, seed=0)
    for _ in range(8):
        report = trainer.epoch()
    io.save(Path("best"), model="mlp", config=config, prepared=data, state_dict=trainer.weights(), metrics=report)

    def call(text, *options):
        Path("new.csv").write_text(text, encoding="utf-8")
        with pytest.raises(SystemExit) as ended:
            main(["predict", "best", "new.csv", *options])
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return call


def test_the_own_columns_come_back_to_the_letter(predict):
    code, out, err = predict("code,amount\n01,0.50\n02,1.0\n03,NA\n", "--keep")
    assert (code, err) == (0, "")
    assert out.splitlines() == ["code,amount,prediction", "01,0.50,p", "02,1.0,n", "03,NA,p"]


def test_a_row_is_predicted_as_it_is_beside_others(predict):
    alone, beside = predict("code,amount\n01,0.5\n"), predict("code,amount\n01,0.5\nA1,0.5\n")
    assert alone[1].splitlines()[1] == beside[1].splitlines()[1] == "p"


def test_what_cannot_be_read_is_counted_in_one_line(predict):
    code, out, err = predict("code,amount\nZZ,0.5\n01,abc\n")
    assert code == 0
    assert len(out.splitlines()) == 3
    assert err.splitlines() == [
        "automl: values treated as missing or unknown: column 'code': 1 not seen in training ('ZZ');"
        " column 'amount': 1 not a number ('abc')"
    ]


def test_another_separator_and_a_column_that_is_called_prediction(predict):
    code, out, _ = predict("prediction;amount;code\nmine;0,5;01\n", "--keep")
    assert code == 0
    assert out.splitlines() == ["prediction,amount,code,prediction 2", 'mine,"0,5",01,p']


def test_probabilities(predict):
    code, out, _ = predict("code,amount\n01,0.5\n", "--proba")
    assert code == 0
    assert out.startswith("prediction,p(n),p(p)\np,")
