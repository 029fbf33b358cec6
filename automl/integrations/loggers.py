"""Loggers: other programs that are told how a search goes. TensorBoard, MLflow, Weights & Biases, or your own.

A logger is a plugin of the group `automl.loggers`. It is called in the driver's thread: when the search begins,
whenever a trial has ended, and at the end. It cannot hurt the search: when it fails for the first time, the user is
told, and it is not called again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from automl.core.messages import WorkerStatus
from automl.core.trial import TrialRecord
from automl.driver.screen import Screen
from automl.study.reader import Readable


class Logger(Protocol):
    """Records a search somewhere.

    `study.reports(number)` has all metrics of a trial by step, `study.metric.value(record.loss)` its value as the user
    knows it.
    """

    def begin(self, study: Readable) -> None:
        """The search begins or goes on: trials of an earlier session may be in `study.history`."""
        ...

    def ended(self, study: Readable, record: TrialRecord) -> None:
        """Called once for each trial that has ended."""
        ...

    def finish(self, study: Readable, outcome: str) -> None:
        """The search is over, `outcome` is "finished", "interrupted" or "failed"; `study.verdict` is the finalists'."""
        ...


@dataclass
class LoggingScreen:
    """A screen that passes everything on to `screen`, and calls the loggers too.

    Args:
        screen: shows the search.
        loggers: by name.
    """

    screen: Screen
    loggers: dict[str, Logger]
    _failed: set[str] = field(default_factory=set)

    def begin(self, study: Readable) -> None:
        self.screen.begin(study)
        self._call(lambda logger: logger.begin(study))

    def ended(self, study: Readable, record: TrialRecord) -> None:
        self.screen.ended(study, record)
        self._call(lambda logger: logger.ended(study, record))

    def tick(self, study: Readable, workers: Sequence[WorkerStatus]) -> None:
        self.screen.tick(study, workers)

    def note(self, text: str) -> None:
        self.screen.note(text)

    def finish(self, study: Readable, outcome: str) -> None:
        self._call(lambda logger: logger.finish(study, outcome))
        self.screen.finish(study, outcome)

    def _call(self, action: Callable[[Logger], None]) -> None:
        """Do this with every logger that has not failed yet."""
        for name, logger in self.loggers.items():
            if name in self._failed:
                continue
            try:
                action(logger)
            except Exception as error:
                self._failed.add(name)
                self.screen.note(f"logger {name} failed and is left out from now on ({type(error).__name__}: {error})")


def finalist_values(study: Readable) -> dict[str, float]:
    """What the finalists say about the winner, as named numbers; empty without finalists."""
    verdict = study.verdict
    if verdict is None:
        return {}
    first, test = verdict["finalists"][0], verdict["test"]
    values = {"fresh_mean": first["mean"]}
    if verdict["optimism"] is not None:  # there is none where the finalists were bigger models
        values["optimism"] = verdict["optimism"]
    if test is not None and test["interval"] is not None:
        name, (low, high) = test["metric"], test["interval"]
        values |= {name: test["value"], f"{name}_low": low, f"{name}_high": high}
    return values
