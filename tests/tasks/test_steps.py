"""Searches whose trials train on so many samples between two reports: lanes and trials alone, in memory and on disk."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import automl
from automl import specfile
from automl.cli.dry_run import one_batch
from automl.core.trial import State
from automl.data.streaming import streaming
from automl.data.streaming.request import Sizes
from automl.errors import LedgerError, SpecError
from automl.study.reader import StudyView
from automl.study.study import Study
from automl.view.pages import compare
from tests.support.saving_search import killed, saving
from tests.support.screens import Notes

SPEC = """
model: mlp
data: t.csv
target: y
metric: val_log_loss
steps: {samples: 500, number: 6, val_rows: 100}
space:
  depth: 1
  width: 8
  dropout: {float: [0.05, 0.3]}
  optimizer: adamw
  lr: {float: [1e-3, 3e-2], log: true}
  batch_size: 50
stopper: none
strategy: random
budget: {trials: 24}
seed: 3
finalists: none
"""


@pytest.fixture
def folder(tmp_path: Path, cache: Path) -> Path:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(2400, 5)), columns=list("abcde"))
    frame["y"] = np.where(frame.a + frame.b * frame.c + 0.5 * rng.normal(size=2400) > 0, "yes", "no")
    frame.to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "space.yaml").write_text(SPEC)
    return tmp_path


def search(folder: Path, name: str, screen: Notes | None = None, **changes: object) -> Study:
    return automl.search(folder / "space.yaml", path=folder / name, executor="inline", workers=1, overrides=changes,
                         screen=screen)  # fmt: skip


def curves(study: Study) -> list[object]:
    return [t.curve for t in study.history.trials]


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    load = streaming.load
    monkeypatch.setattr(streaming, "load", lambda request: load(replace(request, sizes=Sizes(shard=2**11))))


@pytest.mark.parametrize("memory", ["1GB", "1KB"])
def test_lanes_and_trials_alone_have_the_same_curves_also_after_a_stop(folder, memory, small_shards):
    shared = {"prepare.memory": memory}
    screen = Notes()
    lanes = search(folder, "lanes", screen, fuse="require", **shared)
    assert all(t.state is State.DONE and t.step == 6 for t in lanes.history.trials)
    alone = search(folder, "alone", fuse="never", **{"budget.trials": 3}, **shared)
    for one, t in zip(alone.history.trials, lanes.history.trials, strict=False):
        assert np.array(one.curve) == pytest.approx(np.array(t.curve), rel=1e-5)
    said = [note for note in screen.notes if note.startswith("each step is measured on the same 100 of 600")]
    assert len(said) == 1
    halving = {"name": "halving", "eta": 3, "waves": 1, "guard": False, "min_steps": 1}
    stopped = search(folder, "stopped", fuse="require", stopper=halving, **shared)
    assert max(t.attempt for t in stopped.history.trials) > 1  # some paused in the middle of an epoch, and went on
    for t in stopped.history.trials:
        assert t.curve == lanes.history.trials[t.number].curve[: t.step]


def test_a_search_that_was_killed_goes_on_to_the_same_curves(folder, small_shards, monkeypatch):
    text = SPEC.replace("target: y\n", "target: y\nprepare: {memory: 1KB}\n")
    (folder / "space.yaml").write_text(text)
    whole = search(folder, "whole", fuse="require")
    from automl.tasks import lane_loop

    trained = lane_loop.LaneLoop._epoch
    calls = []

    def killed(self, *, save):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt  # as the process would end, without another word
        trained(self, save=save)

    monkeypatch.setattr(lane_loop.LaneLoop, "_epoch", killed)
    with pytest.raises(BaseException):  # noqa: B017
        saving(folder)
    monkeypatch.setattr(lane_loop.LaneLoop, "_epoch", trained)
    assert curves(saving(folder)) == curves(whole)


def test_the_last_step_is_measured_on_all_rows_and_the_best_one_on_the_sample(folder):
    few = {"budget.trials": 4}
    last = search(folder, "last", **few)
    whole = search(folder, "whole", **{"steps.val_rows": 600}, **few)
    for a, b in zip(last.history.trials, whole.history.trials, strict=True):
        assert a.curve[-1] == b.curve[-1]
        assert a.curve[0] != b.curve[0]
    best = search(folder, "best", value="best", finalists={"top": 1, "seeds": 1}, **few)
    assert best.history.trials[0].curve[-1] != last.history.trials[0].curve[-1]
    assert best.verdict is not None
    assert best.verdict["test"]["rows"] == 600


def test_steps_of_batches_are_those_of_as_many_samples(folder):
    few = {"budget.trials": 4}
    study = search(folder, "s", steps={"batches": 10, "number": 2}, **few)
    assert [t.step for t in study.history.trials] == [2] * 4
    assert curves(search(folder, "same", steps={"samples": 500, "number": 2}, **few)) == curves(study)


def test_steps_on_folds_are_measured_on_all_rows_that_are_held_out(folder):
    """Each row is held out once, so no sample of them measures a step; a fold's order is that of its own rows."""
    shared = {"split": {"folds": 3, "test": 0.25}, "steps": {"samples": 500, "number": 3}}
    screen = Notes()
    lanes = search(folder, "lanes", screen, fuse="require", **{"budget.trials": 4}, **shared)
    assert [len(t.curve) for t in lanes.history.trials] == [3] * 4
    assert not [note for note in screen.notes if note.startswith("each step is measured on the same")]
    alone = search(folder, "alone", fuse="never", **{"budget.trials": 2}, **shared)
    for one, t in zip(alone.history.trials, lanes.history.trials, strict=False):
        assert np.array(one.curve) == pytest.approx(np.array(t.curve), rel=1e-5)
    halving = {"name": "halving", "eta": 2, "waves": 1, "guard": False, "min_steps": 1}
    stopped = search(folder, "stopped", fuse="require", stopper=halving, **{"budget.trials": 4}, **shared)
    assert min(len(t.curve) for t in stopped.history.trials) < 3
    for t in stopped.history.trials:
        assert t.curve == lanes.history.trials[t.number].curve[: t.step]


def test_a_study_goes_on_with_the_same_unit_only(folder):
    search(folder, "s", **{"budget.trials": 1})
    with pytest.raises(SpecError, match="begun with another step"):
        search(folder, "s", **{"steps.samples": 700})


def test_studies_of_other_units_are_not_compared(folder):
    few = {"budget.trials": 2}
    one, same = search(folder, "one", **few), search(folder, "same", **{"steps.val_rows": 50}, **few)
    other = search(folder, "other", steps={"samples": 700, "number": 2}, **few)
    said = compare.text(compare.compare([one, same]))
    assert "after equal numbers of steps of all trials" in said
    with pytest.raises(SpecError, match="a step of one is 500 samples, one of other is 700 samples"):
        compare.compare([one, other])


def test_a_dry_run_reads_a_batch_of_a_stream(folder):
    read = specfile.read(folder / "space.yaml", overrides={"prepare.memory": "1KB"})
    tried = one_batch(read)
    assert tried is not None
    assert tried.rows == (1200, 600, 600)
    assert np.isfinite(tried.metrics["val_loss"])


def test_tokens_are_for_language_models(folder):
    with pytest.raises(SpecError, match="tokens are for language models; this task is classification"):
        search(folder, "s", steps={"tokens": 10, "number": 2})


def test_a_sample_without_a_class_is_refused(folder):
    frame = pd.read_csv(folder / "t.csv")
    frame.loc[:, "y"] = np.where(np.arange(len(frame)) % 100 == 0, "yes", "no")
    frame.to_csv(folder / "t.csv", index=False)
    with pytest.raises(SpecError, match=r"not defined on the 3 validation rows that measure a step.*val_rows"):
        search(folder, "s", metric="val_auroc", **{"steps.val_rows": 3})


@pytest.mark.slow
def test_a_search_on_a_stream_that_is_killed_again_and_again_has_the_same_curves(folder):
    text = SPEC.replace("target: y\n", "target: y\nprepare: {memory: 1KB}\n").replace("number: 6", "number: 400")
    (folder / "space.yaml").write_text(text.replace("samples: 500", "samples: 300").replace("trials: 24", "trials: 8"))
    whole = search(folder, "whole", fuse="require")
    ledger, rng, kills = folder / "saving", np.random.default_rng(0), 0
    while kills < 4 and killed(folder, partial(_has_more_than, _reports(ledger), ledger), float(rng.uniform(0, 0.4))):
        kills += 1
    assert kills >= 2, "the search ended before it could be killed"
    assert curves(saving(folder)) == curves(whole)


def _has_more_than(reports: int, path: Path) -> bool:
    return _reports(path) > reports


def _reports(path: Path) -> int:
    """How many reports the ledger of a study has."""
    try:
        view = StudyView(path)
    except LedgerError:
        return 0  # there is none yet, or its first rows are being written
    try:
        return sum(len(t.curve) for t in view.history.trials)
    finally:
        view.close()
