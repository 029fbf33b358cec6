"""The study inside somebody's own program: threads, mistakes in calls, and what the caller may do with what it gets."""

import math
import os
import pickle
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import automl
from automl.core.trial import State
from automl.errors import LedgerError, SpecError, UnknownPlugin

SPACE = {"x": automl.Float(0, 1), "kind": ["a", "b"]}


def study(**more):
    return automl.Study(SPACE, metric="loss", **{"trials": 20, "strategy": "random", **more})


@pytest.mark.parametrize("on_disk", [False, True])
def test_sixteen_threads_share_a_study(tmp_path: Path, on_disk: bool) -> None:
    one = study(trials=2000, path=tmp_path / "s" if on_disk else None, defaults=False)

    def serve(_: int) -> list[int]:
        told = []
        while (trial := one.ask()) is not None:
            one.report(trial, 1, {"loss": trial.config["x"] + 1})
            one.tell(trial, loss=trial.config["x"])
            told.append(trial.number)
        return told

    with ThreadPoolExecutor(16) as pool:
        told = Counter(number for numbers in pool.map(serve, range(16)) for number in numbers)
    assert told == Counter(range(2000))
    assert one.counts.done == 2000
    one.close()
    if on_disk:
        again = automl.Study.open(tmp_path / "s")
        assert [t.loss for t in again.history.trials] == [t.loss for t in one.history.trials]


def test_the_config_of_an_assignment_is_the_callers_own() -> None:
    one = study()
    trial = one.ask()
    suggested = dict(trial.config)
    trial.config.pop("x")
    trial.config["kind"] = "never suggested"
    one.tell(trial, loss=1.0)
    assert one.best.config == suggested
    one.best.config.clear()
    assert one.best.config == one.winner.config == one.history.trials[0].config == suggested


def test_a_trial_is_read_like_a_dict() -> None:
    trial = study(first=[{"x": 0.25, "kind": "b"}], defaults=False).ask()
    assert dict(trial) == dict(**trial) == trial.config == {"x": 0.25, "kind": "b"}
    assert list(trial) == ["x", "kind"]
    assert "x" in trial
    assert 0 not in trial
    assert trial.get("momentum", 0.9) == 0.9


@pytest.mark.parametrize("given", [{"loss": 0.5}, {"step": 3, "loss": 0.5}])
def test_metrics_may_be_told_as_a_dict(given: dict) -> None:
    one = study()
    assert one.tell(one.ask(), given).curve == ((given.get("step", 1), 0.5),)
    trial = one.ask()
    one.report(trial, {"loss": 0.7})
    one.report(trial, {"loss": 0.6})
    assert one.tell(trial, {"loss": 0.5}).curve == ((1, 0.7), (2, 0.6), (3, 0.5))


def test_a_forked_process_cannot_change_a_study(tmp_path: Path) -> None:
    one = study(path=tmp_path / "s")
    trial = one.ask()
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        try:
            one.tell(trial, loss=0.1)
        except LedgerError as error:
            os.write(writing, str(error).encode())
        one.close()
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with open(reading) as told:
        assert told.read().startswith(f"the study belongs to process {os.getpid()}, from which this one was forked")
    assert one.tell(trial, loss=0.5).loss == 0.5  # nothing is damaged, and the lock is still held
    with pytest.raises(LedgerError, match="is being driven"):
        study(path=tmp_path / "s")
    one.close()


def test_a_study_stays_in_its_process() -> None:
    with pytest.raises(TypeError, match=r"a study stays in its process: give other processes trial\.config"):
        pickle.dumps(study())


def test_a_pair_of_name_and_direction_says_what_to_write() -> None:
    with pytest.raises(SpecError, match=r"metric: write {\"name\": 'reward', \"direction\": 'maximize'}"):
        automl.Study(SPACE, metric=("reward", "maximize"))


def test_what_could_not_be_read_back_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"the study's metric\.name is not a text; no text in it may have"):
        automl.Study(SPACE, metric={"name": "l\0", "direction": "minimize"}, path=tmp_path / "s")


@pytest.mark.parametrize("number", [99, -1, 1])
def test_a_trial_that_does_not_exist(number: int) -> None:
    one = study()
    one.ask()
    with pytest.raises(SpecError, match=f"no trial {number}: trials are 0 to 0"):
        one.tell(number, loss=1.0)
    with pytest.raises(SpecError, match=f"no trial {number}"):
        one.report(number, 1, {"loss": 1.0})


@pytest.mark.parametrize("trial", [True, None, "0", 0.0])
def test_what_is_no_trial(trial: object) -> None:
    one = study()
    one.ask()
    with pytest.raises(SpecError, match="a trial is what ask"):
        one.tell(trial, loss=1.0)


def test_a_trial_is_told_once() -> None:
    one = study()
    trial = one.ask()
    one.tell(trial, loss=0.5)
    with pytest.raises(SpecError, match=r"trial 0 has ended already \(done\)"):
        one.tell(trial, loss=0.4)
    failed = one.ask()
    assert one.tell(failed, loss=math.nan).state is State.FAILED
    with pytest.raises(SpecError, match=r"trial 1 has ended already \(failed\)"):
        one.tell(failed, loss=0.4)
    assert one.history.trials[0].loss == 0.5


@pytest.mark.parametrize(
    ("args", "metrics"), [((), {"los": 0.3}), ((), {}), ((0.3,), {}), ((), {"loss": "low"}), ((), {"loss": True})]
)
def test_a_wrong_call_says_what_to_write_and_stores_nothing(args: tuple, metrics: dict) -> None:
    one = study()
    for _ in range(2):  # also once another trial has ended well
        trial = one.ask()
        with pytest.raises(SpecError, match=r"write tell\(trial, loss=0\.3\)") as caught:
            one.tell(trial, *args, **metrics)
        assert "did you mean" not in str(caught.value)
        assert one.history.trials[trial.number].state is State.RUNNING
        assert one.tell(trial, loss=0.2).state is State.DONE


@pytest.mark.parametrize("step", [np.int64(3), np.float32(3), torch.tensor(3), 3.0, np.array(3), torch.tensor([3.0])])
def test_whole_numbers_of_any_type_are_steps(tmp_path: Path, step: object) -> None:
    one = study(path=tmp_path / "s")
    trial = one.ask()
    one.report(trial, step, {"loss": 1.0})
    one.close()
    ((at, loss),) = automl.Study.open(tmp_path / "s").history.trials[0].curve
    assert (at, loss) == (3, 1.0)
    assert type(at) is int


@pytest.mark.parametrize(
    "step", ["3", 2.5, -1, math.nan, math.inf, None, [3], np.array([1, 2]), True, 10**30, b"3", 1 + 0j]
)
def test_other_steps_are_refused_at_the_call(tmp_path: Path, step: object) -> None:
    one = study(path=tmp_path / "s")
    trial = one.ask()
    with pytest.raises(SpecError, match="a step must be a whole number"):
        one.report(trial, step, {"loss": 1.0})
    one.tell(trial, 1, loss=0.5)
    one.close()
    assert automl.Study.open(tmp_path / "s").history.trials[0].curve == ((1, 0.5),)


def test_a_global_step_is_counted_as_the_step_that_runs(tmp_path: Path) -> None:
    def by_global_step(trial: automl.Trial) -> None:
        for epoch in trial.steps(5):
            trial.report(step=epoch * 100, loss=trial["x"] + 1 / epoch)

    def by_epoch(trial: automl.Trial) -> None:
        for epoch in trial.steps(5):
            trial.report(loss=trial["x"] + 1 / epoch)

    ends = []
    for k, train in enumerate((by_global_step, by_epoch)):
        searched = automl.search(
            train, space=SPACE, metric="loss", trials=9, finalists=None, executor="inline", stopper="asha",
            strategy="random", path=tmp_path / str(k),
        )  # fmt: skip
        ends.append(([(t.state, t.step, t.loss) for t in searched.history.trials], searched.history.steps_spent))
    assert ends[0] == ends[1]
    assert any(state is State.STOPPED for state, _, _ in ends[0][0])


def test_the_default_strategy_is_that_of_a_search() -> None:
    one = automl.Study(SPACE, metric="val_accuracy", trials=3)
    printed = str(one)
    assert "strategy  auto, stopper none" in printed
    assert "val_accuracy, highest wins" in printed


@pytest.mark.parametrize("option", [
    {"trials": "5"}, {"trials": -1}, {"trials": 5.5}, {"time_s": "1m"}, {"time_s": float("nan")}, {"horizon": 0},
    {"horizon": "9"}, {"seed": "a"}, {"workers": -1}, {"steps": True},
])  # fmt: skip
def test_a_wrong_number_is_told_with_its_name(option):
    with pytest.raises(SpecError, match=f"{next(iter(option))} takes a"):
        automl.Study({"x": automl.Float(0, 1)}, metric="loss", **option)


@pytest.mark.parametrize("name", [1, "", " "])
def test_a_parameter_needs_a_name(name):
    with pytest.raises(SpecError, match="the name of a parameter is a text"):
        automl.Study({name: automl.Float(0, 1)}, metric="loss", trials=3)


def test_metrics_may_be_reported_by_name():
    opened = automl.Study({"x": automl.Float(0, 1)}, metric="loss", trials=3)
    trial = opened.ask()
    opened.report(trial, 1, loss=0.5)
    opened.report(trial, 2, {"loss": 0.25}, accuracy=0.75)
    assert opened.finish(trial).loss == 0.25
    assert opened.reports(trial.number) == [(1, {"loss": 0.5}), (2, {"loss": 0.25, "accuracy": 0.75})]


def test_a_closed_study_says_so():
    opened = automl.Study({"x": automl.Float(0, 1)}, metric="loss", trials=3)
    trial = opened.ask()
    opened.close()
    for use in (opened.ask, lambda: opened.tell(trial, loss=0.5), lambda: opened.reports(trial.number)):
        with pytest.raises(LedgerError, match="the study is closed"):
            use()


def test_numbers_of_numpy_are_taken_and_wrong_plugins_are_told():
    study = automl.Study(
        {"x": automl.Float(0, 1)}, metric="loss", trials=np.int64(2), seed=np.int32(3), time_s=np.float32(9)
    )
    trials = iter(study.ask, None)
    assert [study.tell(trial, loss=trial["x"]).number for trial in trials] == [0, 1]
    with pytest.raises(SpecError, match=r"a space is a dict of names, .* got \[Float"):
        automl.Study([automl.Float(0, 1)], metric="loss")
    with pytest.raises(SpecError, match=r"a stopper is one of the names .*none.*; got None"):
        automl.Study({"x": automl.Float(0, 1)}, metric="loss", stopper=None)
    with pytest.raises(UnknownPlugin, match="did you mean 'tpe'"):
        automl.Study({"x": automl.Float(0, 1)}, metric="loss", strategy="TPE")
