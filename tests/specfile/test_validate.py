"""`automl validate` refuses what `automl search` would refuse, and nothing else; each message names the entry."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import automl
from automl.cli import main
from automl.errors import AutoMLError
from automl.executors import devices

TABLE: dict[str, Any] = {
    "model": "mlp",
    "data": "table.csv",
    "target": "label",
    "epochs": 2,
    "metric": "val_accuracy",
    "space": {"lr": {"float": [0.001, 1.0], "log": True}, "width": [8, 16]},
    "budget": {"trials": 2},
    "finalists": "none",
}
FUNCTION = {
    "train": "mine_to_validate:train",
    "metric": "val_loss",
    "space": {"lr": [0.1, 0.2]},
    "budget": {"trials": 2},
    "finalists": "none",
}
COMMAND = {
    "command": ["python", "program.py", "{lr}"],
    "metric": "val_loss",
    "space": {"lr": [0.1, 0.2]},
    "budget": {"trials": 1},
    "finalists": "none",
}

NONSENSE: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (TABLE, {"prepare": {"nonsense": 1}}, "prepare.nonsense: is no option"),
    (TABLE, {"prepare": {"impute": "medium"}}, r"prepare.impute: .* got 'medium'; did you mean 'median'"),
    (TABLE, {"prepare": {"rows": "many"}}, "prepare.rows: needs a whole number"),
    (TABLE, {"prepare": {"encoding": "nonsense"}}, "prepare.encoding: needs an encoding"),
    (TABLE, {"prepare": {"memory": "lots"}}, "prepare.memory: needs a size"),
    (TABLE, {"prepare": {"types": {"zip": "category"}}}, "prepare.types.zip: the table has no column 'zip'"),
    (TABLE, {"prepare": {"types": {"a": "text"}}}, "prepare.types: 'text' is not one of category"),
    (TABLE, {"prepare": {"task": "regression"}}, "metric: 'val_accuracy' is not measured for regression"),
    (TABLE, {"prepare": {"window": 4}}, "metric: 'val_accuracy' is not measured for regression"),
    (TABLE, {"augment": {"flip": None}}, "augment.flip: has no strength"),
    (TABLE, {"augment": {"flip": 0.5}}, "augment.flip: a table cannot be augmented"),
    (TABLE, {"augment": {"flap": 0.5}}, "augment.flap: is no operation; did you mean 'flip'"),
    (TABLE, {"augment": {"noise": -1}}, "augment.noise: must be a number of at least 0, got -1"),
    (TABLE, {"precision": "fp16"}, "precision: fp16 needs a GPU"),
    (TABLE, {"resources": {"gpus": 2}}, "resources.gpus: a trial needs 2 GPUs"),
    (TABLE, {"executor": {"name": "local", "gpus": 2}}, "executor.gpus: a trial needs 2 GPUs"),
    (TABLE, {"parallel": "shard", "resources": {"gpus": 2}}, "resources.gpus: a trial needs 2 GPUs"),
    (TABLE, {"parallel": "shard"}, "parallel: shard needs trials on several devices"),
    (TABLE, {"strategy": {"name": "genetic", "population": "many"}}, "strategy.population: needs a whole number"),
    (TABLE, {"strategy": {"name": "genetic", "population": -3}}, "strategy.population: needs population >= 2"),
    (TABLE, {"strategy": {"name": "prior", "config": {"depht": 3}}}, "strategy: depht is not a parameter"),
    (TABLE, {"strategy": {"name": "first", "configs": [3]}}, "strategy: a config is a mapping"),
    (TABLE, {"strategy": {"name": "prior", "strategy": "gird"}}, "strategy.strategy: .*did you mean 'grid'"),
    (TABLE, {"stopper": {"name": "halving", "eta": "one"}}, "stopper.eta: needs a whole number"),
    (TABLE, {"stopper": {"name": "asha", "mode": "stp"}}, "stopper.mode: needs one of stop, promote"),
    (TABLE, {"use": "mlp"}, "use: unknown key; a preset stands in a group"),
    (TABLE, {"space": {"use": "mlp"}}, "space.use: use stands in a group of the space; write architecture"),
    (TABLE, {"space": {"lr": {"use": "mlp"}}}, "space.lr.use: unknown preset 'lr/mlp'"),
    (TABLE, {"space": {"dropout": 1}}, r"space.dropout: dropout must be in \[0, 1\), got 1"),
    (TABLE, {"space": {"dropout": {"float": [0, 1]}}}, "space.dropout: dropout must be in"),
    (TABLE, {"space": {"warmup": -1}}, "space.warmup: warmup must be at least 0, got -1"),
    (TABLE, {"space": {"warmup": {"float": [-1, 2]}}}, "space.warmup: warmup must be at least 0"),
    (TABLE, {"space": {"lr": [0.1, -0.1]}}, "space.lr: lr must be at least 0, got -0.1"),
    (TABLE, {"space": {"optimizer": ["sgd", "adan"]}}, "space.optimizer: unknown optimizer 'adan'"),
    (TABLE, {"space": {"net": {"activation": {"choice": ["relu", "rellu"]}}}}, "space.net.activation: .*did you mean"),
    (TABLE, {"space": {"batch_size": 32.5}}, "space.batch_size: batch_size must be a whole number"),
    (TABLE, {"space": {"depth": {"int": [0, 3]}}}, "space.depth: depth must be at least 1, got 0"),
    (TABLE, {"parametrization": "mup", "space": {"lr": [0.1]}}, "parametrization: 'mup' needs the width"),
    (TABLE, {"model": "lstm"}, "model: lstm does not suit a table"),
    (TABLE, {"model": "mine_to_validate:biuld"}, "model: .*no 'biuld'; did you mean 'build'"),
    (TABLE, {"model": "mine_to_validate:build"}, r"model: build is called as build\(config, inputs, outputs\), which"),
    (FUNCTION, {"train": "mine_to_validate:pair"}, r"train: pair is called as pair\(trial\), which its definition"),
    (TABLE, {"data": "tabel.csv"}, "data: there is no file 'tabel.csv' .*did you mean 'table.csv'"),
    (TABLE, {"target": "lable"}, "target: the table has no column 'lable'; did you mean 'label'"),
    (TABLE, {"split": {"group": "person"}}, "split.group: the table has no column 'person'"),
    (TABLE, {"sample_weight": "w"}, "sample_weight: the table has no column 'w'"),
    (TABLE, {"metric": "val_acc"}, "metric: 'val_acc' is not measured"),
    (TABLE, {"metric": "val_rmse"}, "metric: 'val_rmse' is not measured for classification"),
    (TABLE, {"class_weight": "balanced", "target": "a", "metric": "val_rmse"}, "only classes can be balanced"),
    (TABLE, {"prepare": {"target_scale": "log"}}, "prepare.target_scale: it is for values"),
    (TABLE, {"prepare": {"separator": ";;"}}, "prepare.separator: needs one character"),
    (TABLE, {"prepare": {"rows": 5}}, "5 rows are too few: at least 12"),
    (TABLE, {"prepare": {"drop": ["a", "b", "c", "d", "e"]}}, "prepare.drop: no column is left to learn from"),
    (TABLE, {"sample_weight": "b"}, "weight 'b': every row needs a finite weight of at least 0"),
    (TABLE, {"sample_weight": "c"}, "weight 'c': every row needs a finite weight of at least 0"),
    (TABLE, {"split": {"group": "d"}}, "split by group: 2 groups cannot make three parts"),
    (TABLE, {"split": {"time": "c"}}, "split.time: some rows of 'c' have no date"),
    (TABLE, {"target": "a", "metric": "val_rmse", "adjust": "calibrate"}, "adjust: calibrate is for classes"),
    (TABLE, {"constraints": ["width > 100"]}, "constraints.*'width > 100'"),
    (TABLE, {"first": [{"lr": 5}]}, r"first\[0\].lr: 5 is outside"),
    (FUNCTION, {"train": "mine_to_validate:trian"}, "train: .*no 'trian'; did you mean 'train'"),
    (FUNCTION, {"train": "not_there:train"}, "train: there is no module 'not_there'"),
    (COMMAND, {"command": ["python", "porgram.py"]}, r"command\[1\]: .*'porgram.py' .*did you mean 'program.py'"),
    (COMMAND, {"command": ["no-such-program", "{lr}"]}, r"command\[0\]: there is no program 'no-such-program'"),
    (COMMAND, {"command": ["python", "program.py", "{lr:>3000000000}"]}, r"command\[2\].*1000 characters at most"),
    (COMMAND, {"command": ["python", "program.py", "{lr:d}"]}, r"command\[2\].*cannot be written"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rows = [
        f"{k % 7 / 3},{k % 5 - 2.5},{'uvw'[k % 3]},{k % 2},{k % 11},{'yes' if k % 7 + k % 5 > 5 else 'no'}"
        for k in range(70)
    ]
    (tmp_path / "table.csv").write_text("\n".join(["a,b,c,d,e,label", *rows]) + "\n")
    (tmp_path / "program.py").write_text("print('{\"val_loss\": 0.5}')\n")
    (tmp_path / "mine_to_validate.py").write_text(
        "def train(trial):\n    trial.report(1, val_loss=1.0)\n\ndef build():\n    ...\n"
        "def pair(trial, *, width):\n    ...\n"
    )
    monkeypatch.setattr(devices, "count", lambda: 0)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(folder: Path, base: dict[str, Any], changes: dict[str, Any]) -> Path:
    file = folder / "space.yaml"
    file.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in {**base, **changes}.items()))
    return file


def validated(file: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code of `automl validate`, and what it says."""
    with pytest.raises(SystemExit) as ended:
        main(["validate", str(file)])
    return int(ended.value.code or 0), capsys.readouterr().err


@pytest.mark.catalogue(
    43, "a spec that no search could run: options, types, devices, columns, code", "refused with the entry", 2
)
@pytest.mark.parametrize(("base", "changes", "rule"), NONSENSE, ids=[rule[:40] for _, _, rule in NONSENSE])
def test_what_a_search_would_refuse_is_refused_by_validate(
    base: dict[str, Any],
    changes: dict[str, Any],
    rule: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = written(folder, base, changes)
    code, said = validated(file, capsys)
    assert code == 2
    with pytest.raises(AutoMLError):
        automl.search(file, path=folder / "study", executor=changes.get("executor", "inline"))
    assert "Traceback" not in said
    assert re.search(rule, said), said


def test_a_loss_that_fails_every_trial_is_refused_before_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = validated(written(folder, TABLE, {"space": {"lr": 0.1, "loss": "huber"}}), capsys)
    assert code == 2
    assert "loss: huber is not for classification; one of cross_entropy, focal" in said


SENSE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (TABLE, {}),
    (TABLE, {"prepare": {"impute": "mean", "types": {"a": "number"}, "memory": "1 GB", "separator": ","}}),
    (TABLE, {"augment": {"noise": 0.1, "mixup": 0.2}}),
    (TABLE, {"strategy": {"name": "prior", "config": {"width": 8}, "strategy": {"name": "tpe", "startup": 4}}}),
    (TABLE, {"space": {"warmup": {"float": [0, 2]}, "dropout": [0, 0.5], "batch_size": 16}}),
    (TABLE, {"first": [{"width": 8}, {"lr": 0.1}]}),
    (TABLE, {"model": "transformer", "space": {"depth": 1, "width": 8, "heads": [1, 2]}}),
    (TABLE, {"target": "a", "metric": "val_rmse"}),
    (FUNCTION, {}),
    (COMMAND, {}),
]


@pytest.mark.parametrize(("base", "changes"), SENSE, ids=[str(k) for k in range(len(SENSE))])
def test_what_validate_passes_is_searched(
    base: dict[str, Any], changes: dict[str, Any], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(folder, base, changes)
    code, said = validated(file, capsys)
    assert code == 0
    assert "warning" not in said
    study = automl.search(file, path=folder / "study", executor="inline")
    assert study.winner is not None


@pytest.mark.parametrize(
    ("base", "changes", "rule"),
    [
        (TABLE, {"budget": {"epochs": 1}}, "budget.epochs: no trial can finish: a full one takes 2 epochs"),
        (TABLE, {"resources": {"gpus": 1}}, "resources.gpus: a trial asks for a GPU, and this machine has none"),
        (TABLE, {"space": {"learning_rate": [0.1, 0.2]}}, "space.learning_rate: has no effect.*did you mean 'lr'"),
        (TABLE, {"stopper": {"name": "halving", "min_steps": 9}}, "stopper.min_steps: no trial is stopped before"),
        (FUNCTION, {"precision": "fp16"}, "precision: has no effect"),
    ],
)
def test_what_can_run_but_is_hardly_meant_is_a_warning_and_a_note(
    base: dict[str, Any], changes: dict[str, Any], rule: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(folder, base, changes)
    code, said = validated(file, capsys)
    assert code == 0
    assert re.search(rule, said), said
    study = automl.search(file, path=folder / "study", executor="inline")
    assert any(re.search(rule, note) for note in study.notes)


def test_a_study_that_was_begun_is_not_judged_by_newer_rules(folder: Path) -> None:
    tree = {**TABLE, "space": {"dropout": {"float": [0, 1]}}, "prepare": {"nonsense": 1}}
    assert automl.specfile.from_json(tree, folder=folder).space.names == ("dropout",)
