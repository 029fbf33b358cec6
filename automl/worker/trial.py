"""`Trial`: one attempt of one trial, as user code sees it."""

import json
import time
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from automl.core import seeds
from automl.core.messages import Assignment, Measured, Odd, Parent, Reported, Verdicts, WithConfig, as_step
from automl.core.space import Value
from automl.core.stopper import Kind
from automl.errors import SpecError, TaskError
from automl.study import checkpoint, paths
from automl.study.packing.known import NO_CLASSES, Classes
from automl.worker import randomness
from automl.worker.link import Link, Place, expect_verdicts

WAIT_S = 30.0
"""So long an heir waits for the state of its parent, which another worker may still be writing."""


class TrialStopped(BaseException):
    """Raised by `trial.report` to leave the training function; `except Exception` does not catch it."""


class TrialPaused(TrialStopped):
    """The same, for a trial that may go on later."""


class Trial(WithConfig):
    """One attempt of one trial, as the training function sees it.

        def train(trial):
            model = build(trial["width"])
            for epoch in trial.steps(20):
                ...
                trial.report(val_loss=loss)

    Attributes:
        config: the hyperparameters, `{name: value}`; `trial["lr"]` is the short form.
        number: of the trial in its study, from 0.
        attempt: 1, or more if earlier attempts were lost, interrupted or paused.
        seed: depends on the study's seed and the trial's number alone.
        device, devices: where to train, as torch names it ("cpu", "cuda:0").
        folder: a folder of this trial's own for files, or None if the study keeps nothing on disk.
        step: the last step reported (or resumed from).
        begun_at: the step that this attempt began with.
        horizon: the step at which the trial will have run its full length; None: not known.
        details: what is kept with the attempt in the study: speed, cohort, ...
        model_wanted: whether it is worth saving the model if the trial ends with the last report.
        paused: whether the trial was told by the last report to leave, and that it may go on later.
        known: metrics that follow from the config; they are a part of every report.
        metric: the name of the study's metric.
        lasting: what the trial has changed in its process and could not be set back.
        inherited: whether what `load` returned is the state of another trial, whose heir this one is.
    """

    def __init__(self, assignment: Assignment, place: Place, link: Link) -> None:
        self.config: Mapping[str, Value] = dict(assignment.config)  # a copy: what is done to it changes no history
        self.number, self.attempt, self.seed = assignment.number, assignment.attempt, assignment.seed
        self.devices = place.devices
        self.device = place.devices[0]
        self.folder = paths.trial(place.folder, self.number) if place.folder else None
        self.model_wanted = self.paused = False
        self.step = self.begun_at = 0
        self.horizon: int | None = None
        self.details: dict[str, object] = {}
        self.known: Mapping[str, float] = {}
        self.metric = assignment.metric or "loss"
        self.lasting: list[str] = []
        self.inherited = False
        self._place, self._link = place, link
        self._curve = checkpoint.Curve()
        self._assignment = assignment
        self._round: int | None = None  # which step of `steps` is running
        self._classes: Classes | None = None  # of the function that trains, see `of_function`
        self._random: dict[str, Any] | None = None  # where random numbers go on, after `load`
        self._saved = False  # whether this attempt has saved a checkpoint
        self._identity = checkpoint_identity(assignment, place.data)

    @property
    def leads(self) -> bool:
        """The old name of `model_wanted`."""
        warnings.warn("trial.leads is called trial.model_wanted now", DeprecationWarning, stacklevel=2)
        return self.model_wanted

    @property
    def reported(self) -> bool:
        """Whether this attempt or an earlier one has reported."""
        return bool(self._curve.points) or self._assignment.step > 0

    @property
    def last_step(self) -> int:
        """The step that a function has reached which reports only once, at its end."""
        return self._round or self.step or self.horizon or self._assignment.horizon or 1

    def steps(self, n: int) -> Iterator[int]:
        """1, 2, ... n, beginning after the loaded checkpoint's step; tells the study that `n` is the full length.

        Raises:
            SpecError: `n` is no whole number, 0 or more (3.0 is one, and numpy's are).
        """
        try:
            self.horizon = n = as_step(n)
        except SpecError:
            raise SpecError(f"trial.steps takes a whole number of steps, 0 or more; got {n!r:.60}") from None
        for step in range(self.step + 1, n + 1):
            self._round = step
            self._go_on()
            yield step
            if self.step < step:
                self.step = step  # nothing was reported after this step

    def report(
        self,
        step: int | Mapping[str, object] | None = None,
        values: Mapping[str, object] | None = None,
        /,
        **metrics: object,
    ) -> None:
        """Report how good the trial is: `report(loss=0.3)`, `report(3, loss=0.3)`, `report({"loss": 0.3}, step=3)`.

        Args:
            step: the step (epoch) it has reached, a whole number; None: the one after the last report's. One that is
                beyond the full length (a count of batches where epochs were promised) is replaced by the number of
                the step of `steps`, or of the report; the user is told once. A mapping here is taken as `values`.
            values: metrics as a mapping, also with the step under the name "step".
            metrics: `step`; numbers, numpy scalars or one-element tensors; one of them is the study's metric.

        Raises:
            SpecError: `step` is no whole number, or a metric has no name.
            TrialStopped: the trial is not worth going on; let it pass through (`finally` blocks run).
            TrialPaused: the same, but it may go on later from what `save` keeps now.
        """
        if isinstance(step, Mapping):
            step, values = None, step
        if values is not None and not isinstance(values, Mapping):
            example = call_of(self.metric, f"{values!r:.40}")
            raise SpecError(f"metrics are given by name: trial.report({step!r:.20}, {example})")
        named = {**(values or {}), **metrics}
        if step is None and "step" in named:
            step = named.pop("step")  # type: ignore[assignment]
        at, advice = self._own_step(step)
        self._link.send(Reported(self._place.worker, (self.point(at, named),), advice=advice))
        match self.apply(expect_verdicts(self._link.receive())):
            case Kind.STOP:
                raise TrialStopped
            case Kind.PAUSE:
                raise TrialPaused

    def _own_step(self, step: int | None) -> tuple[int, tuple[str, ...]]:
        """The step of a report, and advice for the user where it is another one than was given."""
        if step is None:
            return self.step + 1, ()
        try:
            given, full = as_step(step), self.horizon or self._assignment.horizon
        except SpecError as error:
            example = call_of(self.metric, "0.3")
            raise SpecError(f"{error}; metrics are given by name: trial.report({example})") from None
        if full is None or given <= full:
            return given, ()
        own = self._round if self._round is not None else min(self.step + 1, full)
        return own, (
            f"a trial reported step {given}, but a full trial has {full} steps: its reports are counted as steps 1 to "
            f"{full}; report without step=, or tell the true length with trial.steps(n) or horizon=n",
        )

    def point(self, step: int, metrics: Mapping[str, object]) -> Measured:
        """This trial's part of a report, for sessions that report many trials at once."""
        self.step = step
        values = {**self.known, **{name: plain(value) for name, value in metrics.items()}}
        self._curve.add(step, values)
        return Measured(self.number, self.attempt, step, values, self.horizon)

    def apply(self, verdicts: Verdicts) -> Kind:
        """What the trial is to do, by the driver's answer; sets `model_wanted` and `paused`."""
        kind = verdicts.kinds[self.number]
        self.model_wanted, self.paused = self.number in verdicts.models_wanted, kind is Kind.PAUSE
        return kind

    def save(self, state: Any) -> None:
        """Keep `state` as this trial's checkpoint of the last reported step.

        Does nothing if the study has no folder.

        Args:
            state: tensors, state dicts, arrays, numbers and texts, in collections; random states; dataclasses and named
                tuples of those. The random numbers of Python, numpy and torch are kept with it.

        Raises:
            TaskError: something in it cannot be saved; the message names its place and what to save instead.

        Example:
            trial.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()})
        """
        if self.folder is not None:
            by_function = self._classes is not None
            checkpoint.save(
                self.folder,
                self.step,
                state,
                self._curve,
                identity=self._identity,
                classes=self._classes or NO_CLASSES,
                random=randomness.positions() if by_function else None,
            )
            self._saved = True

    def load(self) -> Any | None:
        """The state last saved by an earlier attempt, or None; `steps` and `report` count on from its step.

        The first attempt of an heir (`core.strategy.Heir`) gets the state of its parent, with which it goes on by its
        own config: learning rates and the like that the state holds have to be set again.

        The reports up to there are sent again, so that the curve has no hole even if the driver lost some. Random
        numbers go on from where they were when the state was saved, at once and again when `steps` begins.

        Raises:
            TrialStopped: the trial is not worth going on.
            TaskError: the state holds a value of a class that is not imported yet.
        """
        if self.folder is None:
            if self.parent is not None:
                raise TaskError("an heir begins with a checkpoint of its parent, and this study has no folder for them")
            return None
        saved = checkpoint.load(self.folder, identity=self._identity, classes=self._classes or NO_CLASSES)
        if saved is None:
            return None if self.parent is None else self._inherited(self.parent)
        horizon, self.horizon = self.horizon, None
        for step, metrics in saved.curve:
            self.report(step, metrics)
        self.step, self.horizon = saved.step, horizon
        self.begun_at = saved.step
        if saved.random and not self._saved:
            randomness.restore(saved.random)
            self._random = saved.random
        return saved.state

    @property
    def parent(self) -> Parent | None:
        """With whose state this trial begins; None for one that is no heir."""
        return self._assignment.parent

    def go_on_from(self, earlier: "Trial") -> bool:
        """Take over what an earlier attempt of this trial in this process had reported when it was paused.

        Returns:
            whether it is one, and nothing was reported after it.
        """
        if earlier._identity != self._identity or earlier.step != self._assignment.step:
            return False
        self.step, self._curve = earlier.step, earlier._curve
        return True

    def begin_with(self, other: "Trial") -> bool:
        """Begin at the step of another trial in this process, if it is the parent and at the step that is inherited.

        Not where this trial has reported already: then it goes on from its own checkpoint.
        """
        parent = self.parent
        if parent is None or self._assignment.step != parent.step:
            return False
        if (other.number, other.step) != (parent.number, parent.step) or other._identity != self._of(parent):
            return False
        self.step, self.inherited = other.step, True
        return True

    def _of(self, parent: Parent) -> str:
        """The identity of the parent's checkpoints."""
        return checkpoint_identity(Assignment(parent.number, parent.config, seed=parent.seed), self._place.data)

    def _inherited(self, parent: Parent) -> Any:
        """The state with which an heir begins. It may be that its parent is still being saved, by another worker.

        A function that saves after it reports has not saved at the step at which it was paused: what it saved before
        will do, and the heir repeats that step.

        Raises:
            TaskError: it is not there.
        """
        assert self.folder is not None
        assert self._place.folder is not None
        by_function = self._classes is not None
        source, until_s = paths.trial(self._place.folder, parent.number), time.monotonic() + WAIT_S
        while not checkpoint.inherit(source, self.folder, parent.step, or_before=by_function):
            if time.monotonic() > until_s:
                break
            time.sleep(0.02)
        saved = checkpoint.load(self.folder, identity=self._of(parent), classes=self._classes or NO_CLASSES)
        if saved is None:
            raise TaskError(
                f"trial {self.number} begins with the state of trial {parent.number} at step {parent.step}, which is "
                "not there: keep it with trial.save"
            )
        self.step, self.inherited = saved.step, True
        self.begun_at = saved.step
        return saved.state

    def _go_on(self) -> None:
        """Have random numbers go on from the loaded state, whatever was drawn since to build the model."""
        if self._random is not None:
            randomness.restore(self._random)
            self._random = None

    def of_function(self, classes: Classes) -> None:
        """A function of the user's own trains this trial: its random numbers are part of its checkpoints.

        Args:
            classes: those whose values the function may save, see `study.packing.known`.
        """
        self._classes = classes


def call_of(metric: str, value: str) -> str:
    """How a metric is given to a call: `loss=0.3`, or as a dict where its name is no name of Python's."""
    return f"{metric}={value}" if metric.isidentifier() else f'{{"{metric}": {value}}}'


def plain(value: object) -> object:
    """A metric's value as a Python number (by `.item()` for tensors and numpy scalars).

    Of anything but numbers and texts only the type's name is kept: it might not survive being sent to the driver.
    """
    item = getattr(value, "item", None)
    if item is not None and not isinstance(value, int | float):
        try:
            value = item()
        except Exception:  # user code: whatever it raises, the value is no number
            return Odd(type(value).__name__)
    if type(value) in (int, float, bool) or value is None:
        return value
    if isinstance(value, int | float):
        return float(value)
    return value[:100] if isinstance(value, str) else Odd(type(value).__name__)


def checkpoint_identity(assignment: Assignment, data: str = "") -> str:
    """Of the trial that a checkpoint belongs to: only the same config and seed, on the same `data`, may load it."""
    own = json.dumps(dict(assignment.config), sort_keys=True) + data
    return f"{seeds.derive(assignment.seed, own):x}"
