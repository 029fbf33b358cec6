"""The trials that a worker has pulled and that wait for a lane: which of them train together next."""

from collections.abc import Callable
from dataclasses import dataclass, field

from automl.core.messages import ALIKE, Assignment
from automl.core.space import Config
from automl.errors import AutoMLError, EnvironmentProblem
from automl.fused.trial_engine import TrialEngine
from automl.tasks.session import TrainingSession
from automl.worker.worker import Worker

AT_FIRST = 8
"""So many trials are asked for before it is known how many run well together."""


@dataclass(frozen=True)
class Running:
    """The trials that train now, all of one signature.

    Attributes:
        config: of one of them.
        signature: of all of them.
        count: how many there are.
    """

    config: Config
    signature: str
    count: int


@dataclass(frozen=True)
class Admission:
    """Trials that begin now.

    Attributes:
        trials: these, all of one signature.
        signature: a text that is equal for trials that can train together.
        together: whether they share a cohort; False: it is a single trial that trains in one of its own.
    """

    trials: list[Assignment]
    signature: str
    together: bool


@dataclass
class TrialQueue:
    """Waiting trials of any signature, the oldest first.

    Attributes:
        session: says why a trial trains alone.
        worker: where trials come from, and who passes that on to the user.
        engine_of: the engine that trains trials like a config; says how many train well together.
        waiting: the trials.
    """

    session: TrainingSession
    worker: Worker
    engine_of: Callable[[Config], TrialEngine]
    waiting: list[Assignment] = field(default_factory=list)
    _advised: set[str] = field(default_factory=set)
    _most: int = 0  # trials that have trained together here: so many are asked for when all have been paused

    def pull(self, running: Running | None) -> bool:
        """Ask the driver for trials, as many as there is room for; False: nothing runs, and nothing is left to do."""
        if running is None:
            if not self.waiting:
                lanes = 1 if self.session.recipe.fuse == "never" else max(AT_FIRST, self._most)
                self.waiting += self.worker.pull(lanes, fits="" if self.engine_of({}).joins_subgroups else ALIKE)
            return bool(self.waiting)
        engine = self.engine_of(running.config)
        self._most = max(self._most, running.count)
        if engine.runs_together(running.config):
            free = engine.target_lanes(running.config) - running.count - len(self.waiting)
            if free > 0:
                self.waiting += self.worker.pull(free, busy=True, fits=running.signature)
        return True

    def put_first(self, trials: list[Assignment]) -> None:
        """Let these trials wait before all others."""
        self.waiting[:0] = trials

    def admission(self, running: Running | None) -> Admission | None:
        """Take out the trials that begin now: those that can join `running`; if nothing runs, the oldest trial's kind.

        Raises:
            EnvironmentProblem: `fuse: require`, and trials that cannot train together.
        """
        if not self.waiting:
            return None
        if running is None:
            chosen = self._new_cohort()
        elif grown := [one for one in self.waiting if self.session.recipe.is_grown(one.config)]:
            chosen = Admission(grown[:1], "", together=False)  # takes its turn; those that run wait for it
        elif not (engine := self.engine_of(running.config)).runs_together(running.config):
            return None  # no trial can join one that trains alone
        else:
            free = max(0, engine.target_lanes(running.config) - running.count)
            trials = self._of_signature(engine, running.signature)
            chosen = Admission(trials[:free], running.signature, together=True)
        for trial in chosen.trials:
            self.waiting.remove(trial)
        return chosen

    def _new_cohort(self) -> Admission:
        first = self.waiting[0]
        try:
            engine = self.engine_of(first.config)
        except AutoMLError:  # its data cannot be prepared so: the trial will fail, and say why
            return Admission([first], "", together=False)
        signature = engine.signature(first.config)
        trials = [first] if first.alone else self._of_signature(engine, signature)
        reason = self._why_alone(engine, trials)
        if reason is None:
            return Admission(trials[: engine.target_lanes(first.config)], signature, together=True)
        if reason and reason not in self._advised:  # the user is told once
            self._advised.add(reason)
            self.worker.report((), advice=(reason,))
        return Admission([first], signature, together=False)

    def _of_signature(self, engine: TrialEngine, signature: str) -> list[Assignment]:
        return [one for one in self.waiting if not one.alone and engine.signature(one.config) == signature]

    def _why_alone(self, engine: TrialEngine, trials: list[Assignment]) -> str | None:
        """Why the trials run one by one (empty: the user need not know); None where they run together."""
        fuse = self.session.recipe.fuse
        if self.session.recipe.is_grown(trials[0].config):
            return ""
        if reason := self.session.why_alone(trials[0].config):
            if fuse == "require":
                raise EnvironmentProblem(f"fuse: require, but {reason}")
            return reason if fuse == "auto" else ""
        if trials[0].alone:
            return ""
        try:
            return engine.reason_to_run_alone([one.config for one in trials])
        except AutoMLError:
            if fuse == "require":
                raise
            return ""  # the config is at fault: its trial will fail, and say why
