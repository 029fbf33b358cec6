"""What the driver and its workers say to each other. Plain frozen data, pickled only over our own pipes.

    worker  -> driver   Ready, Reported, Ended, Broken          (Lost is said by the executor, of a worker that died)
    driver  -> worker   Assign, Verdicts, Shutdown

A worker pulls: it says `Ready(lanes=k)`, is answered by one `Assign` with up to k trials, sends `Reported` with the
newest points of all its trials at once, is answered by one `Verdicts`, and closes each trial with `Ended`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from automl.core.space import Config
from automl.core.stopper import Kind
from automl.core.trial import Failure

Metrics = Mapping[str, float]
ALIKE = "/"  # `Ready.fits` of an idle worker whose lanes must be of one part of a group, not only of one group


@dataclass(frozen=True, slots=True)
class Assignment:
    """One attempt of one trial, as handed out by `Study.ask`. `seed` depends on (study seed, trial) alone.

    `alone`: it must not share a cohort: its worker was lost before, and others should not be lost with it again.
    """

    number: int
    config: Config
    attempt: int = 1
    seed: int = 0
    step: int = 0  # what the ledger has of it already; 0 for a new trial
    alone: bool = False

    def __getitem__(self, name: str) -> object:
        return self.config[name]


@dataclass(frozen=True, slots=True)
class Odd:
    """Stands in a report for a value that is no number, text or truth value: such objects stay in their process."""

    name: str  # of its type


def as_number(value: object) -> float | None:
    """A metric's value as a float: numbers, numpy scalars and one-element tensors; None for anything else."""
    if isinstance(value, bool | str | bytes):
        return None
    item = getattr(value, "item", None)
    try:
        return float(value if item is None else item())  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None


@dataclass(frozen=True, slots=True)
class Measured:
    """One report of one trial. `horizon` is the trial's last step, where it is known: no verdict is asked there."""

    trial: int
    attempt: int
    step: int
    metrics: Mapping[str, object]
    horizon: int | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker has `lanes` free places. With `busy` it must be answered at once (other lanes wait for it)."""

    worker: int
    lanes: int = 1
    busy: bool = False
    fits: str = ""  # signature of the cohort that is running: trials of the same one are welcome first; see `ALIKE`


@dataclass(frozen=True, slots=True)
class Reported:
    """The newest points of all trials the worker runs. `note` is shown beside the worker on the screen.

    `advice`: sentences for the user, such as why trials run one at a time; each is shown once in a search.
    """

    worker: int
    points: tuple[Measured, ...]
    note: str = ""
    advice: tuple[str, ...] = ()


class Outcome(StrEnum):
    """How an attempt ended. PAUSED: its state is saved, it may go on later."""

    FINISHED = "finished"
    STOPPED = "stopped"
    PAUSED = "paused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Ended:
    worker: int
    trial: int
    attempt: int
    outcome: Outcome
    failure: Failure | None = None
    details: Mapping[str, object] = field(default_factory=dict)  # kept with the attempt: cohort, lane, seconds, ...


@dataclass(frozen=True, slots=True)
class Broken:
    """The worker cannot open the task at all (import fails, data are bad): the search ends with this error."""

    worker: int
    error: Exception


@dataclass(frozen=True, slots=True)
class Lost:
    """The worker process died; `reason` is its signal or exit code in words, `kind` that of a `trial.Failure`."""

    worker: int
    reason: str
    kind: str = "killed"


@dataclass(frozen=True, slots=True)
class Assign:
    """The answer to Ready; empty only for a busy worker, or as a wake-up."""

    assignments: tuple[Assignment, ...]


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The answer to Reported: what each trial is to do. `leads`: trials whose model is kept if they end here."""

    kinds: Mapping[int, Kind]
    leads: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Shutdown:
    """There is no more work."""


Event = Ready | Reported | Ended | Broken | Lost
Order = Assign | Verdicts | Shutdown


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """What the screen shows of a worker."""

    worker: int
    device: str
    trials: tuple[int, ...] = ()
    note: str = ""
