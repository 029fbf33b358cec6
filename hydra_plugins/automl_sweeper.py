"""The sweeper `automl` of Hydra: `python train.py -m hydra/sweeper=automl`. Hydra finds it by the name of this package.

Every Hydra program imports this file when it starts, so it imports nothing heavy; `automl.sweeping` does the work.
"""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

__all__ = ["AutomlSweeper", "AutomlSweeperConf"]


@dataclass
class AutomlSweeperConf:
    """The keys of `hydra.sweeper`, see docs/howto/hydra.md. None: what `automl.search` does by itself.

    Attributes:
        params: {key: values in Hydra's own syntax}, e.g. `model.lr: tag(log, interval(1e-4, 1e-1))`.
        space: {key: parameter as in space.yaml}, e.g. `model.lr: {float: [1e-4, 1e-1], log: true}`.
        metric: what the job returns is called so; a list names the entries of a tuple.
        direction: minimize or maximize; a list for several objectives.
        trials, time, epochs: the budget. Without one all combinations run, where they can be counted.
        strategy, stopper, executor, workers, seed, value, horizon, retries, trial_timeout, isolation, deterministic,
            loggers: as in `automl.search`.
        n_trials, n_jobs: the names that Hydra's Optuna sweeper has for trials and workers.
        storage, study_name, sampler, max_failure_rate: of that sweeper, too; they are not used, which is said.
    """

    _target_: str = "hydra_plugins.automl_sweeper.AutomlSweeper"
    params: Any = field(default_factory=dict)
    space: Any = field(default_factory=dict)
    metric: Any = "value"
    direction: Any = "minimize"
    trials: Any = None
    time: Any = None
    epochs: Any = None
    strategy: Any = None
    stopper: Any = None
    executor: Any = None
    workers: Any = None
    seed: Any = None
    value: Any = None
    horizon: Any = None
    retries: Any = 1
    trial_timeout: Any = None
    isolation: Any = "warm"
    deterministic: Any = False
    loggers: Any = field(default_factory=list)
    n_trials: Any = None
    n_jobs: Any = None
    storage: Any = None
    study_name: Any = None
    sampler: Any = None
    max_failure_rate: Any = None


ConfigStore.instance().store(group="hydra/sweeper", name="automl", node=AutomlSweeperConf, provider="automl")


class AutomlSweeper(Sweeper):
    """Searches the space with automl's driver: early stopping, resuming, several jobs at once."""

    def __init__(self, **options: Any) -> None:
        self.options = {k: OmegaConf.to_container(v) if OmegaConf.is_config(v) else v for k, v in options.items()}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before `sweep`."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config
        self.launcher = None

    def sweep(self, arguments: list[str]) -> None:
        """Run the search; what the user did wrong ends the program with a message and automl's exit code."""
        from automl.sweeping.sweep import sweep

        assert self.hydra_context is not None
        assert self.config is not None
        sweep(self.hydra_context, self.task_function, self.config, arguments, self.options)
