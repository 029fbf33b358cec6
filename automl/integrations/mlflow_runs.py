"""MLflow: a run for the study, and below it one for each trial with its hyperparameters and curves."""

import time
from dataclasses import dataclass, field
from typing import Any

from automl.core.trial import State, TrialRecord
from automl.errors import EnvironmentProblem
from automl.integrations.loggers import finalist_values
from automl.study.reader import Readable

ENDS = {State.DONE: "FINISHED", State.STOPPED: "KILLED", State.FAILED: "FAILED"}
BATCH = 1000  # most metrics MLflow takes at once
STUDY, TRIAL = "automl.study", "automl.trial"


@dataclass
class Mlflow:
    """Records a search with MLflow.

    Args:
        uri: of the tracking server or folder; default: `MLFLOW_TRACKING_URI`.
        experiment: its name; default: the study's name.

    Raises:
        EnvironmentProblem: mlflow is not installed.
    """

    uri: str = ""
    experiment: str = ""
    _client: Any = field(default=None, init=False, repr=False)
    _experiment: str = field(default="", init=False, repr=False)
    _parent: str = field(default="", init=False, repr=False)

    def __post_init__(self) -> None:
        try:
            from mlflow import MlflowClient
        except ImportError as error:
            raise EnvironmentProblem("mlflow is not installed: pip install 'automl-search[loggers]'") from error
        self._client = MlflowClient(self.uri or None)

    def begin(self, study: Readable) -> None:
        """Begin the study's run, or go on in that of an earlier session, and add trials that are missing there."""
        name = self.experiment or study.name
        existing = self._client.get_experiment_by_name(name)
        self._experiment = existing.experiment_id if existing else self._client.create_experiment(name)
        which = str(study.path.absolute()) if study.path else study.name
        parents = self._search(f"tags.`{STUDY}` = '{_quoted(which)}'")
        if parents:
            self._parent = parents[0].info.run_id
            self._client.update_run(self._parent, status="RUNNING")
        else:
            tags = {STUDY: which, "metric": study.metric.name, "direction": study.metric.direction}
            self._parent = self._client.create_run(self._experiment, tags=tags, run_name=study.name).info.run_id
        recorded = {run.data.tags.get(TRIAL) for run in self._search(f"tags.`mlflow.parentRunId` = '{self._parent}'")}
        for record in study.history.trials:
            if record.state.ended and str(record.number) not in recorded:
                self.ended(study, record)

    def ended(self, study: Readable, record: TrialRecord) -> None:
        """Record a trial as a run below the study's."""
        from mlflow.entities import Metric, Param

        tags = {"mlflow.parentRunId": self._parent, TRIAL: str(record.number), "state": record.state.value}
        if record.reason or record.failure:
            tags["reason"] = (record.reason or f"{record.failure}")[:500]
        run = self._client.create_run(self._experiment, tags=tags, run_name=f"t{record.number:04d}").info.run_id
        now = int(time.time() * 1000)
        points = [
            Metric(_named(name), value, now, step)
            for step, metrics in study.reports(record.number)
            for name, value in metrics.items()
        ]
        params = [Param(_named(name), str(value)[:500]) for name, value in record.config.items()]
        self._client.log_batch(run, params=params)
        for k in range(0, len(points), BATCH):
            self._client.log_batch(run, metrics=points[k : k + BATCH])
        self._client.set_terminated(run, ENDS[record.state])

    def finish(self, study: Readable, outcome: str) -> None:
        """Record the winner and what the finalists say about it."""
        for name, value in finalist_values(study).items():
            self._client.log_metric(self._parent, _named(name), value)
        winner = study.winner
        if winner is not None and winner.loss is not None:
            self._client.set_tag(self._parent, "winner", f"t{winner.number:04d}")
            self._client.log_metric(self._parent, _named(study.metric.name), study.metric.value(winner.loss))
        self._client.set_terminated(self._parent, "FINISHED" if outcome == "finished" else "KILLED")

    def _search(self, condition: str) -> list[Any]:
        """All runs of the experiment that fulfil the condition."""
        runs, token = [], None
        while True:
            page = self._client.search_runs([self._experiment], condition, max_results=1000, page_token=token)
            runs += list(page)
            if not (token := page.token):
                return runs


def _named(name: str) -> str:
    """The name as MLflow takes it: with letters, digits and `_-./ :` only."""
    return "".join(c if c.isalnum() or c in "_-./ :" else "_" for c in name)


def _quoted(text: str) -> str:
    """The text between quotes in a condition."""
    return text.replace("'", "\\'")
