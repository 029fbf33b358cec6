"""Weights & Biases: a run for each trial, in one group for the study."""

from dataclasses import dataclass
from typing import Any

from automl.core.trial import TrialRecord
from automl.errors import EnvironmentProblem
from automl.integrations.loggers import finalist_values
from automl.study.reader import Readable


@dataclass
class Wandb:
    """Records a search with Weights & Biases.

    Args:
        project: of the runs.
        entity: your team; default: your own.
        mode: online, offline or disabled; default: `WANDB_MODE`.

    Raises:
        EnvironmentProblem: wandb is not installed.
    """

    project: str = "automl"
    entity: str = ""
    mode: str = ""

    def __post_init__(self) -> None:
        _wandb()

    def begin(self, study: Readable) -> None:
        """Does nothing: a run begins when its trial has ended."""

    def ended(self, study: Readable, record: TrialRecord) -> None:
        """Record a trial as a run."""
        run = self._run(study, f"t{record.number:04d}", dict(record.config))
        for step, metrics in study.reports(record.number):
            run.log(metrics, step=step)
        run.summary["state"] = record.state.value
        if record.loss is not None:
            run.summary["value"] = study.metric.value(record.loss)
        run.finish(exit_code=1 if record.failure else 0)

    def finish(self, study: Readable, outcome: str) -> None:
        """Record the winner and the evaluation of the finalists as one run named "winner"; nothing without a winner."""
        winner = study.winner
        if winner is None or winner.loss is None:
            return
        run = self._run(study, "winner", dict(winner.config))
        run.log({study.metric.name: study.metric.value(winner.loss), **finalist_values(study)})
        run.finish()

    def _run(self, study: Readable, name: str, config: dict[str, Any]) -> Any:
        wandb = _wandb()
        return wandb.init(
            project=self.project,
            entity=self.entity or None,
            mode=self.mode or None,
            group=study.name,
            name=f"{study.name} {name}",
            config=config,
            dir=str(study.path) if study.path else None,
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off", disable_git=True, disable_code=True),
        )


def _wandb() -> Any:
    """The module `wandb`.

    Raises:
        EnvironmentProblem: it is not installed.
    """
    try:
        import wandb
    except ImportError as error:
        raise EnvironmentProblem("wandb is not installed: pip install 'automl-search[loggers]'") from error
    return wandb
