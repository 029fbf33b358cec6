import io
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import SimpleNamespace

import pytest
from rich.console import Console

from automl.core.history import History
from automl.core.trial import Failure, Metric, Plan, State
from automl.leaderboard.rows import saved_share
from automl.view.pages.final import document, final
from automl.view.screens import choose
from automl.view.screens.hardware import Hardware
from automl.view.screens.live import LiveScreen, rewraps, wrapped
from automl.view.screens.plain import PlainScreen
from automl.view.screens.wrappers import EventScreen, GuardedScreen, QuietScreen
from tests.support.view_fakes import SPACE, FakeStudy, simulate


@dataclass
class Clock:
    """A clock that is moved by hand."""

    at: float = 100.0

    def __call__(self):
        return self.at

    def now(self):
        return datetime(2026, 1, 1, 2, 14, 7) + timedelta(seconds=self.at - 100.0)


def written(width=100, terminal=False):
    out = io.StringIO()
    kind = {"force_terminal": True, "_environ": {"TERM": "xterm"}} if terminal else {"_environ": {}}
    return out, Console(file=out, width=width, height=30, **kind)


def plain():
    clock = Clock()
    (log, progress), (out, results) = written(), written()
    return clock, log, out, PlainScreen(progress, results, clock=clock, now=clock.now)


def begun(trials=20):
    history = History(SPACE, metric=Metric("val_acc", "maximize"), plan=Plan(trials=trials, horizon=9))
    return FakeStudy(history)


def end(study, screen, value, state=State.DONE, **how):
    record = study.history.begin(SPACE.sample(study.history.rng()), at_s=study.elapsed_s)
    study.elapsed_s += 2.0
    study.history.point(record.number, 9 if state is State.DONE else 3, -value)
    record = study.history.end(record.number, state, at_s=study.elapsed_s, **how)
    screen.ended(study, record)
    return record


def test_plain_lines(golden):
    clock, log, out, screen = plain()
    study = begun()
    screen.begin(study)
    clock.at += 32
    end(study, screen, 0.9412)
    clock.at += 2
    end(study, screen, 0.871, State.STOPPED, reason="0.871 < 0.912, rank 19 of 24 at rung 3 (top 8 go on)")
    end(study, screen, 0.5, State.FAILED, failure=Failure("oom", "CUDA out of\nmemory", 3, "logs/2.log"))
    clock.at += 26
    screen.tick(study, [])
    screen.note("stopping")
    screen.finish(study, "interrupted")
    golden.text("plain", log.getvalue() + out.getvalue())
    lines = [line.split() for line in log.getvalue().splitlines()]
    times = ["02:14:07", "02:14:39", "02:14:41", "02:14:41", "02:15:07", "02:15:07", "02:15:07"]
    assert [line[0] for line in lines] == times
    assert [line[1] for line in lines] == ["start", "done", "stop", "fail", "status", "note", "end"]
    assert lines[1][2:5] == ["t0000", "val_acc=0.9412", "at=9"]
    assert lines[1][-1] == "BEST"
    assert "\x1b" not in log.getvalue() + out.getvalue()


def test_more_than_a_line_a_second_is_only_counted_but_a_new_kind_of_failure_or_a_new_best_one_is_printed():
    clock, log, _, screen = plain()
    study = begun(1000)
    screen.begin(study)
    for _ in range(200):
        clock.at += 0.1
        end(study, screen, 0.5)
    end(study, screen, 0.5, State.FAILED, failure=Failure("nan", "loss is nan", 3))
    end(study, screen, 0.6)
    clock.at += 60
    screen.tick(study, [])
    lines = log.getvalue().splitlines()
    listed = [line for line in lines if " done  " in line]
    assert 10 <= len(listed) <= 32, "at most ten lines in ten seconds"
    assert sum(" fail " in line for line in lines) == 1
    assert sum(line.endswith(" BEST") for line in lines) == 2, "the first one, and the better one in the burst"
    assert lines[-1].endswith(f"not_listed={201 - len(listed)}")


def test_plain_prints_its_status_once_a_minute():
    clock, log, _, screen = plain()
    study = begun()
    screen.begin(study)
    for _ in range(600):
        clock.at += 0.5
        screen.tick(study, [])
    assert sum(" status " in line for line in log.getvalue().splitlines()) == 5


class Frames(LiveScreen):
    """Counts what is drawn."""

    drawn = 0

    def _draw(self, snapshot):
        self.drawn += 1
        super()._draw(snapshot)


def live(*, rewraps=True):
    clock = Clock()
    (log, progress), (out, results) = written(terminal=True), written()
    screen = Frames(progress, results, rewraps=rewraps, clock=clock, now=clock.now, hardware=tuple)
    return clock, log, out, screen


def test_live_draws_at_most_twice_a_second_and_only_on_change():
    clock, log, out, screen = live()
    study, workers = simulate()
    screen.begin(study)
    for _ in range(1000):
        clock.at += 0.01
        study.history.version += 1
        screen.tick(study, workers)
    assert 18 <= screen.drawn <= 20
    drawn = screen.drawn
    for _ in range(100):
        clock.at += 0.1
        screen.tick(study, workers)
    assert screen.drawn <= drawn + 1, "nothing changed"
    screen.finish(study, "finished")
    assert "trials 118/200" in log.getvalue()
    assert out.getvalue().startswith("Finished: 122 trials")
    screen.finish(study, "finished")
    assert out.getvalue().count("Finished: ") == 1


def test_the_table_that_stays_marks_the_trial_that_the_finalists_chose():
    _, log, _, screen = live()
    study, workers = simulate(ended=30)
    screen.begin(study)
    screen.tick(study, workers)
    chosen = study.history.done[0].number
    assert chosen != study.best.number
    study.facts["finalists"] = {"winner": chosen, **VERDICT}
    log.truncate(0)
    screen.finish(study, "finished")
    marked = [line for line in log.getvalue().splitlines() if " BEST " in line]
    assert f"t{chosen:04}" in marked[-1]


def test_the_winner_is_in_the_table_that_stays_also_where_the_search_ranked_it_low():
    _, log, _, screen = live()
    study, workers = simulate(ended=118)
    screen.begin(study)
    screen.tick(study, workers)
    lowest = study.history.ranked(60)[-1].number
    study.facts["finalists"] = {"winner": lowest, **VERDICT}
    log.truncate(0)
    screen.finish(study, "finished")
    marked = [line for line in log.getvalue().splitlines() if " BEST " in line][-1]
    assert f"t{lowest:04}" in marked
    assert "60" in marked, "its rank in the search"
    board = study.leaderboard(None)
    assert [row.trial for row in board.rows if row.best] == [lowest], "top and the report mark the same trial"


def test_live_notes_stand_above_and_are_cleaned():
    _, log, _, screen = live()
    study, workers = simulate(ended=5)
    screen.begin(study)
    screen.note("grid of 243\x1b[2J points")
    assert "grid" not in log.getvalue(), "kept for the next tick: a signal handler may note"
    screen.tick(study, workers)
    assert "grid of 243[2J points" in log.getvalue()
    screen.finish(study, "finished")


def test_a_broken_screen_never_hurts_the_search():
    class Broken(QuietScreen):
        def ended(self, study, record):
            raise BrokenPipeError("gone")

    stderr = io.StringIO()
    screen, study = GuardedScreen(Broken(), stderr), begun()
    screen.begin(study)
    end(study, screen, 0.5)
    end(study, screen, 0.6)
    screen.finish(study, "finished")
    assert isinstance(screen.broken, BrokenPipeError)
    assert stderr.getvalue().count("BrokenPipeError") == 1


def test_events_are_json_lines_and_everything_is_passed_on():
    out, results = written()
    file, clock = io.StringIO(), Clock()
    screen, study = EventScreen(QuietScreen(results), file, clock=clock), begun()
    screen.begin(study)
    end(study, screen, 0.9)
    end(study, screen, 0.4, State.FAILED, failure=Failure("nan", "loss is nan"))
    screen.note("hello")
    screen.tick(study, [])
    screen.finish(study, "finished")
    events = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [e["event"] for e in events] == ["begin", "ended", "ended", "note", "finish"]
    assert events[1]["trial"] == 0
    assert events[1]["curve"] == [[9, 0.9]]
    assert events[2]["reason"] == "nan: loss is nan"
    assert events[-1]["best"]["value"] == 0.9
    assert all(e["schema"] == 1 for e in events)
    assert "Finished" in out.getvalue()


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.mark.parametrize(("rewraps", "width"), [(True, 60), (False, 60), (True, 140)])
def test_a_narrower_terminal_keeps_no_piece_of_the_last_frame(rewraps, width):
    """Lines that the terminal has wrapped are more lines to go up; nothing above the frame is touched."""
    clock, log, _, screen = live(rewraps=rewraps)
    study, workers = simulate()
    screen.begin(study)
    screen.tick(study, workers)
    before = list(screen._widths)
    rows = sum(-(-max(one, 1) // width) if rewraps else 1 for one in before)
    screen._progress.width = width
    clock.at += 1
    log.seek(0)
    log.truncate()
    screen.tick(study, workers)
    assert log.getvalue().count("\x1b[1A") == rows - 1
    assert (rows > len(before)) == (rewraps and width < 100)


def test_how_much_longer_a_frame_gets():
    assert wrapped([0, 1, 50, 51, 100, 101], 50) == 0 + 0 + 0 + 1 + 1 + 2
    assert wrapped([], 50) == 0


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "xterm-256color", "XTERM_VERSION": "XTerm(390)"}, False),
        ({"TERM": "tmux-256color", "TMUX": "/tmp/x", "XTERM_VERSION": "XTerm(390)"}, True),
        ({"TERM": "screen", "STY": "1.pts-0"}, False),
        ({"TERM": "linux"}, False),
    ],
)
def test_which_terminals_wrap_what_is_there(environ, expected):
    assert rewraps(environ) is expected


@pytest.mark.parametrize(
    ("stderr", "environ", "how", "kind"),
    [
        (Terminal(), {"TERM": "xterm"}, {}, LiveScreen),
        (Terminal(), {"TERM": "dumb"}, {}, PlainScreen),
        (io.StringIO(), {"TERM": "xterm"}, {}, PlainScreen),
        (io.StringIO(), {"TERM": "xterm", "FORCE_COLOR": "1"}, {}, PlainScreen),
        (Terminal(), {"TERM": "xterm"}, {"quiet": True}, QuietScreen),
    ],
)
def test_the_screen_suits_the_stream(stderr, environ, how, kind):
    made = choose.screen(stderr=stderr, stdout=io.StringIO(), environ=environ, **how)
    assert isinstance(made.inner, kind)


def test_no_color_is_honoured():
    console = choose.console(Terminal(), environ={"TERM": "xterm", "NO_COLOR": "1"})
    assert console.no_color
    assert not choose.console(Terminal(), environ={"TERM": "xterm"}).no_color
    assert choose.console(io.StringIO(), environ={"FORCE_COLOR": "1"}).is_terminal


VERDICT = {
    "metric": "val_acc", "optimism": -0.002, "tied": [], "seeds_have_no_effect": False, "looks": 1,
    "finalists": [{"trial": 81, "found": 0.98, "mean": 0.982, "interval": [0.97, 0.99], "seeds": 3}],
    "test": {"metric": "test_acc", "value": 0.97, "interval": [0.95, 0.98], "rows": 449},
    "default": None, "first": {"trial": 81, "value": 0.98}, "ensemble": None,
}  # fmt: skip
ENSEMBLE = {"models": 3, "among": 40, "metric": "test_acc", "test": 0.975, "gain": 0.005, "sure": 0.8}
HIGH = {"trial": 81, "found": 0.985, "mean": 0.982, "interval": [0.97, 0.99], "seeds": 3}
EQUAL = {"trial": 81, "found": 0.98, "mean": 0.98, "interval": [0.98, 0.98], "seeds": 3}
VERDICTS = {
    "one finalist": {},
    "too high": {"finalists": [HIGH], "optimism": 0.003},
    "accurate": {"finalists": [EQUAL]},
    "seeds without effect": {"finalists": [EQUAL], "seeds_have_no_effect": True},
    "seeds without effect, an older study": {"finalists": [EQUAL], "seeds_have_no_effect": None, "deaf": True},
    "larger than in the search": {"big": {"width": 1024}, "optimism": None},
    "no test set": {"test": None},
    "second evaluation": {"looks": 2},
    "two tied": {"tied": [63], "finalists": [*VERDICT["finalists"], EQUAL, EQUAL]},
    "all tied": {"tied": [63, 40], "finalists": [*VERDICT["finalists"], EQUAL, EQUAL]},
    "defaults": {"default": {"trial": 0, "value": 0.9}, "first": {"trial": 19, "value": 0.95}},
    "ensemble": {"ensemble": ENSEMBLE},
    "worse ensemble": {"ensemble": {**ENSEMBLE, "gain": -0.01, "sure": 0.01}},
    "equal ensemble, an older study": {"ensemble": {"models": 3, "metric": "test_acc", "test": 0.97, "gain": 0.0}},
}


@pytest.mark.parametrize("name", VERDICTS)
def test_what_the_finalists_showed(golden, name):
    study, _ = simulate(trials=118, ended=118)
    verdict = {"winner": 81, **VERDICT, **VERDICTS[name]}
    if verdict["seeds_have_no_effect"] is None:
        del verdict["seeds_have_no_effect"]
    study.facts["finalists"] = verdict
    lines = final(study, width=80).splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("retrained"))
    golden.entry(
        "finalists", name, "\n".join(lines[start : next(k for k, x in enumerate(lines) if "failed " in x[:7])])
    )
    assert max(map(len, lines[start:-3])) <= 80


def test_every_verdict_has_its_sentences(golden):
    golden.only("finalists", VERDICTS)


def test_the_search_estimate_is_compared_in_the_direction_of_the_numbers():
    """A loss that was found too low was too good, as an accuracy that was found too high."""
    study, _ = simulate(trials=118, ended=118)
    for found, optimism, words in ((0.99, 0.008, ("high", "optimistic")), (0.97, 0.012, ("low", "optimistic"))):
        finalist = {**VERDICT["finalists"][0], "found": found}
        study.facts["finalists"] = {"winner": 81, **VERDICT, "finalists": [finalist], "optimism": optimism}
        assert all(word in final(study, width=300) for word in words)


def test_final_block(golden):
    study, _ = simulate(trials=118, ended=118)
    text = final(study)
    golden.text("final", text + "\n")
    lines = text.splitlines()
    assert lines[0] == "Finished: 118 trials in 1m45s: 6 done, 111 stopped early, 1 failed"
    assert lines[1].split() == ["best", "t0081", "val_acc", "0.9853", "after", "27", "epochs"]
    assert "lr 1.792e-3" in text
    assert "1x oom: CUDA out of memory[31m (width 512)\n           t0110: studies/digits/logs/00110.log" in text
    assert f"{saved_share(study.history):.0%} of the epochs" in text
    assert "automl resume studies/digits --trials +118" in text
    assert max(map(len, lines)) <= 100
    assert max(map(len, final(study, "", 60).splitlines()[:4])) <= 66


def test_final_block_says_how_to_continue_after_an_interruption():
    study, _ = simulate(ended=30)
    text = final(study, "interrupted")
    assert text.startswith("Interrupted: 34 trials"), "30 ended, 4 unfinished: the states add up"
    assert "4 unfinished" in text
    assert "automl resume studies/digits  |" in text


def test_final_block_without_a_winner(golden):
    study = begun()
    golden.entry("no_winner", "no value", final(study))
    end(study, QuietScreen(), 0.5, State.STOPPED)
    golden.entry("no_winner", "no full trial", final(study))
    assert "after 3 epochs (no trial ran its full length)" in final(study)
    assert document(study)["best"]["trial"] == 0


def test_the_failed_search_without_a_trial_prints_no_block():
    out, results = written()
    QuietScreen(results).finish(begun(), "failed")
    assert out.getvalue() == ""


def test_document_is_the_promised_one():
    study, _ = simulate(trials=118, ended=118)
    made = json.loads(json.dumps(document(study)))
    assert made["schema"] == 1
    assert made["study"] == "digits"
    assert made["best"]["trial"] == 81
    assert made["best"]["value"] == pytest.approx(0.9853, abs=1e-4)
    assert set(made["best"]["config"]) >= {"lr", "width"}
    assert made["counts"] == {
        "done": 6, "stopped": 111, "failed": 1, "paused": 0, "unfinished": 0, "begun": 118}  # fmt: skip
    assert made["epochs"] == study.history.steps_spent
    assert made["seconds"] == round(study.elapsed_s, 3)


def test_hardware_reads_this_machine():
    lines = Hardware(Clock()).read()
    assert any(line.startswith("cpu ") for line in lines)


class FakeNvml:
    """Two GPUs; the second is lost, the first does not measure its power."""

    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        pass

    def nvmlInit(self):
        pass

    def nvmlDeviceGetCount(self):
        return 2

    def nvmlDeviceGetMigMode(self, gpu):
        raise self.NVMLError("not supported")

    def nvmlDeviceGetHandleByIndex(self, k):
        return k

    def nvmlDeviceGetUtilizationRates(self, gpu):
        return SimpleNamespace(gpu=93)

    def nvmlDeviceGetMemoryInfo(self, gpu):
        if gpu == 1:
            raise self.NVMLError("GPU is lost")
        return SimpleNamespace(used=5.3 * 2**30, total=141 * 2**30)

    def nvmlDeviceGetTemperature(self, gpu, sensor):
        return 61

    def nvmlDeviceGetPowerUsage(self, gpu):
        raise self.NVMLError("not supported")


def test_hardware_has_a_line_for_each_gpu_also_for_one_that_is_lost():
    lines = Hardware(Clock(), FakeNvml()).read()
    assert lines[:2] == ("gpu0 93% 5.3/141G 61C", "gpu1 GPU is lost")


def test_hardware_samples_at_most_every_two_seconds():
    clock = Clock()
    hardware = Hardware(clock, FakeNvml())
    first = hardware.read()
    clock.at += 1.0
    assert hardware.read() is first
    clock.at += 1.5
    assert hardware.read() is not first
