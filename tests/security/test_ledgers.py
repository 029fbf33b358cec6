"""Ledgers of a stranger: every wrong content is a LedgerError that says what is wrong; nothing outside is written."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from automl import Study
from automl.core.space import Float
from automl.errors import LedgerError
from automl.study.ledger import kinds
from automl.study.ledger.repair import repair
from automl.study.paths import LEDGER
from automl.testing.stress import fuzz_ledgers
from automl.view.pages import trial

VERDICT: dict[str, Any] = {
    "winner": 0, "metric": "loss", "finalists": [{"trial": 0, "found": 0.1, "mean": 0.2, "interval": [0.1, 0.3],
    "seeds": 2, "values": [0.1, 0.3]}], "optimism": 0.1, "tied": [], "default": None, "first": {"trial": 0, "value": 1},
    "asked": {}, "refit": False, "test": None, "looks": 0, "ensemble": None,
}  # fmt: skip


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "s"
    with Study({"x": Float(0, 1)}, metric="loss", strategy="random", trials=3, path=path) as study:
        while (trial := study.ask()) is not None:
            study.report(trial, 1, {"loss": trial["x"], "other": 0.5})
            study.finish(trial)
        study.ledger.describe(finalists=VERDICT)
    return path


def write(path: Path, statement: str, *values: Any) -> None:
    """Change rows as the ledger's author could: without checksums."""
    with closing(sqlite3.connect(path / LEDGER)) as db, db:
        db.execute(statement, values)


FACTS = {
    "name": (7, "the study's name is not a text"),
    "seed": ("7", "the study's seed is not a whole number"),
    "metric": ({"name": "loss", "direction": "up"}, "the study's metric.direction is not one of maximize, minimize"),
    "plan": ({"trials": [3]}, "the study's plan.trials is not a number or null"),
    "strategy": ("random", "the study's strategy is not a mapping"),
    "spec": ({"tree": {}, "text": "", "folder": 3, "path": None}, "the study's spec.folder is not a text"),
    "code": ({"a.py": 1}, "the study's code.'a.py' is not a text"),
    "space": ([], "the study's space is not a mapping"),
}


@pytest.mark.parametrize("name", FACTS)
def test_facts_of_another_kind(study: Path, name: str) -> None:
    value, message = FACTS[name]
    write(study, "INSERT OR REPLACE INTO study VALUES (?, ?, NULL)", name, json.dumps(value))
    with pytest.raises(LedgerError, match=rf"{message}; `automl repair`"):
        Study.open(study)


VERDICTS = [
    ({"winner": 99}, "the finalists' winner is no trial"),
    ({"winner": "0"}, "finalists.winner is not a whole number"),
    ({"finalists": []}, "finalists.finalists is not a list with entries"),
    ({"finalists": [{**VERDICT["finalists"][0], "interval": [0.1]}]}, r"finalists\[0\].interval is not two numbers"),
    ({"optimism": float("nan")}, "optimism is not a number or null"),
    ({"test": {"metric": "loss"}}, "test has no 'value'"),
    ({"tied": [True]}, r"tied\[0\] is not a whole number"),
]


@pytest.mark.parametrize(("change", "message"), VERDICTS, ids=str)
def test_verdicts_of_another_kind(study: Path, change: dict[str, Any], message: str) -> None:
    text = json.dumps({**VERDICT, **change})
    write(study, "INSERT OR REPLACE INTO study VALUES ('finalists', ?, NULL)", text)
    with pytest.raises(LedgerError, match=message):
        Study.open(study)


def test_repair_leaves_out_a_verdict_that_is_none(study: Path) -> None:
    write(study, "INSERT OR REPLACE INTO study VALUES ('finalists', '{}', NULL)")
    assert "left out: the study's finalists has no 'winner'" in str(repair(study))
    assert Study.open(study).counts.done == 3


ROWS = [
    ("UPDATE reports SET sum = NULL, step = 'x' WHERE trial = 1", "a row of reports cannot be"),
    ("UPDATE reports SET sum = NULL, value = 9e999 WHERE trial = 1", "a row of reports cannot be"),
    ("UPDATE reports SET sum = NULL, value = NULL WHERE trial = 1", "a row of reports cannot be"),
    ("UPDATE reports SET sum = NULL, trial = -1 WHERE trial = 1", "a row of reports cannot be"),
    ("UPDATE ends SET sum = NULL, at_s = -1", "a row of ends cannot be"),
    ("UPDATE ends SET sum = NULL, state = 'nonsense'", "nonsense"),
    ("UPDATE ends SET sum = NULL, failure = '{\"kind\": 3}'", "kind is not a text"),
    ("UPDATE trials SET sum = NULL, config = '[1]'", r"'\[1\]' is not a mapping"),
    ("UPDATE trials SET sum = NULL, config = '{\"x\": NaN}'", "'x' is not a text, a finite number"),
    ("UPDATE trials SET sum = NULL, config = '{\"x\": {}}'", "'x' is not a text, a finite number"),
    ("UPDATE trials SET sum = NULL, number = 7 WHERE number = 1", "has no trial 1"),
    ("UPDATE attempts SET sum = NULL, at_s = 'soon'", "a row of attempts cannot be"),
    ("DELETE FROM trials", "has no trial 0"),
]


@pytest.mark.parametrize(("statement", "message"), ROWS, ids=str)
def test_rows_that_cannot_be(study: Path, statement: str, message: str) -> None:
    write(study, statement)
    with pytest.raises(LedgerError, match=message):
        Study.open(study)


@pytest.mark.parametrize("text", ["[", "[1]", '{"loss": "x"}', "[" * 100_000, '{"loss": [1]}', '{"loss": 1e999e}'])
def test_metrics_of_a_trial_that_cannot_be(study: Path, text: str) -> None:
    write(study, "UPDATE reports SET sum = NULL, metrics = ?", text)
    view = Study.open(study)
    with pytest.raises(LedgerError, match="the ledger's content is damaged"):
        view.reports(1)


def test_metrics_without_a_value_are_ones(study: Path) -> None:
    write(study, 'UPDATE reports SET sum = NULL, metrics = \'{"loss": 1.0, "other": NaN}\'')
    view = Study.open(study)
    assert set(view.reports(1)[0][1]) == {"loss", "other"}
    assert trial.document(view, 1)["reports"] == [{"step": 1, "loss": 1.0, "other": None}]
    assert "nan" in trial.text(view, 1, 80)


def test_every_shape_is_met_by_what_a_study_writes(study: Path) -> None:
    view = Study.open(study)
    assert view.facts.keys() >= set(kinds.REQUIRED)
    assert not [
        name for name, shape in kinds.SHAPES.items() if name in view.facts and kinds.misfit(view.facts[name], shape)
    ]


def test_content_that_a_message_quotes_has_no_escapes(study: Path) -> None:
    write(study, "UPDATE study SET sum = NULL, value = CAST(? AS TEXT) WHERE key = 'name'", b"\x1b[31m\xff" * 500)
    with pytest.raises(LedgerError, match="Could not decode") as caught:
        Study.open(study)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_mutants_of_ledgers() -> None:
    """A few of `make fuzz`: nothing but a LedgerError comes out, nothing is written outside."""
    assert sum(fuzz_ledgers.run(25, seed=4).values()) == 25
