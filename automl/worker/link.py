"""What connects a worker with its driver: where it runs, and the link that carries its messages."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from automl.core.messages import Event, Order, Reported, Verdicts
from automl.core.stopper import Kind


class Link(Protocol):
    """Carries messages between a worker and its driver, in order."""

    def send(self, event: Event) -> None:
        """Send a message to the driver."""
        ...

    def receive(self) -> Order:
        """Wait for the driver's answer to the last `Ready` or `Reported`."""
        ...


def exchange(link: Link, reported: Reported) -> Verdicts:
    """Send a report and wait for its answer."""
    link.send(reported)
    return expect_verdicts(link.receive())


def expect_verdicts(answer: Order) -> Verdicts:
    """The answer to a report."""
    assert isinstance(answer, Verdicts), f"a report is answered with verdicts, got {answer}"
    return answer


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker runs.

    Attributes:
        worker: its number.
        devices: those it is bound to.
        folder: the study's; None: keep nothing.
        gpu_share: the share of a GPU's memory that it may take; 1: all of it.
        data: of the data as they are prepared; a checkpoint is not loaded by a trial on others. Empty: not compared.
    """

    worker: int = 0
    devices: tuple[str, ...] = ("cpu",)
    folder: Path | None = None
    data: str = ""
    gpu_share: float = 1.0


@dataclass
class Recorder:
    """A link that answers every report with CONTINUE and keeps what was sent: to try a task out, and for tests."""

    sent: list[Event] = field(default_factory=list)

    def send(self, event: Event) -> None:
        self.sent.append(event)

    def receive(self) -> Order:
        last = self.sent[-1]
        assert isinstance(last, Reported)
        return Verdicts({point.trial: Kind.CONTINUE for point in last.points})
