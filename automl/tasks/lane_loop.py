"""A worker's loop for trials that train together: each trial is a lane of a cohort, all train one epoch at a time.

Each epoch: free lanes are filled with trials that fit, all lanes train, one message reports them all, one answer says
which stop, pause or go on. With `fuse: never` it is the same loop with one lane: the same numbers, slower.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from automl.core.messages import Assignment, Broken, Outcome
from automl.core.stopper import Kind
from automl.core.trial import Cost, Failure
from automl.errors import AutoMLError
from automl.fused.lane import LaneState
from automl.fused.problem import Entry
from automl.fused.report import EpochReport
from automl.fused.trial_engine import TrialEngine
from automl.tasks.lanes.engines import Engines
from automl.tasks.lanes.parking import Parking
from automl.tasks.session import TrainingSession
from automl.tasks.trial_queue import Admission, Running, TrialQueue
from automl.training import gpu
from automl.training.loop.best_epoch import BestEpoch
from automl.worker.failures import failure_of, kind_of, spoiled_by
from automl.worker.meter import Meter
from automl.worker.trial import Trial
from automl.worker.worker import Worker, ending_of

SAVING_SHARE = 0.03
"""At most this share of the time may go into checkpoints."""
DIGITS = 6
"""Significant digits of what is reported: a lane has the same bits in a cohort of any size, but alone it rounds
differently."""


def serve(session: TrainingSession, worker: Worker) -> None:
    """Pull the worker's trials and train them together as far as they can, until there are no more."""
    engines = Engines(session, worker.place.folder)
    LaneLoop(session, worker, engines.of, TrialQueue(session, worker, engines.of), engines.free).serve()


@dataclass
class TrialLane:
    """A trial that trains in a lane here.

    Attributes:
        trial: this attempt.
        best: keeps the weights that count.
        signature: of the trials that it can train with.
        cohort: the number of its cohort, counted in this worker.
        cost: of the epochs that were done in this attempt: its share of what the cohort took.
        most: the most lanes that its cohort has had.
    """

    trial: Trial
    best: BestEpoch
    signature: str
    cohort: int
    cost: Cost = field(default_factory=lambda: Cost(0.0))
    most: int = 1


@dataclass
class LaneLoop:
    """The loop of one worker.

    Attributes:
        session: loads and saves; trains those that cannot be a lane.
        worker: where trials come from.
        engine_of: the engine that trains trials like a config.
        queue: trials that wait for a lane.
        free: lets go of what is kept and not in use, after memory ran out.
        lanes: those that train, by trial number.
        cohort: the number of the cohort that runs.
        every_s: training time between two checkpoints.
        once_more: trials that have begun again alone after memory ran out, with their attempts.
        parking: the states of trials that were paused here.
        meter: measures what an epoch takes.
    """

    session: TrainingSession
    worker: Worker
    engine_of: Callable[[Mapping[str, Any]], TrialEngine]
    queue: TrialQueue
    free: Callable[[], None] = gpu.free
    lanes: dict[int, TrialLane] = field(default_factory=dict)
    cohort: int = 0
    every_s: float = 0.0
    once_more: set[tuple[int, int]] = field(default_factory=set)
    parking: Parking = field(default_factory=Parking)
    meter: Meter = field(default_factory=lambda: Meter(()))

    def serve(self) -> None:
        """Returns when the driver has no more trials."""
        self.meter = self.worker.meter()
        self.every_s = self.session.recipe.checkpoint_s
        saved_at = time.monotonic()
        try:
            while self.queue.pull(self._running()):
                self._admit()
                if not self.lanes:
                    continue
                self._epoch(save=time.monotonic() - saved_at > self.every_s)
                if time.monotonic() - saved_at > self.every_s:
                    saved_at = time.monotonic()
        except AutoMLError as error:  # `fuse: require`, and trials that cannot train together
            self.worker.link.send(Broken(self.worker.place.worker, error))

    @property
    def engine(self) -> TrialEngine:
        """The engine of the trials that train now."""
        return self.engine_of(next(iter(self.lanes.values())).trial.config)

    def _running(self) -> Running | None:
        lane = next(iter(self.lanes.values()), None)
        return None if lane is None else Running(dict(lane.trial.config), lane.signature, len(self.lanes))

    # -- trials come -------------------------------------------------------------------------------------------------

    def _admit(self) -> None:
        """Let trials from the queue join those that run, or begin a new cohort where none does."""
        admission = self.queue.admission(self._running())
        if admission is None:
            return
        self.cohort += not self.lanes
        for k, assignment in enumerate(admission.trials):
            if not self._begin(assignment, admission):
                self.queue.put_first(admission.trials[k + 1 :])
                break

    def _begin(self, assignment: Assignment, admission: Admission) -> bool:
        """Give one trial a lane, or train it to its end where it cannot have one.

        Returns:
            False: memory ran out, and the trial waits again.
        """
        trial = Trial(assignment, self.worker.place, self.worker.link)
        lane = TrialLane(trial, self.session.best_epoch(), admission.signature, self.cohort)
        entered = False
        with self.worker.capture(trial.number), ending_of(trial) as ending:  # user code builds the model
            if self.session.why_alone(assignment.config):
                self.session.run(trial)
            else:
                trial.known = self.session.costs(assignment.config)
                entered = self._enter(lane, together=admission.together)
        if entered:
            self.lanes[trial.number] = lane
        elif (again := self._again(trial, ending.failure)) is not None:
            self.queue.put_first([assignment if self.lanes else again])
            return False
        else:
            self.worker.end(trial, ending.outcome, ending.failure)
        return True

    def _again(self, trial: Trial, failure: Failure | None) -> Assignment | None:
        """The trial, to begin again; None where memory did not run out, or ran out when it began again alone.

        What was kept beside it may have been in its way, so that is let go of first.
        """
        attempt = (trial.number, trial.attempt)
        if failure is None or failure.kind != "oom" or (not self.lanes and attempt in self.once_more):
            return None
        if not self.lanes:
            self.once_more.add(attempt)
        self.free()
        return _once_more_alone(trial)

    def _enter(self, lane: TrialLane, *, together: bool) -> bool:
        """Give the trial to the engine, from its checkpoint where it has one; False: it is at its end already."""
        trial = lane.trial
        parked = self.parking.of(trial)
        saved: dict[str, Any] | None = None if parked is not None else trial.load()
        if saved is not None and "solo" in saved:  # it was trained alone, by a version without lanes
            self.session.run(trial)
            return False
        best = parked.best if parked is not None else saved["best"] if saved is not None else None
        if best is not None and not trial.inherited:
            lane.best.load(best)
            if lane.best.is_over(trial.step):  # the process was stopped with the last epoch
                self.session.save_if_wanted(trial, lane.best)
                return False
        state = None if saved is None else LaneState.from_dict(saved["lane"])
        state = state if parked is None else parked.state
        epochs = self.session.recipe.epochs
        trial.horizon = epochs
        entry, engine = Entry(trial.number, trial.config, trial.seed, epochs, state), self.engine_of(trial.config)
        try:
            engine.admit([entry], together)
        except ValueError:  # shapes differ from what the signature says, as they may for a user's model
            if not together:
                raise
            engine.admit([entry], together=False)
        return True

    # -- an epoch ----------------------------------------------------------------------------------------------------

    def _epoch(self, *, save: bool) -> None:
        """Train all lanes for one epoch, and do what the driver answers; `save`: write checkpoints."""
        self.meter.restart()
        alone = next(iter(self.lanes)) if len(self.lanes) == 1 else None
        try:
            with self.worker.capture(alone):
                self.engine.split_small_groups()
                result = self.engine.run_epoch()
        except Exception as error:  # user code, or the device
            self._failed(error)
            return
        spent, count = self.meter.read(), len(result.trials)
        seconds, share = spent["seconds"], Cost(**{name: value / count for name, value in spent.items()}, steps=1)
        for number in result.trials:
            lane = self.lanes[number]
            lane.cost = lane.cost.plus(share)
            lane.most = max(lane.most, self.engine.num_lanes(number))
        answers = self._report(result, seconds)
        for number, status in zip(result.trials, result.status, strict=True):
            message = result.messages[number] if status == "diverged" else ""
            self._after(self.lanes[number], answers.get(number, Kind.STOP), diverged=message, save=save)

    def _report(self, result: EpochReport, seconds: float) -> dict[int, Kind]:
        """Report all lanes that did not diverge; returns the answer for each."""
        points, measured = [], {}
        for i, (number, status) in enumerate(zip(result.trials, result.status, strict=True)):
            if status != "diverged":
                values = {name: float(f"{column[i]:.{DIGITS}g}") for name, column in result.metrics.items()}
                wanted = self.session.recipe.metric.name
                measured[number] = {n: v for n, v in values.items() if v == v or n == wanted}
        epochs = dict(zip(result.trials, result.epochs, strict=True))
        better = [n for n, metrics in measured.items() if self.lanes[n].best.wants(epochs[n], metrics)]
        weights = self.engine.weights_of(better) if better else {}
        for number, metrics in measured.items():
            lane, trial, epoch = self.lanes[number], self.lanes[number].trial, epochs[number]
            lane.best.update(epoch, metrics, partial(weights.pop, number))
            if lane.best.is_over(epoch):
                trial.horizon = epoch  # its last one: the stopper is not asked
            points.append(trial.point(epoch, metrics))
        if not points:
            return {}
        speed = result.lane_steps / max(seconds, 1e-9)
        note = f"cohort {self.cohort}: {len(points)} lanes, {speed:,.0f} steps/s" if len(points) > 1 else ""
        verdicts = self.worker.report(points, note)
        return {point.trial: self.lanes[point.trial].trial.apply(verdicts) for point in points}

    def _after(self, lane: TrialLane, answer: Kind, *, diverged: str, save: bool) -> None:
        """Close the lane, or save its state, or both; `diverged`: why it cannot go on, or empty."""
        trial, outcome, failure = lane.trial, None, None
        try:
            if diverged:
                outcome, failure = Outcome.FAILED, Failure("nan", diverged, trial.step)
            elif answer is Kind.STOP:
                self._save_partial(lane)
                outcome = Outcome.STOPPED
            elif answer is Kind.PAUSE:
                self._save(lane, park=True)
                self._save_partial(lane)
                outcome = Outcome.PAUSED
            elif lane.best.is_over(trial.step):
                self.session.save_if_wanted(trial, lane.best)
                outcome = Outcome.FINISHED
            elif save:
                self._save(lane)
        except Exception as error:  # the disk
            outcome, failure = Outcome.FAILED, failure_of(error, trial)
        if outcome is not None:
            self._leave(lane, outcome, failure)

    def _leave(self, lane: TrialLane, outcome: Outcome, failure: Failure | None) -> None:
        slot = self.engine.slot(lane.trial.number)
        self.engine.release([lane.trial.number])
        del self.lanes[lane.trial.number]
        speed = self.session.rates(lane.trial.config, lane.cost.steps, lane.cost.seconds)
        spent = {name: round(value, 4) for name, value in asdict(lane.cost).items() if value is not None}
        lane.trial.details = {"cohort": lane.cohort, "lanes": lane.most, "lane": slot, "signature": lane.signature,
                              **spent, **speed}  # fmt: skip
        self.worker.end(lane.trial, outcome, failure)

    def _save_partial(self, lane: TrialLane) -> None:
        """Save the model of a trial that leaves before its full length, if it may be wanted."""
        if lane.trial.model_wanted:
            self.session.save_partial(lane.trial, lane.best, partial(self.engine.weights, lane.trial.number))

    def _save(self, lane: TrialLane, *, park: bool = False) -> None:
        """Write a checkpoint; if that took long, the next ones come later. `park`: keep the state in memory too."""
        if lane.trial.folder is None:
            return
        begun = time.monotonic()
        state = self.engine.snapshot([lane.trial.number])[lane.trial.number]
        best = lane.best.state()
        lane.trial.save({"lane": state.to_dict(), "best": best})
        if park:
            self.parking.put(lane.trial, state, best)
        spent = (time.monotonic() - begun) * len(self.lanes)
        self.every_s = max(self.session.recipe.checkpoint_s, spent / SAVING_SHARE)

    def _failed(self, error: Exception) -> None:
        """The epoch raised an error. A single trial has failed; several begin again alone, so that only one fails."""
        lanes, single = list(self.lanes.values()), len(self.lanes) == 1
        if spoiled_by(error) and not (single and kind_of(error) != "device"):
            raise error  # nothing trains in this process any more; the driver starts another, where each begins alone
        engine = self.engine
        engine.release([number for number in self.lanes if number in engine.trials])
        self.lanes.clear()
        if single:
            failure = failure_of(error, lanes[0].trial)
            again = self._again(lanes[0].trial, failure)
            if again is None:
                self.worker.end(lanes[0].trial, Outcome.FAILED, failure)
            else:
                self.queue.put_first([again])
        else:
            self.queue.put_first([_once_more_alone(lane.trial) for lane in lanes])


def _once_more_alone(trial: Trial) -> Assignment:
    """The same attempt, to be trained in a cohort of its own."""
    return Assignment(trial.number, dict(trial.config), trial.attempt, trial.seed, trial.step, alone=True)
