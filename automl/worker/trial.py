"""`Trial`: one attempt of one trial, as user code sees it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from automl.core import seeds
from automl.core.messages import Assignment, Measured, Odd, Reported, Verdicts
from automl.core.space import Value
from automl.core.stopper import Kind
from automl.study import checkpoint
from automl.worker.link import Link, Place, expect_verdicts


class TrialStopped(BaseException):
    """Leaves the training function from inside `trial.report`; `except Exception` does not catch it."""


class TrialPaused(TrialStopped):
    """The same, for a trial that may go on later."""


class Trial:
    """One attempt of one trial, as the training function sees it.

    Attributes:
        config: the hyperparameters, `{name: value}`; `trial["lr"]` is the short form.
        number, attempt, seed: `seed` depends on the study's seed and the trial's number alone.
        device, devices: where to train, as torch names it ("cpu", "cuda:0").
        folder: a folder of this trial's own for files, or None when the study keeps nothing on disk.
        leads: whether this trial's model is wanted if it ends with the last report: mostly, as it would be first.
        paused: whether the last report was answered with "leave, you may go on later".
    """

    def __init__(self, assignment: Assignment, place: Place, link: Link) -> None:
        self.config: Mapping[str, Value] = assignment.config
        self.number, self.attempt, self.seed = assignment.number, assignment.attempt, assignment.seed
        self.devices = place.devices
        self.device = place.devices[0]
        self.folder = place.folder / "trials" / f"{self.number:05d}" if place.folder else None
        self.leads = self.paused = False
        self.step = 0  # the last step reported (or resumed from)
        self.horizon: int | None = None
        self.details: dict[str, object] = {}  # what is kept with the attempt: cohort, lane, speed, ...
        self._place, self._link = place, link
        self._curve: list[tuple[int, Mapping[str, Any]]] = []

    def __getitem__(self, name: str) -> Any:
        return self.config[name]

    def get(self, name: str, default: Any = None) -> Any:
        """The hyperparameter, or `default` where the config does not have it (an inactive one)."""
        return self.config.get(name, default)

    def steps(self, n: int) -> Iterator[int]:
        """1, 2, ... n, beginning after the loaded checkpoint's step; tells the study that `n` is the full length."""
        self.horizon = n
        for step in range(self.step + 1, n + 1):
            yield step
            if self.step < step:
                self.step = step  # nothing was reported in this round

    def report(self, step: int | None = None, **metrics: object) -> None:
        """Tell the study how good the trial is after `step` (counted on from the last one when not given).

        Metrics are numbers, numpy scalars or one-element tensors; one of them is the study's metric.

        Raises:
            TrialStopped: the trial is not worth going on; let it pass through (`finally` blocks run).
        """
        point = self.point(self.step + 1 if step is None else step, metrics)
        self._link.send(Reported(self._place.worker, (point,)))
        match self.heed(expect_verdicts(self._link.receive())):
            case Kind.STOP:
                raise TrialStopped
            case Kind.PAUSE:
                raise TrialPaused

    def point(self, step: int, metrics: Mapping[str, object]) -> Measured:
        """The message's part about this trial, for workers that report many trials at once."""
        self.step = step
        told = {name: plain(value) for name, value in metrics.items()}
        self._curve.append((step, told))
        return Measured(self.number, self.attempt, step, told, self.horizon)

    def heed(self, verdicts: Verdicts) -> Kind:
        """What the driver answered for this trial; `leads` and `paused` are set from it."""
        kind = verdicts.kinds[self.number]
        self.leads, self.paused = self.number in verdicts.leads, kind is Kind.PAUSE
        return kind

    @property
    def _identity(self) -> str:
        """What a checkpoint must agree in with the trial that loads it."""
        return f"{seeds.derive(self.seed, json.dumps(dict(self.config), sort_keys=True)):x}"

    def save(self, state: Any) -> None:
        """Keep `state` (state dicts, tensors, plain values) as this trial's checkpoint of the last reported step.

        A study without a folder keeps nothing.
        """
        if self.folder is not None:
            checkpoint.save(self.folder, self.step, state, self._curve, identity=self._identity)

    def load(self) -> Any | None:
        """The state last saved by an earlier attempt, or None; `steps` and `report` count on from its step.

        The reports up to there are sent again, so that the curve has no hole even if the driver lost some.
        """
        if self.folder is None or (found := checkpoint.load(self.folder, identity=self._identity)) is None:
            return None
        horizon, self.horizon = self.horizon, None
        for step, metrics in found.curve:
            self.report(step=step, **metrics)
        self.step, self.horizon = found.step, horizon
        return found.state


def plain(value: object) -> object:
    """A metric's value as a Python number where it has one (`.item()` of tensors and numpy scalars).

    Anything but numbers and short texts is named only: it might not survive being sent to the driver.
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
