"""What people read about the data: before the first trial, in full, and beside the winner."""

import io
import json
import re
from dataclasses import replace
from datetime import datetime

import pytest
import yaml
from rich.console import Console

from automl.core.history import History
from automl.core.trial import Metric, Plan, State
from automl.data.summary.facts import FACT, ClassFacts, ColumnFacts, Summary, TargetFacts
from automl.view.pages import data as pages
from automl.view.pages.final import document, final
from automl.view.screens.live import LiveScreen
from automl.view.screens.plain import PlainScreen
from automl.view.screens.wrappers import EventScreen, GuardedScreen, QuietScreen
from tests.support.view_fakes import SPACE, FakeStudy

SUMMARY = Summary(
    rows={"train": 590, "val": 294, "test": 294},
    left_out_rows=22,
    target=TargetFacts(
        "churn",
        "classification",
        (ClassFacts("no", 1060, 531), ClassFacts("yes", 116, 58), ClassFacts("?", 2, 1)),
        3,
        1,
    ),
    columns=(
        ColumnFacts("churn", "target", "category", 22, 3, examples=("no", "yes", "?")),
        ColumnFacts("customer_id", "left out", "number", 0, 1178, note="an identifier (whole numbers, all different)"),
        ColumnFacts("age", "input", "number", 119, 62, examples=("42", "58.123456789", "27")),
        ColumnFacts(
            "signup", "input", "date", 0, 144, examples=("04/10/2021",), note="read as day/month/year, a guess"
        ),
        ColumnFacts("review", "left out", "category", 0, 1174, note="text that differs in every row"),
        ColumnFacts("result_code", "input", "category", 0, 3, examples=("R0", "R2", "R1")),
        ColumnFacts("w", "weight", "", 0, 1178),
        ColumnFacts("closed", "dropped"),
    ),
    used=3,
    unused=2,
    baselines={"val_acc": 0.9, "val_auroc": 0.5},
    guesses={"val_acc": "always 'no'", "val_auroc": "the shares of the classes"},
    leaks={"result_code": "each class has a value of its own"},
    text=("review",),
    doubts=("column 'signup': dates read as day/month/year; that is a guess: set `prepare: {dayfirst: false}`",),
    notes=("22 rows without a finite target 'churn' left out", "column 'review' left out: text"),
)


def test_the_whole_and_the_few_lines(golden):
    few = [
        part
        for label, text in pages.brief(SUMMARY, "val_acc", "studies/churn")
        for part in pages.labelled(label, text, 79)
    ]
    golden.text("data", pages.text(SUMMARY, 100) + "\n\n" + "\n".join(few) + "\n")
    whole = pages.text(SUMMARY, 100)
    assert all(len(line) <= 100 for line in whole.splitlines())
    assert "always 'no': val_acc 0.9000" in whole
    assert "1,178 (590 train, 294 val, 294 test); 22 rows left out" in whole
    assert "58.1235" in whole  # a number is not shown with all its digits
    assert all(len(line) <= 79 for line in few)


def test_with_folds_no_validation_rows_are_counted():
    folded = replace(SUMMARY, rows={"train": 68, "val": 0, "test": 22}, left_out_rows=0)
    assert dict(pages.brief(folded, "val_acc", "s"))["rows"] == "90 (68 train in folds, 22 test)"


def test_few_lines_name_each_warning_and_the_baseline():
    lines = pages.brief(SUMMARY, "val_acc", "studies/churn")
    assert [label for label, _ in lines] == [
        "rows", "target", "inputs", "warning", "warning", "warning", "guessed", "all of it",
    ]  # fmt: skip
    said = dict(lines[:3])
    assert said["target"].endswith("always 'no' would score val_acc 0.9000")
    assert said["inputs"].startswith("3 of 6 columns, without customer_id: an identifier")
    assert said["inputs"].endswith("; dropped: closed")
    warnings = [text for label, text in lines if label == "warning"]
    assert "result_code alone predicts the target" in warnings[0]
    assert "`prepare: {drop: [result_code]}`" in warnings[0]
    assert "'?' (1)" in warnings[1]
    assert "`prepare: {text: review}`" in warnings[2]


@pytest.mark.parametrize(
    ("name", "written"), [("total", "total"), ("a b", "a b"), ("no", '"no"'), ("a: b", '"a: b"'), ("1st", '"1st"')]
)
def test_remedies_can_be_copied_into_a_specification(name, written):
    lines = pages.brief(replace(SUMMARY, leaks={name: "x"}))
    assert f"`prepare: {{drop: [{written}]}}`" in next(text for label, text in lines if label == "warning")
    (option,) = re.findall(r"`(prepare: \{drop.*?\}+)`", " ".join(text for _, text in lines))
    assert yaml.safe_load(option) == {"prepare": {"drop": [name]}}


def test_many_guesses_do_not_fill_the_screen():
    many = replace(SUMMARY, doubts=tuple(f"column 'c{k}': that is a guess" for k in range(30)))
    lines = pages.brief(many, "val_acc", "s")
    assert len(lines) == pages.MOST
    assert lines[-2] == ("more", "30 guesses")
    assert "c29" in pages.text(many)


def test_regression_and_arrays_are_shown_too():
    made = Summary(
        {"train": 5, "val": 2, "test": 0}, 0, TargetFacts("price", "regression", spread=(1.0, 2.5, 1e6)), "64 numbers"
    )
    assert pages.brief(made) == [
        ("rows", "7 (5 train, 2 val, 0 test)"),
        ("target", "price, regression of numbers from 1 to 1e6, median 2.5"),
        ("inputs", "64 numbers"),
    ]
    assert "baseline" not in pages.text(made)


def test_what_a_stranger_wrote_never_reaches_the_terminal():
    evil = "\x1b[31mred\n\x07"
    column = ColumnFacts(evil, "input", "number", examples=(evil,), note=evil)
    target = TargetFacts(evil, evil, (ClassFacts(evil, 1, 1),), 1, 1)
    made = replace(
        SUMMARY, target=target, columns=(column,), leaks={evil: evil}, doubts=(evil,), notes=(evil,), text=(evil,)
    )
    shown = pages.text(made).replace("\n", "") + "".join(text for _, text in pages.brief(made, "x", "y\x1b"))
    assert shown.isprintable()


# -- the winner beside a guess -----------------------------------------------------------------------------------------


def searched(value, summary=SUMMARY, direction="maximize", metric="val_acc"):
    history = History(SPACE, metric=Metric(metric, direction), plan=Plan(trials=1, horizon=3))
    study = FakeStudy(history, path=None)
    if summary is not None:
        study.facts[FACT] = summary.to_json()
    number = history.begin(SPACE.sample(history.rng()), at_s=0.0).number
    history.point(number, 3, study.metric.loss(value))
    history.end(number, State.DONE, at_s=1.0)
    return study


@pytest.mark.parametrize(
    ("value", "beaten"), [(0.95, True), (0.9, False), (0.900001, False), (0.7, False), (0.902, True)]
)
def test_a_winner_that_does_not_beat_a_guess_is_told_so(value, beaten):
    study = searched(value)
    block = " ".join(final(study).split())
    sentence = "warning the winner is no better than a guess without a model: always 'no' scores val_acc 0.9000"
    assert (sentence in block) is not beaten
    assert document(study)["baseline"] == {"metric": "val_acc", "value": 0.9, "guess": "always 'no'", "beaten": beaten}


def test_lower_is_better_where_the_metric_says_so():
    low = replace(SUMMARY, baselines={"val_loss": 0.4}, guesses={"val_loss": "the training mean"})
    assert document(searched(0.3, low, "minimize", "val_loss"))["baseline"]["beaten"] is True
    assert document(searched(0.5, low, "minimize", "val_loss"))["baseline"]["beaten"] is False


def test_the_mean_of_the_finalists_counts_where_there_are_some():
    study = searched(0.95)
    found = {"trial": 0, "mean": 0.89, "interval": None, "seeds": 3, "found": 0.95}
    study.facts["finalists"] = {"winner": 0, "finalists": [found], "test": None, "optimism": 0.06, "tied": [],
                                "default": None, "first": None, "ensemble": None, "looks": 0}  # fmt: skip
    assert document(study)["baseline"]["beaten"] is False
    assert "no better than a guess" in " ".join(final(study).split())


@pytest.mark.parametrize("facts", [None, 3, {}, {"rows": "x"}])
def test_studies_without_a_summary_or_with_a_damaged_one_are_shown_as_before(facts):
    study = searched(0.5, None)
    if facts is not None:
        study.facts[FACT] = facts
    made = document(study)
    assert (made["data"], made["baseline"]) == (None, None)
    assert "guess" not in final(study)


def test_the_json_document_has_the_decisions_without_a_line_for_each_column():
    made = document(searched(0.95))["data"]
    assert made["rows"] == {"train": 590, "val": 294, "test": 294}
    assert made["left_out"] == {
        "customer_id": "an identifier (whole numbers, all different)", "review": "text that differs in every row",
    }  # fmt: skip
    assert "columns" not in made
    json.dumps(made, allow_nan=False)


# -- screens -----------------------------------------------------------------------------------------------------------


def running():
    return FakeStudy(History(SPACE, metric=Metric("val_acc", "maximize"), plan=Plan(trials=3, horizon=3)))


def ended(study, screen):
    record = study.history.begin(SPACE.sample(study.history.rng()), at_s=0.0)
    study.history.point(record.number, 3, -0.5)
    screen.ended(study, study.history.end(record.number, State.DONE, at_s=1.0))


def plain():
    out = io.StringIO()
    return out, PlainScreen(Console(file=out, width=100, _environ={}), None, now=lambda: datetime(2026, 1, 1, 2, 3, 4))


def test_the_log_has_it_once_before_the_first_trial_ends():
    out, screen = plain()
    study = running()
    screen.begin(study)
    screen.tick(study, [])
    assert " data " not in out.getvalue()
    study.facts[FACT] = SUMMARY.to_json()
    ended(study, screen)
    screen.tick(study, [])
    study.facts[FACT] = SUMMARY.to_json()  # from another worker
    ended(study, screen)
    verbs = [line.split()[1] for line in out.getvalue().splitlines()]
    assert verbs == ["start", *["data"] * 8, "done", "done"]
    assert "02:03:04 data   target: churn, 3 classes: 'no' 90.0 %" in out.getvalue()


def test_a_study_that_goes_on_does_not_repeat_it_unless_the_data_are_others_now():
    out, screen = plain()
    study = running()
    study.facts[FACT] = SUMMARY.to_json()
    screen.begin(study)
    ended(study, screen)
    assert " data " not in out.getvalue()
    study.facts[FACT] = replace(SUMMARY, left_out_rows=23).to_json()
    screen.tick(study, [])
    assert "23 rows left out" in out.getvalue()


def test_the_live_screen_prints_it_above_its_region_and_wraps_it():
    out = io.StringIO()
    console = Console(file=out, width=80, height=24, force_terminal=True, color_system=None, _environ={"TERM": "xterm"})
    screen = LiveScreen(console, None, hardware=list)
    study = running()
    screen.begin(study)
    study.facts[FACT] = SUMMARY.to_json()
    screen.tick(study, [])
    screen.finish(study, "finished")
    lines = [line.rstrip() for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "\n", out.getvalue()).splitlines()]
    wanted = [
        part
        for label, text in pages.brief(SUMMARY, "val_acc", "studies/digits")
        for part in pages.labelled(label, text, 79)
    ]
    found = [line for line in lines if line in wanted]
    assert found == wanted


def test_quiet_shows_nothing_and_events_have_one_line():
    out, events = io.StringIO(), io.StringIO()
    study = running()
    screen = GuardedScreen(EventScreen(QuietScreen(Console(file=out, width=100)), events, clock=lambda: 1.0))
    screen.begin(study)
    study.facts[FACT] = SUMMARY.to_json()
    screen.tick(study, [])
    ended(study, screen)
    assert screen.broken is None
    assert out.getvalue() == ""
    lines = [json.loads(line) for line in events.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["begin", "data", "ended"]
    assert lines[1]["baselines"] == {"val_acc": 0.9, "val_auroc": 0.5}
