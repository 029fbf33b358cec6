"""The part of a study that is changed while it runs: what is tried next, and what requests ask for."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from automl.core.live import agreement, edits
from automl.core.messages import Assignment, Measured, as_step
from automl.core.space import Config
from automl.core.stopper import CONTINUE, Kind, Verdict
from automl.core.trial import State, TrialRecord
from automl.study.live import warm
from automl.study.live.requests import Edit, Request, in_words
from automl.study.live.warm import Given
from automl.study.trials import Trials


class Edited(Trials):
    """A study whose queue, budget and space can be changed while it runs. Every change is a fact of the ledger."""

    _given: list[tuple[str, Config]]  # (origin, config) of what is tried before anything else
    _exhausted: bool  # whether the strategy has nothing more to suggest
    deterministic: bool
    held: Callable[[int], bool] = staticmethod(lambda number: False)
    """Whether a worker still has this trial, which may be paused already: it is being saved. The driver knows."""

    def edit(self, by: str = "python", **wanted: Any) -> list[str]:
        """Change the search while it runs; see `automl.study.live.requests` for what may be asked for.

        Args:
            by: who asks, for the ledger and the screen.
            wanted: add, stop, pin, pause, resume, budget, narrow.

        Returns:
            What was done, a sentence each.

        Raises:
            SpecError: something is wrong; then nothing was changed.

        Example:
            study.edit(add={"lr": 0.01}, budget="+20")
        """
        return self.carry_out(Request.of({**wanted, "by": by}))

    def carry_out(self, request: Request) -> list[str]:
        """Do what a request asks for; nothing where it was carried out before.

        Returns:
            what was done, a sentence each.

        Raises:
            SpecError: something is wrong; then nothing was changed.
        """
        with self._lock:
            if request.id and request.id in self.history.live.requests:
                return ["this was done before"]
            wanted = request.edits(self.history)
            for edit in wanted:
                self._apply(edit, request)
            self.ledger.commit()
            self._follow_up(wanted, request.by)
            return [in_words(edit) for edit in wanted]

    def add_curve(self, config: Config, curve: Sequence[tuple[int, float]], *, stopped: bool = False) -> TrialRecord:
        """Add a trial from elsewhere with all that it reported; it does not count against the budget.

        Args:
            config: a point of the space.
            curve: (step, value of the study's metric), in the order of the steps; at least one.
            stopped: whether it was stopped early.

        Raises:
            SpecError: `config` is not a point of the space, or a step is no whole number.
        """
        with self._lock:
            points = [Measured(-1, 0, as_step(step), {self.metric.name: value}) for step, value in curve]
            trial = self._begin("added", self.space.canonical(config))
            self.budget.added += 1
            for point in points:
                self._store(replace(point, trial=trial.number))
            record = self.record_of(trial)
            if record.state.ended or not stopped:
                return self.finish(trial)
            return self._end(trial.number, State.STOPPED, reason="stopped early, elsewhere")

    def _apply(self, edit: Edit, request: Request) -> None:
        self.ledger.edit(edit, request.id, request.by, self.elapsed_s)
        edits.apply(self.history, edit, request.by)
        if request.id:
            self.history.live.requests.add(request.id)

    def _follow_up(self, wanted: list[Edit], by: str) -> None:
        """What follows from edits, and is a fact of its own."""
        self._exhausted = False
        for edit in wanted:
            if edit["kind"] == "stop" and self.history.trials[edit["trial"]].state is State.PAUSED:
                self._end(edit["trial"], State.STOPPED, reason=_stopped_by(by))
        self._keep_plan()

    def _keep_plan(self) -> None:
        """Keep the budget in the ledger's description of the study, as it is now."""
        limits = {limit: getattr(self.plan, limit) for limit in edits.LIMITS}
        if any(self.facts["plan"][limit] != value for limit, value in limits.items()):
            self.keep_facts({"plan": {**self.facts["plan"], **limits}})

    def _warm_up(self, earlier: Given | Sequence[Given]) -> None:
        """Copy the rows of earlier studies that were not copied before; their best configs are tried first.

        Raises:
            SpecError: a study is not there, or none of its trials fits.
        """
        found, notes = warm.edits(earlier, self.history, [config for _, config in self._given])
        for id, edit in found:
            self._apply(edit, Request({}, id, id.removeprefix("warm:")))
        self.ledger.commit()
        self.notes += notes

    def earlier_studies(self) -> list[str]:
        """How far each earlier study agrees with the results so far, a sentence each; none while too few are known."""
        found = [(one.name, agreement.agreement(self.history, one)) for one in self.history.live.earlier]
        return [f"{name} {agreement.in_words(value)}" for name, value in found if value is not None]

    # -- what requests have changed -----------------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Whether a request has paused the search, so that nothing new begins."""
        return self.history.live.paused is not None

    def _new(self, n: int) -> list[Assignment]:
        """Up to `n` new trials: first the given configs, then those of the queue, then the strategy's."""
        new: list[Assignment] = []
        while len(new) < n and self.started < len(self._given):
            new.append(self._begin(*self._given[self.started]))
        while len(new) < n and self.history.live.queue:
            new.append(self._begin(*self.history.live.queue[0]))
        missing = n - len(new)
        if missing > 0 and not self._exhausted:
            suggested = self.strategy.suggest(self.history, missing)
            self._exhausted = len(suggested) < missing
            new += [self._begin("", config, None if k else missing) for k, config in enumerate(suggested)]
        return new

    def _promoted(self) -> list[int]:
        """Paused trials that continue, the best first; those that were pinned before all others."""
        pinned = [t.number for t in self.history.paused if t.number in self.history.live.pinned]
        return pinned + [n for n in self.stopper.promote(self.history) if n not in pinned]

    def _free(self, numbers: Iterable[int]) -> list[int]:
        """Those of these trials that are paused and that another attempt can take over: their state is saved.

        In a deterministic search what is begun must not depend on that; there the order of events waits for them.
        """
        paused = (n for n in numbers if self.history.trials[n].state is State.PAUSED)
        return [n for n in paused if self.deterministic or not self.held(n)]

    def _dropped(self) -> Mapping[int, str]:
        """{paused trial: why} of those that never continue."""
        live, dropped = self.history.live, self.stopper.drop(self.history)
        kept = {number: why for number, why in dropped.items() if number not in live.pinned}
        asked = {t.number: _stopped_by(live.stopped[t.number]) for t in self.history.paused if t.number in live.stopped}
        return {**kept, **asked}

    def _decided(self, point: Measured, together: Sequence[int]) -> Verdict:
        """What a trial does after a report: what somebody has asked for, or what the stopper and the budget say.

        `together`: the trials that have reported with it.
        """
        live = self.history.live
        if point.trial in live.stopped:
            return Verdict(Kind.STOP, _stopped_by(live.stopped[point.trial]))
        verdict = self.stopper.verdict(self.history, point.trial)
        return self.endgame.last_word(point, CONTINUE if point.trial in live.pinned else verdict, together)

    def _go_on(self) -> None:
        """Begin a session of a study that was edited in an earlier one. A pause ends: who starts a search wants it."""
        live = self.history.live
        live.queue = type(live.queue)(entry for entry in live.queue if self.history.space.contains(entry[1]))
        self._keep_plan()
        if self.paused:
            self.carry_out(Request({"resume": True}, by="a new session"))
            self.notes.append("the search was paused, and goes on")


def _stopped_by(name: str) -> str:
    return f"stopped by {name}"
