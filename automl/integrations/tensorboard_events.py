"""TensorBoard: a folder of event files for each trial, with its hyperparameters beside its curves."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.core.trial import State, TrialRecord
from automl.errors import EnvironmentProblem, SpecError
from automl.integrations.loggers import finalist_values
from automl.study.reader import Readable

FOLDER = "tensorboard"


@dataclass
class TensorBoard:
    """Records a search as TensorBoard event files.

    Args:
        folder: where to write; default: `tensorboard/` in the study's folder.

    Raises:
        EnvironmentProblem: tensorboard is not installed.
    """

    folder: str = ""

    def __post_init__(self) -> None:
        _writer_class()

    def begin(self, study: Readable) -> None:
        """Record trials that ended in an earlier session without this logger."""
        for record in study.history.trials:
            if record.state.ended and not self._folder_of(study, record).is_dir():
                self.ended(study, record)

    def ended(self, study: Readable, record: TrialRecord) -> None:
        """Write the trial's curves and hyperparameters."""
        with _writer_class()(str(self._folder_of(study, record))) as writer:
            for step, metrics in study.reports(record.number):
                for name, value in metrics.items():
                    writer.add_scalar(name, value, step)
            if record.loss is not None and record.state is not State.FAILED:
                config = {name: _plain(value) for name, value in record.config.items()}
                reached = {f"hparam/{study.metric.name}": study.metric.value(record.loss)}
                writer.add_hparams(config, reached, run_name=".", global_step=record.step)

    def finish(self, study: Readable, outcome: str) -> None:
        """Write what the finalists say about the winner."""
        values = finalist_values(study)
        if values:
            with _writer_class()(str(self._root(study) / "winner")) as writer:
                for name, number in values.items():
                    writer.add_scalar(name, number, 0)

    def _root(self, study: Readable) -> Path:
        if self.folder:
            return Path(self.folder) / study.name
        if study.path is None:
            raise SpecError("a study without a folder needs tensorboard's option `folder`")
        return study.path / FOLDER

    def _folder_of(self, study: Readable, record: TrialRecord) -> Path:
        return self._root(study) / f"t{record.number:04d}"


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else str(value)


def _writer_class() -> Any:
    """TensorBoard's `SummaryWriter`.

    Raises:
        EnvironmentProblem: tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise EnvironmentProblem("tensorboard is not installed: pip install 'automl-search[loggers]'") from error
    return SummaryWriter
