"""The runs of one side on fresh seeds, as a study of its own, so that each run is in a ledger."""

from dataclasses import dataclass
from pathlib import Path

from automl.core import plugins, seeds
from automl.core.plugins import Described
from automl.core.trial import Metric, State, TrialRecord
from automl.driver.driver import Driver
from automl.driver.screen import NullScreen
from automl.driver.signals import Interrupted
from automl.errors import EnvironmentProblem, SearchFailed
from automl.evaluation.schedules import Repeat
from automl.judging.sides import Side
from automl.study.study import Study
from automl.tasks.command import CommandTask

SEED_BITS = 31
"""Seeds of programs are small enough for every random number generator, numpy's included."""


@dataclass(frozen=True)
class Runs:
    """The training runs of the baseline or of the candidate.

    Attributes:
        side: the config or program that is trained.
        metric: what is measured.
        folder: the study that holds the runs.
        seed: the seeds of the runs are derived from it; it is the same for baseline and candidate.
        executor, workers: replace those of `side`; None: those of `side`.
    """

    side: Side
    metric: Metric
    folder: Path
    seed: int
    executor: Described | None = None
    workers: int | None = None

    def values(self, seeds_wanted: int) -> list[float]:
        """Train until there are `seeds_wanted` runs; returns the metric of each, in the order of the seeds.

        Raises:
            RunFailed: a run failed; says why.
            Interrupted: by a signal.
        """
        with self._study(seeds_wanted) as study:
            missing = seeds_wanted - len(study.history) + len(study.history.running)
            if missing > 0:
                self._train(study, missing)
            records = study.history.trials[:seeds_wanted]
            for record in records:
                if record.state is not State.DONE or record.loss is None:
                    reason = record.failure.message if record.failure else record.reason or record.state
                    raise RunFailed(f"{self.side.name} failed with seed {self._seed_of(record)}: {reason}")
            return [self.metric.value(record.loss) for record in records if record.loss is not None]

    def _train(self, study: Study, missing: int) -> None:
        several = (self.workers or 1) > 1 and self.side.executor == "inline"
        executor = plugins.make("executors", self.executor or ("local" if several else self.side.executor))
        workers = self.workers or self.side.workers or executor.usual() or 1
        driver = Driver(
            study, self.side.task, executor, min(workers, missing), NullScreen(),
            trial_timeout_s=self.side.trial_timeout_s,
        )  # fmt: skip
        try:
            driver.run()
        except Interrupted as error:
            raise Interrupted("stopped; this judgement does not count", error.exit_code) from None
        except SearchFailed as error:
            raise RunFailed(f"{self.side.name} failed: {error}") from error
        except OSError as error:
            raise EnvironmentProblem(str(error)) from error

    def _study(self, seeds_wanted: int) -> Study:
        options = self.side.options
        return Study(
            self.side.space,
            metric=self.metric,
            strategy=Repeat.of((self.side.config,), seeds_wanted),
            horizon=self.side.horizon,
            seed=self.seed,
            value=str(options.get("value", "last")),
            path=self.folder,
            retries=int(options.get("retries", 1)),
            defaults=False,
            seed_of=self._seed_of,
            accept_changes=True,
        )

    def _seed_of(self, record: TrialRecord) -> int:
        return seed_of(self.seed, record.number, small=isinstance(self.side.task, CommandTask))


def seed_of(seed: int, pair: int, *, small: bool = False) -> int:
    """The seed of both runs of a pair."""
    made = seeds.derive(seed, pair, "judge")
    return made % 2**SEED_BITS if small else made


class RunFailed(SearchFailed):
    """A run of one side failed; the message says with which seed, and why."""
