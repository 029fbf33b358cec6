"""The frame of the live screen: golden screens (`pytest --record-wording`) and laws for every size."""

import time
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.core.history import History
from automl.core.messages import WorkerStatus
from automl.core.space import Float, Int, Space
from automl.core.trial import Failure, Metric, Plan, State
from automl.leaderboard import words
from automl.leaderboard.table import lines
from automl.study.reader import Stage
from automl.view.screens.render import frame, render
from automl.view.screens.tracker import Tracker
from tests.support.golden import Golden
from tests.support.view_fakes import SPACE, FakeStudy, simulate

SIZES = [(100, 30), (80, 24), (60, 20), (40, 12), (140, 45)]
HARDWARE = ("gpu0 93% 5.3/141G 61C 512W", "gpu1 86% 4.9/141G 58C 470W", "cpu 71%")
NOW = datetime(2026, 1, 1, 14, 20)


def scene():
    study, workers = simulate()
    return Tracker.of(study).snapshot(study, workers, now=NOW, hardware=HARDWARE)


def failing():
    """Every trial fails at once; one name and one message try to leave their place."""
    history = History(SPACE, metric=Metric("val_loss"), plan=Plan(trials=20, horizon=9))
    for k in range(4):
        history.begin(SPACE.sample(history.rng()))
        history.end(k, State.FAILED, failure=Failure("exception", f"RuntimeError: \x1b[2Jshapes {k}\nx"), at_s=float(k))
    study = FakeStudy(history, name="evil\x1b[2J\nname", elapsed_s=4.0)
    return Tracker.of(study).snapshot(study, [WorkerStatus(0, "cpu0")], now=NOW)


def cohort():
    """Two cohorts of 24 lanes on two GPUs."""
    study, _ = simulate(workers=48)
    running = [t.number for t in study.history.running]
    workers = [
        WorkerStatus(0, "cuda:0", tuple(running[:24]), "cohort 3: 24 lanes, 412 steps/s"),
        WorkerStatus(1, "cuda:1", tuple(running[24:]), "cohort 4: 24 lanes, 398 steps/s"),
    ]
    return Tracker.of(study).snapshot(study, workers, now=NOW, hardware=HARDWARE)


SCREENS = [
    *((f"screen_{width}x{height}", scene, width, height, True) for width, height in SIZES),
    ("screen_80x24_ascii", scene, 80, 24, False),
    ("screen_failing_80x24", failing, 80, 24, True),
    ("screen_cohort_100x30", cohort, 100, 30, True),
]


@pytest.mark.parametrize(("name", "made", "width", "height", "unicode"), SCREENS, ids=[name for name, *_ in SCREENS])
def test_golden_screen(golden: Golden, name, made, width, height, unicode):
    golden.text(name, render(cached(made), width, height, unicode=unicode).plain + "\n")


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 220), st.integers(1, 70), st.booleans(), st.sampled_from([scene, failing, cohort]))
def test_never_larger_than_the_terminal(width, height, unicode, made):
    shown = frame(cached(made), width, height, unicode=unicode)
    assert len(shown) <= height
    for line in shown:
        text = "".join(part for part, _ in line)
        assert words.cells(text) <= width, (width, text)
        assert "\n" not in text
        assert "\x1b" not in text
        assert unicode or text.isascii()


_CACHE: dict = {}


def cached(made):
    return _CACHE.setdefault(made, made())


def test_says_what_matters():
    text = render(scene(), 100, 30).plain
    for part in (
        "trials 118/200",
        "4 running",
        "111 stopped early",
        "88% of epochs saved",
        "0.9853",
        "t0081",
        "lr 1.8e-3",
    ):
        assert part in text
    for part in ("rank 7 of 12 at rung 9", "5th of 7 at step 12", "importance", "gpu0 93%", "Ctrl-C", "ETA"):
        assert part in text


def test_colour_is_never_the_only_sign():
    made = render(scene(), 100, 30)
    assert made.spans
    assert not render(scene(), 100, 30, colour=False).spans
    assert "BEST" in made.plain


def test_columns_keep_their_order_learning_rate_first_and_the_last_ones_are_dropped_first():
    s = scene()
    early, workers = simulate(ended=5)
    assert s.importance, "known by now, and not before"
    assert tuple(Tracker.of(early).snapshot(early, workers).board.columns) == tuple(s.board.columns)
    assert tuple(s.board.columns) == ("lr", "width", "act", "drop", "optimizer", "momentum")
    hidden: list[str] = []
    lines(s.board, s.board.rows[:5], 60, hidden=hidden)
    assert "lr" not in hidden
    assert set(hidden) == set(s.board.columns[-len(hidden) :])
    wide: list[str] = []
    lines(s.board, s.board.rows[:5], 200, hidden=wide)
    assert wide == []


def test_names_are_shortened_in_the_middle_and_a_line_says_what_they_stand_for():
    space = Space.of({f"architecture_block{k}_kernel_size": Int(1, 9) for k in (1, 2)} | {"encoder_lr": Float(0, 1)})
    history = History(space, metric=Metric("val_balanced_accuracy", "maximize"), plan=Plan(trials=9, horizon=3))
    for k in range(8):
        history.begin(space.sample(history.rng()))
        history.point(k, 3, -k / 10)
        history.end(k, State.DONE, at_s=float(k))
    study = FakeStudy(history, elapsed_s=9.0)
    shown = render(Tracker.of(study).snapshot(study), 79, 23).plain.splitlines()
    head = next(k for k, line in enumerate(shown) if line.startswith("rank"))
    titles = shown[head].split()
    assert len(set(titles)) == len(titles)
    assert "encoder_lr" in titles
    legend = next(line for line in shown if " = " in line)
    for title in titles:
        if "~" in title:
            assert f"{title} = " in legend
    assert words.fit_middle("weight_decay", 8) == "weig~cay"


def test_while_the_finalists_run_counts_and_time_are_theirs():
    study, _ = simulate(trials=118)
    runs, workers = simulate(trials=6, ended=2, workers=2, horizon=9, fail_every=0)
    study.stage = Stage("finalists", runs, 6, lambda record: 81 + record.number)
    s = Tracker.of(study).snapshot(study, workers, now=NOW)
    c = runs.counts
    assert (s.counts, s.progress[0]) == (c, f"finalists {c.ended}/6")
    assert s.plan.trials == 6
    assert s.best is not None
    assert [t.trial for w in s.workers for t in w.trials] == [81 + t.number for t in runs.history.running]
    assert "finalists 2/6" in render(s, 80, 24).plain


def test_trials_that_no_worker_has_are_waiting():
    study, workers = simulate()
    text = render(Tracker.of(study).snapshot(study, workers[:1]), 100, 30).plain
    assert "1 running" in text
    assert "3 waiting" in text


def test_before_the_first_report():
    history = History(SPACE, metric=Metric("val_loss"), plan=Plan(time_s=60.0))
    study = FakeStudy(history, elapsed_s=0.5)
    text = render(Tracker.of(study).snapshot(study), 80, 24).plain
    assert "no trial has reported yet" in text
    assert "time 0.5s/1m00s" in text


def test_the_leading_trial_is_named_while_none_is_full():
    history = History(SPACE, metric=Metric("val_loss"), plan=Plan(trials=5, horizon=9))
    history.begin(SPACE.sample(history.rng()))
    history.point(0, 1, 0.5)
    study = FakeStudy(history, elapsed_s=1.0)
    assert "leading: t0000 0.5000 at 1/9" in render(Tracker.of(study).snapshot(study), 80, 24).plain


def test_a_tracker_told_one_by_one_knows_what_one_told_at_once_knows():
    live: list = []

    def on_end(study, record):
        if not live:
            live.append(Tracker(study.space, study.metric, study.plan.horizon))
        live[0].add(record)

    study, workers = simulate(ended=90, on_end=on_end)
    one, other = live[0].snapshot(study, workers), Tracker.of(study).snapshot(study, workers)
    assert replace(one, importance=(), board=replace(one.board, columns=())) == replace(
        other, importance=(), board=replace(other.board, columns=())
    )
    assert one.best.trial == study.history.best.number


def test_the_live_table_is_the_leaderboard():
    from automl.leaderboard.rows import rows

    study, workers = simulate(ended=90)
    live = Tracker.of(study).snapshot(study, workers).board.rows
    assert list(live[:40]) == rows(study.history, 40)


def test_a_frame_of_a_large_study_costs_less_than_50_ms():
    study, workers = simulate(trials=6000, ended=3000, workers=16, fail_every=0)
    tracker = Tracker.of(study)
    tracker.snapshot(study, workers)
    costs = []
    for _ in range(5):
        start = time.process_time()
        render(tracker.snapshot(study, workers), 140, 45)
        costs.append(time.process_time() - start)
    assert min(costs) < 0.05, costs
