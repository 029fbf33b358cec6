"""One trial as a job of Hydra's: composed, run in its own folder, its result reported."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from automl.core.messages import as_number
from automl.errors import NoReport, TaskError
from automl.sweeping.overrides import Swept
from automl.worker import current
from automl.worker.trial import Trial, TrialStopped

if TYPE_CHECKING:
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig


@dataclass(frozen=True, repr=False)
class Job:
    """The training function of a sweep; it is sent to the workers.

    Attributes:
        context, task, master: what Hydra gave the sweeper: how configs are composed, the program, its config.
        singletons: Hydra's state of the process that began the sweep.
        swept: how a trial's config is told to Hydra.
        folder: `hydra.sweep.dir`, absolute; a job's folder is below it.
        metrics: the names of the entries of a tuple.
    """

    context: "HydraContext"
    task: "TaskFunction"
    master: "DictConfig"
    singletons: Any
    swept: Swept
    folder: str
    metrics: tuple[str, ...]

    def __repr__(self) -> str:
        return "the job"

    def __call__(self, trial: Trial) -> object:
        """Run the program with the trial's config; returns its result as metrics.

        Raises:
            NoReport: it neither reported nor returned anything.
            TaskError: it returned something else than the metrics.
            TrialStopped: it was told to end.
        """
        from hydra.core.singleton import Singleton
        from hydra.core.utils import run_job, setup_globals
        from omegaconf import open_dict

        Singleton.set_state(self.singletons)
        setup_globals()
        config = self.context.config_loader.load_sweep_config(self.master, self.swept.overrides(trial.config))
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = trial.number
            config.hydra.sweep.dir = self.folder
        program = _Program(self.task, trial)
        done = run_job(program, config, "hydra.sweep.dir", "hydra.sweep.subdir", self.context)
        if program.stop is not None:
            raise program.stop
        return self.metrics_of(done.return_value, trial)

    def metrics_of(self, result: object, trial: Trial) -> object:
        """The result as `trial.report` takes it."""
        if trial.reported:
            return result
        if isinstance(result, tuple | list):
            if len(result) != len(self.metrics):
                raise TaskError(
                    f"the job returned {len(result)} values, but hydra.sweeper.metric names {len(self.metrics)}: "
                    f"{', '.join(self.metrics)}"
                )
            return dict(zip(self.metrics, result, strict=True))
        if isinstance(result, Mapping):
            return {str(name): value for name, value in result.items()}
        if as_number(result) is None:
            raise NoReport(
                f"the job returned {'nothing' if result is None else f'a {type(result).__name__}'}; end the function "
                f"that @hydra.main decorates with: return {', '.join(self.metrics)} (or call "
                f"automl.report({', '.join(f'{name}=...' for name in self.metrics)}) in it)"
            )
        return result


@dataclass
class _Program:
    """The user's program; that a trial ends early is no error of it, so that Hydra's callbacks learn of its end."""

    task: "TaskFunction"
    trial: Trial
    stop: TrialStopped | None = None

    def __call__(self, config: Any) -> Any:
        with current.of(self.trial):
            try:
                return self.task(config)
            except TrialStopped as stop:
                self.stop = stop
                return None
