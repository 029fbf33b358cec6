"""A search that is ready to run: an open study, and all that brings it to its end."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from automl.core import plugins
from automl.core.plugins import Described
from automl.driver.driver import Driver
from automl.driver.screen import DeferredScreen, NullScreen, Screen
from automl.errors import EnvironmentProblem
from automl.evaluation import finalists
from automl.evaluation.candidates import FinalistOptions
from automl.evaluation.pack import Pack, PackOptions
from automl.integrations.loggers import LoggingScreen
from automl.study import winner
from automl.study.study import Study
from automl.tasks.builtin import BuiltinTask
from automl.worker.worker import Task


@dataclass(frozen=True)
class Search:
    """A study with its task, and how it is trained.

    Attributes:
        study: open; `run` closes it.
        task: what a trial trains.
        executor: where trials run, as `plugins.make` takes it.
        workers: how many; 0: as many as the executor finds devices or cores for.
        screen: shows the search; None: nothing does.
        finalists: what follows the search; None: its best trial is the winner.
        pack: how the winner is made where it is an ensemble; then there are no finalists. None: it is one model.
        trial_timeout_s: an attempt that takes longer has failed.
        fresh: a fresh process for every trial.
    """

    study: Study
    task: Task
    executor: Described = "local"
    workers: int = 0
    screen: Screen | None = None
    finalists: FinalistOptions | None = None
    pack: PackOptions | None = None
    trial_timeout_s: float | None = None
    fresh: bool = False

    def run(self) -> Study:
        """Run the search and its finalists; however that ends, the study is closed.

        Raises:
            AutoMLError: see `Driver.run`.
        """
        study, screen = self.study, self.screen or NullScreen()
        executor = partial(plugins.make, "executors", self.executor)
        pack = self._pack(screen)
        deferred = DeferredScreen(screen)
        try:
            if self.finalists is not None:
                study.budget.finalist_runs = self.finalists.runs
            if pack is not None:
                pack.begin()
            winner.recover(study)
            Driver(
                study,
                self.task,
                executor(),
                self.workers,
                deferred if self.finalists or pack else screen,
                winner.keep_best if pack is None else pack.trial_ended,
                trial_timeout_s=self.trial_timeout_s,
                fresh=self.fresh,
            ).run()
            if self.finalists is not None or pack is not None:
                outcome = "interrupted"
                try:
                    if pack is not None:
                        pack.finish()
                    elif self.finalists is not None:
                        finalists.run(study, self.task, executor, self.workers, self.finalists, screen)
                    outcome = deferred.outcome
                finally:
                    screen.finish(study, outcome)
        except OSError as error:
            raise EnvironmentProblem(f"{error}; what was found up to there is saved") from error
        finally:
            study.close()
        return study

    def _pack(self, screen: Screen) -> Pack | None:
        """The ensemble that is the winner, where there is to be one; only built-in training saves models for it."""
        if self.pack is None or not isinstance(self.task, BuiltinTask):
            return None
        return Pack(self.study, self.task, self.pack, screen)


def screen_for(screen: Screen | None, loggers: "Sequence[Described]") -> Screen | None:
    """What a search is shown on: `screen`, else the live screen if stderr is a terminal, else nothing; and the loggers.

    Raises:
        EnvironmentProblem: a logger is not installed.
    """
    if screen is None and sys.stderr.isatty():
        from automl.view.screens import choose

        screen = choose.screen(block=False)
    if not loggers:
        return screen
    return LoggingScreen(screen or NullScreen(), {_name(one): plugins.make("loggers", one) for one in loggers})


def _name(logger: Described) -> str:
    if isinstance(logger, str):
        return logger
    return str(logger.get("name")) if isinstance(logger, Mapping) else type(logger).__name__
