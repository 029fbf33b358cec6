"""Searches whose trials train as lanes: the product around the engine, from the spec to the ledger."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import automl
from automl.core.messages import Assignment, Measured, Ready
from automl.core.stopper import Kind
from automl.core.trial import Metric, State, TrialRecord
from automl.errors import EnvironmentProblem
from automl.study import checkpoint, paths
from automl.study.ledger.ledger import Ledger
from automl.study.reader import StudyView
from automl.study.study import Study
from automl.study.winner import keep_best
from automl.tasks.builtin import BuiltinTask
from tests.support.saving_search import killed, saving
from tests.support.screens import Notes

SPEC = """
model: mlp
data: digits
metric: val_loss
epochs: {epochs}
space:
  depth: 1
  width: 16
  dropout: {{float: [0.05, 0.4]}}
  optimizer: adamw
  lr: {{float: [1e-3, 2e-2], log: true}}
  batch_size: 64
stopper: none
strategy: random
budget: {{trials: {trials}}}
seed: 5
finalists: none
"""


def spec(folder: Path, *, trials: int = 10, epochs: int = 4, text: str = SPEC) -> Path:
    file = folder / "space.yaml"
    file.write_text(text.format(trials=trials, epochs=epochs))
    return file


def search(folder: Path, name: str, screen: Notes | None = None, **changes: object) -> Study:
    given = {key.replace("_", "."): value for key, value in changes.items()}
    return automl.search(folder / "space.yaml", path=folder / name, executor="inline", workers=1, overrides=given,
                         screen=screen)  # fmt: skip


def details(study: Study) -> dict[int, dict[str, object]]:
    """What was kept of each trial's last attempt."""
    assert study.path is not None
    ledger = Ledger.read_only(study.path)
    try:
        return {t.number: ledger.attempts(t.number)[-1]["details"] or {} for t in study.history.trials}
    finally:
        ledger.close()


def test_trials_share_a_cohort_and_the_winner_can_be_loaded(tmp_path: Path) -> None:
    spec(tmp_path, trials=8)
    study = search(tmp_path, "s", fuse="require")
    assert study.counts.done == 8
    assert all([step for step, _ in t.curve] == [1, 2, 3, 4] for t in study.history.trials)
    kept = details(study)
    assert all(kept[t]["lanes"] == 8 for t in kept)
    assert sorted(kept[t]["lane"] for t in kept) == list(range(8))  # type: ignore[type-var]
    assert study.best is not None
    model = automl.load(study.path)
    last = study.reports(study.best.number)[-1][1]
    assert model.metrics["val_loss"] == last["val_loss"]
    assert {"val_accuracy", "val_balanced_accuracy", "val_f1_macro", "val_auroc", "val_log_loss"} <= last.keys()


@pytest.mark.parametrize("stopper", ["none", "asha"])
def test_fused_and_unfused_scores_agree(tmp_path: Path, stopper: str) -> None:
    spec(tmp_path, trials=12, epochs=5)
    fused, alone = (search(tmp_path, fuse, fuse=fuse, stopper=stopper) for fuse in ("require", "never"))
    assert all(kept.get("lanes") == 1 for kept in details(alone).values())
    both = [(a, b) for a, b in zip(fused.history.trials, alone.history.trials, strict=True)
            if a.state is State.DONE and b.state is State.DONE]  # fmt: skip
    assert len(both) == 12 if stopper == "none" else both
    for a, b in both:
        assert a.config == b.config
        assert a.curve == b.curve  # a plain stack has the same bits in a cohort and alone
        one, other = fused.reports(a.number)[-1][1], alone.reports(b.number)[-1][1]
        assert one.keys() == other.keys()
        assert one == pytest.approx(other, abs=1e-3)


def board(path: Path) -> list[object]:
    view = StudyView(path)
    found = [(t.number, t.config, t.state, t.curve) for t in view.history.trials]
    view.close()
    return found


@pytest.mark.slow
def test_a_killed_cohort_goes_on_from_its_checkpoints_to_the_same_leaderboard(tmp_path: Path) -> None:
    spec(tmp_path, trials=8, epochs=60)  # as many as begin together, and are saved together
    folders = tmp_path / "saving" / "trials"
    assert killed(tmp_path, lambda: len(list(folders.glob("*/manifest.json"))) == 8)
    found = [checkpoint._manifest(folder) for folder in folders.iterdir()]
    assert len(found) == 8
    assert max(entries[-1]["step"] for entries in found if entries) < 60, "the kill came too late"
    assert saving(tmp_path).counts.done == 8
    search(tmp_path, "whole", fuse="require")
    assert board(tmp_path / "saving") == board(tmp_path / "whole")


def test_paused_lanes_go_on_where_they_were(tmp_path: Path) -> None:
    spec(tmp_path, trials=40, epochs=5)
    study = search(tmp_path, "s", fuse="require", stopper={"name": "halving", "eta": 3, "waves": 1, "guard": False})
    whole = search(tmp_path, "whole", fuse="require")
    assert study.counts.done >= 1
    for t in study.history.trials:
        assert [step for step, _ in t.curve] == list(range(1, t.step + 1))
        assert t.curve == whole.history.trials[t.number].curve[: t.step]
    assert max(t.attempt for t in study.history.trials) > 1


WILD = SPEC.replace("[1e-3, 2e-2], log: true", "[1e-3, 1e6], log: true").replace("adamw", "sgd")


def test_a_lane_that_diverges_fails_alone_and_is_named(tmp_path: Path) -> None:
    spec(tmp_path, trials=16, text=WILD)
    study = search(tmp_path, "s", fuse="require")
    assert study.counts.failed > 0
    assert study.counts.done > 0
    assert study.counts.failed + study.counts.done == 16
    for t in study.history.failed:
        assert t.failure is not None
        assert t.failure.kind == "nan"
        assert f"trial {t.number} (lane " in t.failure.message
        assert "not finite" in t.failure.message


MIXED = SPEC.replace("width: 16", "width: [16, 24]").replace("adamw", "[adamw, muon]")


def test_a_mix_of_signatures_and_optimizers(tmp_path: Path) -> None:
    spec(tmp_path, trials=24, epochs=3, text=MIXED)
    screen = Notes()
    study = search(tmp_path, "s", screen)
    assert study.counts.done == 24
    kept = details(study)
    signatures = Counter(kept[t.number].get("signature") for t in study.history.trials)
    kinds = {(t.config["width"], t.config["optimizer"]) for t in study.history.trials}
    assert len(signatures) == len(kinds) > 2
    assert max(kept[t.number]["lanes"] for t in study.history.trials if t.config["optimizer"] == "muon") > 2
    assert len(screen.notes) == len(set(screen.notes))


def test_best_epoch_is_kept_where_the_spec_counts_the_best(tmp_path: Path) -> None:
    spec(tmp_path, trials=6, epochs=6, text=SPEC.replace("1e-3, 2e-2", "5e-2, 3e-1"))
    study = search(tmp_path, "s", fuse="require", value="best")
    assert study.best is not None
    model = automl.load(study.path)
    curve = dict(study.best.curve)
    assert model.metrics["val_loss"] == min(curve.values())
    assert len({min(dict(t.curve), key=dict(t.curve).get) for t in study.history.trials} - {6}) > 0  # type: ignore[arg-type]


OWN = """
from torch import nn
import torch
class Draws(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.layer = nn.Linear(inputs, outputs)
    def forward(self, x):
        return self.layer(x + 0.01 * torch.randn_like(x)) if self.training else self.layer(x)
def build(config, inputs, outputs):
    return Draws(inputs, outputs)
def fails(config, inputs, outputs):
    if config["dropout"] > 0.2:
        raise RuntimeError("too much")
    return nn.Linear(inputs, outputs)
"""


def test_a_model_that_cannot_be_fused_is_told_once_and_trains_alone(tmp_path: Path) -> None:
    (tmp_path / "own_for_fused.py").write_text(OWN)
    spec(tmp_path, trials=6, epochs=2, text=SPEC.replace("model: mlp", "model: own_for_fused:build"))
    screen = Notes()
    study = search(tmp_path, "s", screen)
    assert study.counts.done == 6
    told = [note for note in screen.notes if "run one at a time" in note]
    assert len(told) == 1
    assert "nn.Dropout" in told[0]
    with pytest.raises(EnvironmentProblem, match="fuse: require"):
        search(tmp_path, "t", fuse="require")


def test_a_model_that_cannot_be_built_fails_its_own_trial(tmp_path: Path) -> None:
    (tmp_path / "own_for_fused2.py").write_text(OWN)
    spec(tmp_path, trials=12, epochs=2, text=SPEC.replace("model: mlp", "model: own_for_fused2:fails"))
    study = search(tmp_path, "s")
    failed = {t.number for t in study.history.failed}
    assert failed == {t.number for t in study.history.trials if t.config["dropout"] > 0.2}
    assert study.counts.done == 12 - len(failed) > 0
    assert all("RuntimeError: too much" in str(t.failure) for t in study.history.failed)


def test_checkpoints_are_written_in_between_and_cleared_at_the_end(tmp_path: Path) -> None:
    spec(tmp_path, trials=4, epochs=3)
    saved: set[int] = set()

    def noting(study: Study, record: TrialRecord) -> None:
        folder = paths.trial(tmp_path / "saving", record.number)
        saved.update(int(file.stem) for file in folder.glob("*.ckpt"))
        keep_best(study, record)

    saving(tmp_path, noting)
    assert 1 in saved  # the later ones may be put off, see `lane_loop.SAVING_SHARE`
    assert not list(tmp_path.glob("saving/trials/*/*.ckpt"))


# -- who gets which trials ---------------------------------------------------------------------------------------------


def grouped(trials: int, groups: int, *, alone: bool = True) -> tuple[Study, object]:
    """`alone`: trials with a = 0 belong to no group."""
    from automl.driver.grouped import GroupedOrder

    study = Study({"a": automl.Choice(list(range(groups))), "x": automl.Float(0, 1)}, metric="loss", trials=trials,
                  defaults=False)  # fmt: skip
    return study, GroupedOrder(study, lambda config: str(config["a"]) if config["a"] or not alone else "")


def test_an_idle_worker_gets_the_largest_group_and_a_busy_one_what_fits() -> None:
    _, order = grouped(200, 3, alone=False)
    order.begin(1)  # type: ignore[attr-defined]
    first = order.ask(Ready(0, 16))  # type: ignore[attr-defined]
    group = first[0].config["a"]
    assert len(first) > 1
    assert {one.config["a"] for one in first} == {group}
    more = order.ask(Ready(0, 20, busy=True, fits=str(group)))  # type: ignore[attr-defined]
    assert more
    assert {one.config["a"] for one in more} == {group}
    assert order.busy()  # type: ignore[attr-defined]
    assert order.ask(Ready(0, 5, busy=True, fits="no such")) == []  # type: ignore[attr-defined]


def test_an_idle_worker_begins_with_those_of_no_group() -> None:
    _, order = grouped(200, 3)
    order.begin(1)  # type: ignore[attr-defined]
    given = [order.ask(Ready(0, 16)) for _ in range(60)]  # type: ignore[attr-defined]
    single = [one[0].config["a"] == 0 for one in given]
    assert single[0]
    assert not all(single)
    assert all(len(one) == 1 for one, by_itself in zip(given, single, strict=True) if by_itself)


def test_no_trial_is_lost_and_those_of_no_group_come_one_by_one() -> None:
    _, order = grouped(60, 4)
    order.begin(2)  # type: ignore[attr-defined]
    seen: list[Assignment] = []
    while given := order.ask(Ready(0, 16)):  # type: ignore[attr-defined]
        assert len(given) == 1 or given[0].config["a"] != 0
        seen += given
    assert sorted(one.number for one in seen) == list(range(60))
    assert not order.busy()  # type: ignore[attr-defined]


def test_the_last_trials_are_shared_among_workers() -> None:
    _, order = grouped(12, 2)
    order.begin(4)  # type: ignore[attr-defined]
    assert len(order.ask(Ready(0, 16))) <= 3  # type: ignore[attr-defined]


def test_a_trial_whose_worker_was_lost_goes_on_alone() -> None:
    study, order = grouped(40, 2, alone=False)
    order.begin(1)  # type: ignore[attr-defined]
    given = order.ask(Ready(0, 8))  # type: ignore[attr-defined]
    assert len(given) > 1
    for one in given:
        study.lost(one.number, "gone")
    seen: list[Assignment] = []
    while got := order.ask(Ready(0, 8)):  # type: ignore[attr-defined]
        again = [one for one in got if one.attempt > 1]
        assert not again or (len(got) == 1 and got[0].alone)
        seen += got
    assert {one.number for one in given} <= {one.number for one in seen}


def test_lanes_are_judged_against_those_that_arrive_with_them() -> None:
    study = Study({"x": automl.Float(0, 1)}, metric="loss", trials=9, stopper={"name": "asha", "eta": 3}, horizon=9)
    asked = study.ask(n=9)
    points = [Measured(one.number, 1, 1, {"loss": float(9 - k)}) for k, one in enumerate(asked)]  # best comes last
    kinds = [verdict.kind for verdict in study.report_all(points).values()]
    assert kinds == [Kind.STOP] * 6 + [Kind.CONTINUE] * 3


def test_described_tasks_group_without_torch() -> None:
    code = (
        "import sys\nfrom automl.tasks.builtin import BuiltinTask\nfrom automl.core.trial import Metric\n"
        "task = BuiltinTask('mlp', 'digits', 3, Metric('val_loss'))\n"
        "assert task.group({'lr': 1.0, 'width': 3}) == task.group({'lr': 2.0, 'width': 3}) != ''\n"
        "assert task.group({'optimizer': 'muon'}) != task.group({'noise': 0.1}) == task.group({}) != ''\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert BuiltinTask("mlp", "digits", 3, Metric("val_loss"), fuse="never").group is None
