"""The mirror in an Optuna storage: after each look it is the study; a killed search resumes it and doubles no trial."""

import random
import time
import warnings
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import automl
from automl.core.trial import Failure
from automl.driver.screen import NullScreen
from automl.driver.signals import Interrupted
from automl.errors import SpecError
from automl.integrations import optuna_mirror
from automl.integrations.optuna_journal import frozen
from automl.integrations.optuna_mirror import Copy, OptunaMirror
from automl.study.study import Study
from tests.support.patience import PATIENCE_S

optuna = pytest.importorskip("optuna")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def begun(path: str = "s", **options: Any) -> Study:
    space = {
        "lr": automl.Float(1e-4, 1, log=True),
        "opt": ["adam", None],
        "m": automl.Float(0, 1, when={"opt": "adam"}),
    }
    given = {"metric": "val_loss", "strategy": "random", "trials": 25, "horizon": 6, "stopper": {"name": "halving"}}
    return Study(space, path=path, **{**given, **options})


def worked(study: Study, rng: random.Random, events: int) -> None:
    """Trials begin, report, are paused, fail and end."""
    for _ in range(events):
        running = study.history.running
        if len(running) < 3 and study.ask() is not None:
            continue
        if not running:
            return
        trial = rng.choice(running)
        if rng.random() < 0.05:
            study.fail(trial.number, Failure("nan", "loss is nan", trial.step))
            continue
        values = {name: rng.random() for name in study.history.objectives.names}
        verdict = study.report(trial.number, trial.step + 1, values, horizon=6)
        if verdict.kind == "continue" and trial.step + 1 == 6:
            study.finish(trial.number)
    study.ledger.commit()


def read(storage: str, name: str = "s") -> Any:
    with optuna_mirror.quiet():
        return optuna.load_study(study_name=name, storage=optuna_mirror._storage(storage))


def same(study: Study, storage: str, name: str = "s") -> None:
    """The mirror has every trial of the study once, as the export would write it."""
    trials = read(storage, name).trials
    assert [t.number for t in trials] == [t.number for t in study.history.trials]
    for record, theirs in zip(study.history.trials, trials, strict=True):
        ours = frozen(study, record, datetime.now())
        assert (theirs.state, theirs.params, theirs.values) == (ours.state, ours.params, ours.values)
        assert theirs.intermediate_values == pytest.approx(ours.intermediate_values)
        assert theirs.distributions == ours.distributions
        if record.state.ended:
            assert theirs.user_attrs == {**ours.user_attrs, "automl_trial": record.number}
            assert theirs.datetime_complete is not None


def opened(study: Study, storage: str) -> Copy:
    mirror = OptunaMirror(storage, every_s=1e6)
    mirror.begin(study)
    mirror._ending.set()
    assert mirror._thread is not None
    mirror._thread.join()
    fact = study.facts[optuna_mirror.FACT]
    assert study.path is not None
    with optuna_mirror.quiet():
        return Copy(study.path, optuna_mirror._opened(optuna_mirror._storage(storage), study, fact))


@pytest.mark.parametrize(
    ("storage", "metric"),
    [
        ("journal.log", "val_loss"),
        ("journal.log", ["val_error", {"name": "ms", "at_most": 0.7}, "val_loss"]),
        ("sqlite:///optuna.db", "val_loss"),
    ],
)
def test_the_mirror_is_the_study_after_every_look(storage: str, metric: Any) -> None:
    rng = random.Random(2)
    options = {"stopper": "none"} if isinstance(metric, list) else {}
    with begun(metric=metric, trials=5 if "sqlite" in storage else 25, **options) as study:
        copy = opened(study, storage)
        for _ in range(3 if "sqlite" in storage else 6):
            worked(study, rng, 15)
            copy.bring_up_to_date()
            same(study, storage)
            assert copy.bring_up_to_date() == 0
        assert study.history.failed or options or "sqlite" in storage


class Killed(Exception):
    pass


def test_a_mirror_that_is_killed_at_any_write_goes_on_and_doubles_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, deadly = [0], [10**9]
    kind = optuna.storages.JournalStorage

    def watched(name: str) -> Callable[..., Any]:
        whole = getattr(kind, name)

        def call(self: Any, *given: Any, **named: Any) -> Any:
            calls[0] += 1
            if calls[0] == deadly[0]:
                raise Killed
            done = whole(self, *given, **named)
            if calls[0] == deadly[0] - 0.5:
                raise Killed  # after it was written
            return done

        return call

    for name in ("create_new_trial", "set_trial_intermediate_value", "set_trial_user_attr", "set_trial_state_values"):
        monkeypatch.setattr(kind, name, watched(name))
    rng = random.Random(3)
    with begun(trials=14) as study:
        copy = opened(study, "journal.log")
        kills = 0
        for k in range(40):
            worked(study, rng, 4)
            deadly[0] = calls[0] + rng.choice([1, 2, 3, 1.5, 2.5])
            try:
                copy.bring_up_to_date()
            except Killed:
                kills += 1
                copy = opened(study, "journal.log")
            deadly[0] = 10**9
            if k % 5 == 4:
                copy.bring_up_to_date()
                same(study, "journal.log")
        assert kills > 10
        copy.bring_up_to_date()
        same(study, "journal.log")


def test_two_studies_of_one_name_are_two_and_a_session_finds_its_own() -> None:
    for path in ("a/s", "b/s"):
        with begun(path, trials=4) as study:
            worked(study, random.Random(1), 30)
            opened(study, "journal.log").bring_up_to_date()
    assert [len(read("journal.log", name).trials) for name in ("s", "s-2")] == [4, 4]
    with begun("b/s", trials=6) as study:
        worked(study, random.Random(1), 30)
        opened(study, "journal.log").bring_up_to_date()
        same(study, "journal.log", "s-2")
        opened(study, "another.log").bring_up_to_date()  # a new storage gets all trials
        same(study, "another.log", "s-2")


def test_trials_of_others_and_storages_that_are_none_are_told() -> None:
    with begun() as study:
        opened(study, "journal.log")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read("journal.log").ask()
        with pytest.raises(SpecError, match="none of this study"):
            opened(study, "journal.log")
        with pytest.raises(SpecError, match="cannot be opened"):
            OptunaMirror("nonsense://x").begin(study)
    with begun(None) as memory, pytest.raises(SpecError, match="folder"):  # type: ignore[arg-type]
        OptunaMirror("journal.log").begin(memory)


# -- with a search -----------------------------------------------------------------------------------------------------


def train(trial: automl.Trial) -> None:
    for step in trial.steps(4):
        time.sleep(0.002)
        trial.report(val_loss=trial["x"] / step)


OPTIONS: dict[str, Any] = {"space": {"x": automl.Float(0, 1)}, "metric": "val_loss", "executor": "inline",
                           "finalists": None, "strategy": "random"}  # fmt: skip


def test_it_is_written_while_the_search_runs_and_goes_on_with_it() -> None:
    mirror = OptunaMirror("journal.log", every_s=0.02)
    running = automl.search(train, trials=100_000, block=False, path="s", loggers=[mirror], **OPTIONS)
    until, seen = time.monotonic() + PATIENCE_S, 0
    while seen < 3:
        assert time.monotonic() < until
        time.sleep(0.05)
        try:
            seen = len(read("journal.log").trials)
        except (KeyError, FileNotFoundError):
            continue
    running.stop()
    with pytest.raises(Interrupted):
        running.result(PATIENCE_S)
    first = len(read("journal.log").trials)
    study = automl.search(
        train, trials=first + 5, path="s", loggers=[{"name": "optuna", "storage": "journal.log"}], **OPTIONS
    )
    trials = read("journal.log").trials
    assert len(trials) == first + 5 == len(study.history)
    assert {t.state.name for t in trials} == {"COMPLETE"}
    assert [t.value for t in trials] == [t.loss for t in study.history.trials]


def test_a_storage_that_fails_does_not_hurt_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Copy) -> int:
        raise OSError("the disk of the database is full")

    monkeypatch.setattr(Copy, "bring_up_to_date", fail)
    said: list[str] = []

    class Screen(NullScreen):
        def note(self, text: str) -> None:
            said.append(text)

    study = automl.search(train, trials=5, path="s", loggers=[OptunaMirror("j.log", 0.0)], screen=Screen(), **OPTIONS)
    assert study.counts.done == 5
    assert [one for one in said if "the disk of the database is full" in one]


def test_a_slow_storage_delays_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Copy._create
    monkeypatch.setattr(Copy, "_create", lambda self, record: (time.sleep(0.2), whole(self, record)))
    begin_s = time.monotonic()
    ends: list[float] = []
    mirror = OptunaMirror("journal.log", every_s=0.0)
    finish = mirror.finish
    monkeypatch.setattr(mirror, "finish", lambda *given: (ends.append(time.monotonic()), finish(*given)))
    study = automl.search(train, trials=20, path="s", loggers=[mirror], **OPTIONS)
    assert study.counts.done == len(read("journal.log").trials) == 20
    assert ends[0] - begin_s < 0.6 * (time.monotonic() - begin_s), "the search has ended long before the mirror"
