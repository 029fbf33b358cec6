"""The finalists: which trials are trained again on fresh seeds, how often, and how they did."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean

import numpy as np

from automl.core.history import History
from automl.core.objectives.goals import Objectives
from automl.core.space import Space, Value
from automl.core.trial import Metric, State, TrialRecord, Vector, schedule_of
from automl.evaluation.schedules import Schedule, ended, key
from automl.study import paths
from automl.study.study import Study


@dataclass(frozen=True)
class FinalistOptions:
    """What is done after the search.

    Attributes:
        top: how many of the best trials become finalists.
        seeds: fresh seeds that each of them is trained with.
        refit: whether the model that is saved is trained on the validation rows too.
        ensemble: the maximum size of the ensemble; 0: no ensemble.
        target_fidelity: what replaces the search's values, `{"width": 1024}` (see `automl.specfile.fidelity`).
    """

    top: int = 5
    seeds: int = 3
    refit: bool = False
    ensemble: int = 0
    target_fidelity: Mapping[str, Value] = field(default_factory=dict)

    @property
    def runs(self) -> int:
        """How many runs there are at most."""
        return self.top * self.seeds

    def schedule(self, history: History, trial: TrialRecord) -> Schedule:
        """What a finalist is trained with: that of the search's `trial`, at the target fidelity."""
        stages = schedule_of(history.trials, trial.number)
        return tuple(replace(stage, config={**stage.config, **self.target_fidelity}) for stage in stages)

    def space(self, study: Study) -> Space:
        """The space that the finalists' configs lie in."""
        return study.space.fixed(self.target_fidelity)


@dataclass(frozen=True)
class Finalist:
    """A trial of the search and its runs on fresh seeds.

    Attributes:
        trial: the trial of the search.
        runs: the runs that ended well, records of the finalists' study, by seed.
        wanted: how many runs there should be.
    """

    trial: TrialRecord
    runs: tuple[TrialRecord, ...]
    wanted: int

    @property
    def complete(self) -> bool:
        """Whether no run failed."""
        return len(self.runs) == self.wanted

    @property
    def loss(self) -> float:
        """The mean over fresh seeds, lower is better; infinite where a run failed, so that such a config ranks last."""
        losses = [run.loss for run in self.runs if run.loss is not None]
        return float(np.mean(losses)) if losses and self.complete else float("inf")

    @property
    def vector(self) -> Vector:
        """The means over fresh seeds of all objectives and limited metrics (`Objectives.vector`)."""
        return tuple(float(mean) for mean in np.mean([run.vector for run in self.runs], axis=0))

    def values(self, metric: Metric) -> list[float]:
        """The metric of each run, as shown to the user."""
        return [metric.value(run.loss) for run in self.runs if run.loss is not None]

    def best_model(self, runs: Study) -> Path | None:
        """The saved model of the run that is best on the validation rows; `runs`: the finalists' study."""
        return saved_model(runs, min(self.runs, key=lambda t: (t.loss, t.number)))


def candidates(history: History, top: int) -> list[TrialRecord]:
    """The best `top` trials that ran their full length; of trials with the same config, the better one.

    A config that was tried on several seeds counts by the mean of their losses: one seed may have been lucky.
    With several objectives, trials of the front: the best one and those that alone dominate the largest volumes.
    """
    best: dict[str, TrialRecord] = {}
    losses: dict[str, list[float]] = {}
    done = [t for t in history.done if t.loss is not None]
    for trial in sorted(history.front() or done, key=history.rank_key):
        config = key(schedule_of(history.trials, trial.number))
        best.setdefault(config, trial)
        losses.setdefault(config, []).append(trial.loss or 0.0)
    order = sorted(best, key=lambda one: fmean(losses[one])) if history.objectives.plain else list(best)
    return [best[config] for config in order[:top]]


def ranked(runs: History, trials: Sequence[TrialRecord], history: History, options: FinalistOptions) -> list[Finalist]:
    """The finalists with their runs, the best one first.

    Args:
        runs: the history of the finalists' study.
        trials: the candidates, the search's best one first.
        history: of the search.
        options: how often each one was to be trained.
    """
    finalists = []
    for trial in trials:
        own = ended(runs, options.schedule(history, trial))[: options.seeds]
        finalists.append(Finalist(trial, tuple(t for t in own if t.state is State.DONE), options.seeds))
    if runs.objectives.plain:
        return sorted(finalists, key=lambda f: f.loss)  # stable: of equals, the one that the search ranked first
    return _by_objectives(finalists, runs.objectives)


def _by_objectives(finalists: Sequence[Finalist], objectives: Objectives) -> list[Finalist]:
    """The finalists by their means: the winner, then by their places among each other; incomplete ones last."""
    complete = [f for f in finalists if f.complete and f.runs]
    vectors = [f.vector for f in complete]
    winner, places = objectives.winner(vectors), objectives.places(vectors)[0]
    order = sorted(range(len(complete)), key=lambda k: (k != winner, places[k]))
    return [complete[k] for k in order] + [f for f in finalists if f not in complete]


def seeds_done(runs: History, trials: Sequence[TrialRecord], history: History, options: FinalistOptions) -> int:
    """With how many seeds each of the finalists has been trained, apart from those of which a run failed.

    Fewer than `options.seeds` where the time budget ended before.

    Args:
        runs: the history of the finalists' study.
        trials: the candidates.
        history: of the search.
        options: how often each one was to be trained.
    """
    done = []
    for trial in trials:
        own = ended(runs, options.schedule(history, trial))[: options.seeds]
        if not any(t.state is State.FAILED for t in own):
            done.append(sum(t.state is State.DONE for t in own))
    return min(done, default=options.seeds)


def saved_model(runs: Study, record: TrialRecord) -> Path | None:
    """The bundle that a trial of the study `runs` has saved, if any."""
    if runs.path is None:
        return None
    bundle = paths.bundle(runs.path, record.number)
    return bundle if (bundle / paths.MANIFEST).is_file() else None
