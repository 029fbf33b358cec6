"""Other programs that are told of a search: TensorBoard, MLflow, Weights & Biases, or a plugin of `automl.loggers`.

A logger is told in the driver's thread, when the search begins, whenever a trial has ended, and at the end. It cannot
hurt the search: the first time it fails the user is told, once, and it is not called again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from automl.core.messages import WorkerStatus
from automl.core.trial import TrialRecord
from automl.driver.screen import Screen
from automl.study.reader import Readable


class Logger(Protocol):
    """`study.reports(number)` has all metrics of a trial by step; `study.metric.value(record.loss)` its value."""

    def begin(self, study: Readable) -> None:
        """The search begins or goes on: trials of an earlier session may be in `study.history`."""
        ...

    def ended(self, study: Readable, record: TrialRecord) -> None:
        """Once for each trial that ended."""
        ...

    def finish(self, study: Readable, outcome: str) -> None:
        """The search is over; `study.verdict` is what the finalists showed."""
        ...


@dataclass
class Logged:
    """A screen that tells loggers too."""

    screen: Screen
    loggers: dict[str, Logger]
    _failed: set[str] = field(default_factory=set)

    def begin(self, study: Readable) -> None:
        self.screen.begin(study)
        self._tell("begin", study)

    def ended(self, study: Readable, record: TrialRecord) -> None:
        self.screen.ended(study, record)
        self._tell("ended", study, record)

    def tick(self, study: Readable, workers: Sequence[WorkerStatus]) -> None:
        self.screen.tick(study, workers)

    def note(self, text: str) -> None:
        self.screen.note(text)

    def finish(self, study: Readable, outcome: str) -> None:
        self._tell("finish", study, outcome)
        self.screen.finish(study, outcome)

    def _tell(self, what: str, *arguments: object) -> None:
        for name, logger in self.loggers.items():
            if name in self._failed:
                continue
            try:
                getattr(logger, what)(*arguments)
            except Exception as error:
                self._failed.add(name)
                self.screen.note(f"logger {name} failed and is left out from now on ({type(error).__name__}: {error})")


def finalist_values(study: Readable) -> dict[str, float]:
    """What is known of the winner at the end, as one number each; empty without finalists."""
    verdict = study.verdict
    if verdict is None:
        return {}
    first, test = verdict["finalists"][0], verdict["test"]
    told = {"fresh_mean": first["mean"]}
    if verdict["optimism"] is not None:  # none where the finalists were bigger models
        told["optimism"] = verdict["optimism"]
    if test is not None:
        told |= {test["metric"]: test["value"], f"{test['metric']}_low": test["interval"][0]}
        told |= {f"{test['metric']}_high": test["interval"][1]}
    return told
