"""Loggers: told of everything, unable to hurt; TensorBoard, MLflow and W&B through their own readers."""

import json
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import automl
from automl.core.trial import TrialRecord
from automl.errors import UnknownPlugin
from automl.study.study import Study
from tests.support.patience import PATIENCE_S

SPACE = {"x": automl.Float(0, 1), "kind": automl.Choice(["a", "b"])}
OFF = pytest.mark.filterwarnings("ignore")  # other people's packages


def train(trial: automl.Trial) -> None:
    for step in trial.steps(3):
        if trial.number == 2:
            raise RuntimeError("broken")
        trial.report(loss=trial["x"] / step, other=1.0)


def search(path: Path, *loggers: object, trials: int = 5, **options: object) -> Study:
    return automl.search(
        train, space=SPACE, metric="loss", trials=trials, path=path, executor="inline", seed=1,
        finalists={"top": 2, "seeds": 2}, loggers=loggers, **options,
    )  # fmt: skip


@dataclass
class Diary:
    lines: list[str] = field(default_factory=list)

    def begin(self, study: Study) -> None:
        self.lines.append("begin")

    def ended(self, study: Study, record: TrialRecord) -> None:
        self.lines.append(f"{record.number} {record.state}")

    def finish(self, study: Study, outcome: str) -> None:
        self.lines.append(f"{outcome}, judged: {study.verdict is not None}")


class Broken(Diary):
    def ended(self, study: Study, record: TrialRecord) -> None:
        self.lines.append("asked")
        raise ConnectionError("the server is gone")


@dataclass
class Notes:
    seen: list[str] = field(default_factory=list)

    def begin(self, study: Study) -> None: ...
    def ended(self, study: Study, record: TrialRecord) -> None: ...
    def tick(self, study: Study, workers: object) -> None: ...
    def note(self, text: str) -> None:
        self.seen.append(text)

    def finish(self, study: Study, outcome: str) -> None: ...


def test_a_logger_is_told_of_each_trial_once_and_of_the_verdict(tmp_path: Path) -> None:
    diary = Diary()
    search(tmp_path / "s", diary)
    assert diary.lines == ["begin", "0 done", "1 done", "2 failed", "3 done", "4 done", "finished, judged: True"]


def test_a_failing_logger_is_told_of_once_and_hurts_nobody(tmp_path: Path) -> None:
    broken, notes = Broken(), Notes()
    study = search(tmp_path / "s", broken, screen=notes)
    assert study.counts.done == 4
    assert broken.lines == ["begin", "asked"]
    assert [n for n in notes.seen if "ConnectionError" in n] == [
        "logger Broken failed and is left out from now on (ConnectionError: the server is gone)"
    ]


def test_an_unknown_logger_is_told_before_the_search(tmp_path: Path) -> None:
    with pytest.raises(UnknownPlugin, match="did you mean 'tensorboard'"):
        search(tmp_path / "s", "tensorbord")
    assert not (tmp_path / "s").exists()


@OFF
@pytest.mark.slow
def test_tensorboard_shows_curves_and_hyperparameters(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    search(tmp_path / "s")  # an earlier session, without the logger
    study = search(tmp_path / "s", "tensorboard", trials=7)
    folder = tmp_path / "s" / "tensorboard"
    assert sorted(p.name for p in folder.iterdir()) == [*(f"t{k:04d}" for k in range(7)), "winner"]
    for record in study.history.done:
        read = EventAccumulator(str(folder / f"t{record.number:04d}")).Reload()
        points = [(e.step, e.value) for e in read.Scalars("loss")]
        assert [s for s, _ in points] == [1, 2, 3]
        assert [v for _, v in points] == pytest.approx([loss for _, loss in record.curve])
        assert read.PluginTagToContent("hparams")
    assert EventAccumulator(str(folder / "winner")).Reload().Scalars("fresh_mean")
    assert {"t0000", "t0006", "winner"} <= set(served(folder))


def served(folder: Path) -> dict[str, object]:
    """The runs with scalars that a real TensorBoard on `folder` shows."""
    from tensorboard import program

    board = program.TensorBoard()
    board.configure(argv=[None, "--logdir", str(folder), "--port", "0", "--host", "127.0.0.1"])
    url = board.launch()
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"{url}data/plugin/scalars/tags", timeout=30) as answer:
            tags: dict[str, object] = json.load(answer)
        if tags.keys() >= {"t0000", "t0006", "winner"}:
            break
        time.sleep(0.5)
    return tags


@OFF
@pytest.mark.slow
def test_mlflow_has_a_run_for_each_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    logger = {"name": "mlflow", "uri": f"sqlite:///{tmp_path}/mlflow.db"}
    search(tmp_path / "s", logger)
    study = search(tmp_path / "s", logger, trials=7)  # goes on in the same run
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("s").experiment_id])
    parents = [r for r in runs if "mlflow.parentRunId" not in r.data.tags]
    children = {int(r.data.tags["automl.trial"]): r for r in runs if "mlflow.parentRunId" in r.data.tags}
    assert len(parents) == 1
    assert len(runs) == 8
    assert sorted(children) == list(range(7))
    assert children[2].info.status == "FAILED"
    assert "RuntimeError: broken" in children[2].data.tags["reason"]
    one = study.history.trials[4]
    assert children[4].data.params == {"x": str(one.config["x"]), "kind": one.config["kind"]}
    points = client.get_metric_history(children[4].info.run_id, "loss")
    assert {p.step: p.value for p in points} == pytest.approx(dict(one.curve))
    assert parents[0].data.tags["winner"] == f"t{study.winner.number:04d}"  # type: ignore[union-attr]
    assert "fresh_mean" in parents[0].data.metrics


@OFF
@pytest.mark.slow
def test_wandb_writes_a_run_for_each_trial(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    search(tmp_path / "s", {"name": "wandb", "mode": "offline"})
    runs = list((tmp_path / "s" / "wandb").glob("offline-run-*"))
    assert len(runs) == 6


def test_the_entry_points_name_what_is_there() -> None:
    from automl.core import plugins

    assert {"tensorboard", "mlflow", "wandb"} <= set(plugins.names("loggers"))
    for name in ("tensorboard", "mlflow", "wandb"):
        assert plugins.load("loggers", name).__doc__
    assert json.dumps(plugins.names("loggers"))
