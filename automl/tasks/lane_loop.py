"""A worker's loop for described tasks: trials of one signature as the lanes of a cohort, an epoch of all at a time.

Each round: free lanes are filled with trials that fit, all lanes train an epoch, one message reports them all, one
answer says which stop, pause or go on. With `fuse: never` it is the same loop with one lane: the same numbers, slower.
"""

import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from automl.core.messages import ALIKE, Assignment, Broken, Outcome, Reported
from automl.core.stopper import Kind
from automl.core.trial import Failure
from automl.errors import AutoMLError, EnvironmentProblem
from automl.fused.engine import Engine
from automl.fused.lane import LaneState
from automl.fused.problem import Entry
from automl.fused.report import Round
from automl.training.best_epoch import Best
from automl.worker.failures import failure_of, kind_of
from automl.worker.link import exchange
from automl.worker.trial import Trial, TrialStopped
from automl.worker.worker import run_trial

if TYPE_CHECKING:
    from automl.tasks.described import DescribedSession
    from automl.worker.worker import Worker

AT_FIRST = 8  # trials asked for before it is known how many run well together
SAVING_SHARE = 0.03  # of the time may go into checkpoints
DIGITS = 6
"""Significant digits of what is reported: a lane is bitwise the same in any bucket, but alone it rounds otherwise."""


@dataclass
class Lane:
    """A trial that trains here. `epochs`: done in this attempt; `seconds`: its share of the rounds so far; `most`: the
    most lanes there were in its cohort."""

    trial: Trial
    best: Best
    signature: str
    cohort: int
    epochs: int = 0
    seconds: float = 0.0
    most: int = 1


@dataclass
class Cohorts:
    """Serves a worker until there are no more trials."""

    session: "DescribedSession"
    worker: "Worker"
    engine: Engine
    lanes: dict[int, Lane] = field(default_factory=dict)
    queue: list[Assignment] = field(default_factory=list)  # of any signature, oldest first
    advice: list[str] = field(default_factory=list)  # what the user has been told
    number: int = 0  # of the cohort that runs
    every_s: float = 0.0  # training time between two checkpoints

    def serve(self) -> None:
        """Returns when the driver has no more trials."""
        self.every_s = self.session.checkpoint_s
        saved = time.monotonic()
        try:
            while self._pull():
                self._admit()
                if not self.lanes:
                    continue
                self.engine.part()
                self._round(save=time.monotonic() - saved > self.every_s)
                if time.monotonic() - saved > self.every_s:
                    saved = time.monotonic()
        except AutoMLError as error:  # `fuse: require` of what cannot be fused
            self.worker.link.send(Broken(self.worker.place.worker, error))

    # -- trials come -------------------------------------------------------------------------------------------------

    def _pull(self) -> bool:
        """Get trials for what is free; False when there is nothing to do any more."""
        if not self.lanes:
            if not self.queue:
                lanes = 1 if self.session.task.fuse == "never" else AT_FIRST
                self.queue += self.worker.pull(lanes, fits="" if self.engine.mixing else ALIKE)
            return bool(self.queue)
        lane = next(iter(self.lanes.values()))
        if self.engine.fused(lane.trial.config):
            free = self.engine.room(lane.trial.config) - len(self.lanes) - len(self.queue)
            if free > 0:
                self.queue += self.worker.pull(free, busy=True, fits=lane.signature)
        return True

    def _admit(self) -> None:
        """Trials of the running signature join; with nothing running, the oldest trial's signature begins."""
        if not self.queue:
            return
        running = next(iter(self.lanes.values()), None)
        if running is not None and not self.engine.fused(running.trial.config):
            return  # what runs alone is not joined; the others wait
        if running is None:
            name = self.engine.signature(self.queue[0].config)
            chosen = self._waiting(name)
            reason = self._alone(chosen)
            together = reason is None
            if reason:
                self._advise(reason)
            chosen = chosen[: self.engine.room(chosen[0].config)] if together else chosen[:1]
            self.number += 1
        else:
            together, name = True, running.signature
            chosen = self._waiting(name)[: max(0, self.engine.room(running.trial.config) - len(self.lanes))]
        for one in chosen:
            self.queue.remove(one)
            self._begin(one, name, together=together)

    def _waiting(self, name: str) -> list[Assignment]:
        if self.queue[0].alone and not self.lanes:
            return self.queue[:1]
        return [one for one in self.queue if not one.alone and self.engine.signature(one.config) == name]

    def _alone(self, chosen: list[Assignment]) -> str | None:
        """Why the trials are to run one by one (empty: nothing to tell); None when they run together."""
        config = chosen[0].config
        if reason := self.session.unfusable(config):
            if self.session.task.fuse == "require":
                raise EnvironmentProblem(f"fuse: require, but {reason}")
            return reason if self.session.task.fuse == "auto" else ""
        if chosen[0].alone:
            return ""
        try:
            return self.engine.alone([one.config for one in chosen])
        except AutoMLError:
            if self.session.task.fuse == "require":
                raise
            return ""  # the config is at fault: its trial will fail, and say why

    def _advise(self, text: str) -> None:
        """Tell the user, once."""
        if text not in self.advice:
            self.advice.append(text)
            exchange(self.worker.link, Reported(self.worker.place.worker, (), advice=(text,)))

    def _begin(self, assignment: Assignment, name: str, *, together: bool) -> None:
        """Admit one trial, or train it to its end where the engine cannot."""
        trial = Trial(assignment, self.worker.place, self.worker.link)
        with self.worker.capture(trial.number):
            if self.session.unfusable(trial.config):
                outcome, failure = run_trial(self.session, trial)
                self.worker.end(trial, outcome, failure)
                return
            lane = Lane(trial, self.session.best(), name, self.number)
            try:
                entry = self._entry(lane)
                if entry is None:
                    return
                self._enter(entry, together=together)
            except TrialStopped:
                self.worker.end(trial, Outcome.PAUSED if trial.paused else Outcome.STOPPED, None)
                return
            except Exception as error:  # user code builds the model
                self.worker.end(trial, Outcome.FAILED, failure_of(error, trial))
                return
        self.lanes[trial.number] = lane

    def _enter(self, entry: Entry, *, together: bool) -> None:
        try:
            self.engine.admit([entry], together)
        except ValueError:  # its shapes are others than the signature says: a user's model has its own mind
            if not together:
                raise
            self.engine.admit([entry], together=False)

    def _entry(self, lane: Lane) -> Entry | None:
        """The trial for the engine, from its checkpoint where it has one; None when it went on in another way."""
        trial, state = lane.trial, None
        saved = trial.load()
        if saved is not None and "solo" in saved:  # of a version without lanes
            outcome, failure = run_trial(self.session, trial)
            self.worker.end(trial, outcome, failure)
            return None
        if saved is not None:
            state = LaneState.from_dict(saved["lane"])
            lane.best.load(saved["best"])
            if lane.best.over(trial.step):  # a signal came with its last epoch
                self._keep(lane)
                self.worker.end(trial, Outcome.FINISHED, None)
                return None
        trial.horizon = self.session.task.epochs
        return Entry(trial.number, trial.config, trial.seed, self.session.task.epochs, state)

    # -- a round -----------------------------------------------------------------------------------------------------

    def _round(self, *, save: bool) -> None:
        begun = time.perf_counter()
        alone = next(iter(self.lanes)) if len(self.lanes) == 1 else None
        try:
            with self.worker.capture(alone):
                found = self.engine.run_round()
        except Exception as error:  # user code, or the device
            self._failed(error)
            return
        seconds = time.perf_counter() - begun
        for number in found.trials:
            lane = self.lanes[number]
            lane.epochs += 1
            lane.seconds += seconds / len(found.trials)
            lane.most = max(lane.most, self.engine.beside(number))
        self._tell(found, seconds, save=save)

    def _tell(self, found: Round, seconds: float, *, save: bool) -> None:
        """Report, and do with each lane what the answer says."""
        points, told = [], {}
        for i, (number, epoch, status) in enumerate(zip(found.trials, found.epochs, found.status, strict=True)):
            if status == "diverged":
                continue
            lane, trial = self.lanes[number], self.lanes[number].trial
            values = {name: float(f"{column[i]:.{DIGITS}g}") for name, column in found.metrics.items()}
            told[number] = {n: v for n, v in values.items() if v == v or n == self.session.task.metric.name}
            lane.best.see(epoch, told[number], partial(self.engine.weights, number))
            if lane.best.over(epoch):
                trial.horizon = epoch  # its last one: no verdict is wanted
            points.append(trial.point(epoch, told[number]))
        kinds: dict[int, Kind] = {}
        if points:
            speed = found.lane_steps / max(seconds, 1e-9)
            note = f"cohort {self.number}: {len(points)} lanes, {speed:,.0f} steps/s" if len(points) > 1 else ""
            reported = Reported(self.worker.place.worker, tuple(points), note)
            verdicts = exchange(self.worker.link, reported)
            kinds = {point.trial: self.lanes[point.trial].trial.heed(verdicts) for point in points}
        for number, status in zip(found.trials, found.status, strict=True):
            kind = kinds.get(number, Kind.STOP)
            self._after(self.lanes[number], status, kind, found, save=save)

    def _after(self, lane: Lane, status: str, kind: Kind, found: Round, *, save: bool) -> None:
        """Close the lane, or keep its state, or both."""
        trial, outcome, failure = lane.trial, None, None
        try:
            if status == "diverged":
                outcome = Outcome.FAILED
                failure = Failure("nan", found.messages[trial.number], trial.step)
            elif kind is Kind.STOP:
                outcome = Outcome.STOPPED
            elif kind is Kind.PAUSE:
                self._save(lane)
                outcome = Outcome.PAUSED
            elif lane.best.over(trial.step):
                self._keep(lane)
                outcome = Outcome.FINISHED
            elif save:
                self._save(lane)
        except Exception as error:  # the disk
            outcome, failure = Outcome.FAILED, failure_of(error, trial)
        if outcome is not None:
            self._leave(lane, outcome, failure)

    def _keep(self, lane: Lane) -> None:
        """The model of a trial that has finished, where it may be wanted."""
        if lane.trial.leads or self.session.task.keep == "all":
            self.session.save(lane.trial, lane.best)

    def _leave(self, lane: Lane, outcome: Outcome, failure: Failure | None) -> None:
        slot = self.engine.slot(lane.trial.number)
        self.engine.release([lane.trial.number])
        del self.lanes[lane.trial.number]
        speed = self.session.rates(lane.trial.config, lane.epochs, lane.seconds)
        lane.trial.details = {"cohort": lane.cohort, "lanes": lane.most, "lane": slot, "signature": lane.signature,
                              "seconds": round(lane.seconds, 4), **speed}  # fmt: skip
        self.worker.end(lane.trial, outcome, failure)

    def _save(self, lane: Lane) -> None:
        """A checkpoint; the next ones come later when it took long."""
        if lane.trial.folder is None:
            return
        begun = time.monotonic()
        state = self.engine.snapshot([lane.trial.number])[lane.trial.number]
        lane.trial.save({"lane": state.to_dict(), "best": lane.best.state()})
        spent = (time.monotonic() - begun) * len(self.lanes)
        self.every_s = max(self.session.checkpoint_s, spent / SAVING_SHARE)

    def _failed(self, error: Exception) -> None:
        """The round broke. One lane: its trial failed. Several: each begins again alone, so that one fails, not all."""
        if kind_of(error) == "device":
            raise error  # this process is of no use any more; the driver starts another
        lanes = list(self.lanes.values())
        for lane in lanes:
            self.engine.release([lane.trial.number])
        self.lanes.clear()
        if len(lanes) == 1:
            self.worker.end(lanes[0].trial, Outcome.FAILED, failure_of(error, lanes[0].trial))
            return
        again = [replace_alone(lane.trial) for lane in lanes]
        self.queue[:0] = again


def replace_alone(trial: Trial) -> Assignment:
    """The same attempt once more, in a cohort of its own."""
    return Assignment(trial.number, dict(trial.config), trial.attempt, trial.seed, trial.step, alone=True)
