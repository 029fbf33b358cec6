import csv
import io
import json

import pytest

from automl.core.history import History
from automl.core.space import Choice, Float, Space
from automl.core.trial import Failure, Metric, Plan, State
from automl.leaderboard import board as leaderboard
from automl.leaderboard.board import Leaderboard, harmless
from automl.leaderboard.rows import row, rows
from tests.support.view_fakes import simulate

SPACE = Space.of({"lr": Float(1e-4, 1.0, log=True), "act": Choice(("relu", "=cmd()"))})


def made(direction="maximize"):
    """Six trials: done 0.9 and 0.8, stopped 0.95 at step 1, running 0.7, running without a report, failed."""
    history = History(SPACE, metric=Metric("acc", direction), plan=Plan(trials=6, horizon=2))
    sign = -1 if direction == "maximize" else 1
    for lr in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6):
        history.begin({"lr": lr, "act": "relu"})
    for trial, values in ((0, (0.5, 0.8)), (1, (0.6, 0.9)), (2, (0.95,)), (3, (0.7,)), (5, (0.4,))):
        for step, value in enumerate(values, 1):
            history.point(trial, step, sign * value)
    history.end(0, State.DONE, at_s=3.0)
    history.end(1, State.DONE, at_s=4.5)
    history.end(2, State.STOPPED, reason="0.95 < 0.99", at_s=1.0)
    history.end(5, State.FAILED, failure=Failure("nan", "loss is nan", 2), at_s=2.0)
    return history


def test_order_is_value_then_unreported_then_failed():
    board = rows(made())
    assert [r.trial for r in board] == [2, 1, 0, 3, 4, 5]
    assert [r.rank for r in board] == [1, 2, 3, 4, None, None]
    assert [r.state for r in board] == ["stopped", "done", "done", "running", "running", "failed"]
    assert [r.value for r in board] == [0.95, 0.9, 0.8, 0.7, None, 0.4]
    assert [r.trial for r in board if r.best] == [1], "a stopped trial leads, but only a full one can win"
    assert board[-1].note == "nan: loss is nan"
    assert board[1].seconds == 4.5
    assert board[3].seconds is None
    assert board[1].curve == ((1, 0.6), (2, 0.9))


def test_direction_turns_the_order():
    assert [r.trial for r in rows(made("minimize"))][:4] == [3, 0, 1, 2]


@pytest.mark.parametrize("n", [0, 1, 3, 5, 100])
def test_first_n_rows_are_a_prefix_and_agree_with_the_ranking(n):
    study, _ = simulate(ended=60)
    everything = rows(study.history)
    assert rows(study.history, n) == everything[:n]
    ranked = [(place, t.number) for place, t in enumerate(study.history.ranked(), 1)]
    assert [(r.rank, r.trial) for r in everything if r.rank] == ranked


def test_json_is_one_document_with_the_promised_names():
    document = json.loads(Leaderboard.of(made()).json())
    assert document["schema"] == 1
    assert document["metric"] == "acc"
    first = document["rows"][0]
    assert {"trial", "state", "value", "step", "config"} <= set(first)
    assert first["config"] == {"lr": 0.3, "act": "relu"}
    assert {r["state"] for r in document["rows"]} <= {"done", "stopped", "failed", "running", "paused"}


def test_csv_reads_back_and_text_that_a_spreadsheet_would_run_is_harmless():
    history = made()
    history.begin({"lr": 0.7, "act": "=cmd()"})
    history.end(6, State.FAILED, failure=Failure("exception", "@SUM(1)"))
    table = list(csv.DictReader(io.StringIO(Leaderboard.of(history).csv())))
    assert [r["trial"] for r in table] == ["2", "1", "0", "3", "4", "5", "6"]
    assert float(table[0]["acc"]) == 0.95
    assert table[-1]["act"] == "'=cmd()"
    assert table[-1]["reason"] == "exception: @SUM(1)"


@pytest.mark.parametrize(
    ("cell", "safe"),
    [
        ("=1+1", "'=1+1"),
        ("+x", "'+x"),
        ("-x", "'-x"),
        ("@x", "'@x"),
        ("-", "-"),
        ("a=b", "a=b"),
        (-1.5, -1.5),
        (None, ""),
        (True, "true"),
    ],
)
def test_harmless(cell, safe):
    assert harmless(cell) == safe


def test_frame_has_every_trial_and_keeps_clashing_names_apart():
    history = History(Space.of({"step": Float(0, 1), "lr": Float(0, 1)}), metric=Metric("loss"))
    history.begin({"step": 0.5, "lr": 0.25})
    history.point(0, 1, 0.125)
    frame = leaderboard.frame(history)
    assert list(frame.columns) == ["rank", "trial", "state", "loss", "step", "seconds", "lr", "config.step", "reason"]
    assert frame.loc[0, "config.step"] == 0.5
    assert frame.loc[0, "step"] == 1
    assert frame["rank"].dtype == "Int64"


def test_an_empty_history_has_a_board_a_frame_and_csv():
    history = History(SPACE, metric=Metric("acc"))
    board = leaderboard.table(history)
    assert board.rows == []
    assert len(board.frame()) == 0
    assert board.csv().startswith("rank,trial,state,acc")
    assert "rank trial state" in str(board)


def test_print_shows_the_table():
    text = str(leaderboard.table(made(), 3))
    lines = text.splitlines()
    assert lines[0].split()[:5] == ["rank", "trial", "state", "acc", "at"]
    assert [line.split()[1] for line in lines[1:4]] == ["t0002", "t0001", "t0000"]
    assert lines[2].split()[2] == "BEST"
    assert "0.95 < 0.99" in lines[1]


def test_rich_prints_the_table_with_colour():
    from rich.console import Console

    out = io.StringIO()
    Console(file=out, force_terminal=True, width=100, color_system="standard", _environ={}).print(
        leaderboard.table(made())
    )
    assert "\x1b[" in out.getvalue()
    assert "t0005" in out.getvalue()


def test_constants_are_in_csv_and_frame():
    history = History(Space.of({"lr": Float(0, 1), "epochs": 5}), metric=Metric("loss"))
    history.begin({"epochs": 5, "lr": 0.5})
    assert Leaderboard.of(history).frame().loc[0, "epochs"] == 5


def test_a_failed_trial_has_no_rank_even_if_one_is_given():
    history = made()
    assert row(history.trials[5], history.metric, rank=3).rank is None
    assert row(history.trials[0], history.metric, rank=3).rank == 3
