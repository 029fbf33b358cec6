"""The messages between the driver and its workers: plain frozen data, pickled only over our own pipes.

    worker  -> driver   Opened, Ready, Reported, Ended, Broken  (Lost comes from the executor, for a worker that died)
    driver  -> worker   Assign, Verdicts, Shutdown

The worker asks: it sends `Ready(lanes=k)` and gets one `Assign` with up to k trials; it sends `Reported` with the new
points of all its trials at once and gets one `Verdicts`; it sends `Ended` for each trial that is over.
"""

from collections.abc import Iterator, KeysView, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from automl.core.space import Config
from automl.core.stopper import Kind
from automl.core.trial import Failure
from automl.errors import SpecError

Metrics = Mapping[str, float]
ALIKE = "/"  # `Ready.fits` of an idle worker whose lanes must share the whole signature, not only its first part


class WithConfig:
    """Gives a trial the ways in which a dict is read, for its config: `trial["lr"]`, `"lr" in trial`, `dict(trial)`."""

    __slots__ = ()
    config: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.config[name]

    def __contains__(self, name: object) -> bool:
        return name in self.config

    def __iter__(self) -> Iterator[str]:
        return iter(self.config)

    def keys(self) -> KeysView[str]:
        """The names of the hyperparameters; with it `dict(trial)` and `make(**trial)` work."""
        return self.config.keys()

    def get(self, name: str, default: Any = None) -> Any:
        """The hyperparameter, or `default` if the config does not have it (an inactive one)."""
        return self.config.get(name, default)


@dataclass(frozen=True, slots=True)
class Parent:
    """The trial, paused at `step`, with whose state an heir begins."""

    number: int
    step: int
    config: Config
    seed: int


@dataclass(frozen=True, slots=True)
class Assignment(WithConfig):
    """One attempt of one trial, as `Study.ask` returns it. `assignment["lr"]` is the value of a hyperparameter."""

    number: int  # of the trial
    config: Config
    attempt: int = 1
    seed: int = 0  # for the training; depends on (study seed, trial number) alone
    step: int = 0  # the last step that the ledger has; 0 for a new trial
    alone: bool = False  # it must not share a cohort: its worker died before, and would take other trials along
    horizon: int | None = None  # the last step of a full trial, where the study was told
    metric: str = ""  # the name of the study's metric
    parent: Parent | None = None  # with whose state an heir begins


@dataclass(frozen=True, slots=True)
class Odd:
    """Replaces a reported value that is neither a number, a text nor a truth value: such objects are not sent."""

    name: str  # of the value's type


def as_number(value: object) -> float | None:
    """A metric's value as a float.

    Numbers, numpy scalars and tensors with one element are numbers; truth values and text are not.

    Returns:
        the number; None where `value` is not one.
    """
    if isinstance(value, bool | str | bytes):
        return None
    item = getattr(value, "item", None)
    try:
        return float(value if item is None else item())  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None


def as_step(value: object) -> int:
    """A step as an int: whole numbers of any type (Python, numpy, tensors with one element, floats such as 3.0).

    Raises:
        SpecError: it is no whole number from 0 to 2**53.

    Example:
        as_step(np.int64(3))  # 3
    """
    number = as_number(value)
    if number is None or not 0 <= number <= 2**53 or number != int(number):
        limits = "from 0 to 2**53" if number is not None and number > 2**53 else "0 or more"
        raise SpecError(f"a step must be a whole number, {limits}; got {value!r:.60} ({type(value).__name__})")
    return int(number)


Step = int | Mapping[str, object]
"""The step of a report; or in its place the metrics, which may hold the step (else it is the one after the last)."""


def with_step(last: int, step: Step, metrics: Mapping[str, object]) -> tuple[int, dict[str, object]]:
    """(step, metrics) of a report after step `last`.

    Raises:
        SpecError: the step is no whole number.
    """
    named = {**step, **metrics} if isinstance(step, Mapping) else dict(metrics)
    return as_step(named.pop("step", last + 1) if isinstance(step, Mapping) else step), named


@dataclass(frozen=True, slots=True)
class Measured:
    """One report of one trial. `horizon`: the trial's last step, if known; the stopper is not asked there."""

    trial: int
    attempt: int
    step: int
    metrics: Mapping[str, object]
    horizon: int | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """The worker has opened the task, and found out something about it that the study keeps, such as its data."""

    worker: int
    facts: Mapping[str, object]  # plain values, by the names under which the study's ledger keeps them


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker can take `lanes` more trials."""

    worker: int
    lanes: int = 1
    busy: bool = False  # other lanes wait for the answer, so it must come at once, even if it is empty
    fits: str = ""  # signature of the cohort that runs: trials with the same one are given first; see `ALIKE`


@dataclass(frozen=True, slots=True)
class Reported:
    """The new points of all trials that the worker runs."""

    worker: int
    points: tuple[Measured, ...]
    note: str = ""  # shown beside the worker on the screen
    advice: tuple[str, ...] = ()  # sentences for the user, such as why trials run one at a time; each is shown once


class Outcome(StrEnum):
    """How an attempt ended. PAUSED: its state is saved, and it may continue later."""

    FINISHED = "finished"
    STOPPED = "stopped"
    PAUSED = "paused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt of a trial is over."""

    worker: int
    trial: int
    attempt: int
    outcome: Outcome
    failure: Failure | None = None
    details: Mapping[str, object] = field(default_factory=dict)  # stored with the attempt: cohort, lane, seconds, ...
    lasting: tuple[str, ...] = ()  # what it changed in its process for good: no other trial may begin there


@dataclass(frozen=True, slots=True)
class Broken:
    """The worker cannot open the task (an import fails, the data are bad): the search ends with this error."""

    worker: int
    error: Exception


PREEMPTED = "preempted"
"""`Lost.kind` of a worker whose machine had been told that it would be taken away."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The worker's process died."""

    worker: int
    reason: str  # its signal or exit code in words
    kind: str = "killed"  # see `trial.Failure`


@dataclass(frozen=True, slots=True)
class Assign:
    """The answer to `Ready`: trials to train. It is empty only for a busy worker, or to wake a worker up."""

    assignments: tuple[Assignment, ...]


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The answer to `Reported`: what each trial does next."""

    kinds: Mapping[int, Kind]  # by trial
    models_wanted: frozenset[int] = frozenset()  # trials whose model is worth saving if they end at this step


@dataclass(frozen=True, slots=True)
class Shutdown:
    """There are no more trials; the worker ends."""


Event = Opened | Ready | Reported | Ended | Broken | Lost
Order = Assign | Verdicts | Shutdown


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """What the screen shows about a worker."""

    worker: int
    device: str
    trials: tuple[int, ...] = ()
    note: str = ""
