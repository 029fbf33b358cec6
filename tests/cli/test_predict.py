"""`automl predict`: the user's columns come back to the letter, and what could not be read is counted."""

from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from automl.bundle import io
from automl.bundle.loading import load as load_model
from automl.cli import main
from automl.data import load
from automl.models import build
from automl.training import Trainer
from tests.support.series import shops


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


def test_the_header_comes_back_to_the_letter(predict):
    code, out, _ = predict(',code,amount,note\r\n0,01,1e5,"a, b"\r\n1,A1,0.50,05/06/2021\r\n', "--keep")
    assert code == 0
    assert out.splitlines() == [",code,amount,note,prediction", '0,01,1e5,"a, b",n', "1,A1,0.50,05/06/2021,n"]


def test_a_column_that_the_model_uses_and_that_is_there_twice_is_told(predict):
    code, _, err = predict("code,amount,code\n01,0.5,02\n")
    assert code == 2
    assert "two columns named 'code'" in err
    assert predict("code,x,amount,x\n01,1,0.5,2\n", "--keep")[1].splitlines() == [
        "code,x,amount,x,prediction",
        "01,1,0.5,2,p",
    ]


def test_probabilities(predict):
    code, out, _ = predict("code,amount\n01,0.5\n", "--proba")
    assert code == 0
    assert out.startswith("prediction,p(n),p(p)\np,")


def test_of_a_series_the_prediction_follows_the_newest_rows(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    frame = shops()
    frame.to_csv("train.csv", index=False)
    data = load("train.csv", target="sales", prepare={"window": 6, "horizon": 2})
    trainer = Trainer(build("mlp"), data, {"depth": 1}, 1, seed=0)
    report = trainer.epoch()
    io.save(Path("best"), model="mlp", config={"depth": 1}, prepared=data, state_dict=trainer.weights(), metrics=report)

    def call(*options):
        with pytest.raises(SystemExit) as ended:
            main(["predict", "best", "new.csv", *options])
        return ended.value.code or 0, *capsys.readouterr()

    by_time = frame.loc[pd.to_datetime(frame["month"], dayfirst=True).sort_values(kind="stable").index]
    by_time[(by_time["shop"] != "west") | (by_time["month"].str[-4:] < "2015")].to_csv("new.csv", index=False)
    code, out, err = call()
    table = pd.read_csv(StringIO(out))
    assert (code, err) == (0, "")
    assert list(table) == ["series", "after", "prediction", "prediction 2"]
    assert dict(zip(table["series"], table["after"], strict=True)) == {
        "north": "01.12.2019",
        "south": "01.12.2019",
        "west": "01.12.2014",
    }
    model = load_model("best")
    rows = pd.read_csv("new.csv")
    for form in (rows, rows.to_dict("records"), "new.csv"):
        assert model.series_names(form) == table["series"].tolist()
        assert model.predict(form) == pytest.approx(table[["prediction", "prediction 2"]].to_numpy())
    code, _, err = call("--keep")
    assert code != 0
    assert "--keep: a model of a series predicts what follows the last rows" in err
