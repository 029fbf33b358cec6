"""The trial that runs, for programs that are not handed one: jobs of Hydra."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from automl.worker.trial import Trial

_CURRENT: "ContextVar[Trial | None]" = ContextVar("automl_trial", default=None)


def current_trial() -> "Trial | None":
    """The trial that this program is run as by `hydra/sweeper=automl`; None where it runs alone.

    trial = automl.current_trial()
    state = trial.load() if trial else None
    """
    return _CURRENT.get()


def report(step: int | None = None, **metrics: object) -> None:
    """Report how good the trial is that this program is run as; does nothing where the program runs alone.

    Args:
        step: the step (epoch) it has reached; None: the one after the last report's.
        metrics: numbers by name; one of them is the metric of the search.

    Raises:
        TrialStopped: the trial is not worth going on; let it pass through.
    """
    if (trial := _CURRENT.get()) is not None:
        trial.report(step, metrics)


@contextmanager
def of(trial: "Trial") -> "Iterator[None]":
    """While the block runs, this is the trial."""
    before = _CURRENT.set(trial)
    try:
        yield
    finally:
        _CURRENT.reset(before)
