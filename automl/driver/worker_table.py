"""What the driver knows of its workers: what each one trains, since when, and which of them wait for trials."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from automl.core.messages import Assignment, Ready, Reported, WorkerStatus


@dataclass
class WorkerState:
    """What the driver knows of one worker. Times are seconds on the study's clock."""

    trials: dict[int, Assignment] = field(default_factory=dict)  # what it trains, by the trial's number
    waiting: Ready | None = None  # its Ready has not been answered yet
    note: str = ""  # shown beside it on the screen
    heard_s: float = 0.0  # when it was last given trials or an answer
    begun_s: dict[int, float] = field(default_factory=dict)  # by trial: when its attempt began
    silent: set[int] = field(default_factory=set)  # trials that have not reported since their attempt began
    stale: bool = False  # to be replaced by a fresh process as soon as it has nothing to do
    given_up: bool = False  # gets no more trials
    slow_noted: bool = False  # the user knows that its trials are slow

    @property
    def starting(self) -> bool:
        """Whether nothing that it trains has reported since its attempt began."""
        return self.silent.issuperset(self.trials)

    def assign(self, assignments: Iterable[Assignment], now_s: float) -> None:
        """It is given these trials."""
        self.waiting, self.heard_s = None, now_s
        for assignment in assignments:
            self.slow_noted = False  # one note is enough for the trials of a worker
            self.trials[assignment.number] = assignment
            self.begun_s[assignment.number] = now_s
            self.silent.add(assignment.number)

    def reported(self, event: Reported, now_s: float) -> float:
        """It has reported; returns the seconds since it was last heard of."""
        seconds = now_s - self.heard_s
        self.note, self.heard_s = event.note, now_s
        self.silent.difference_update(point.trial for point in event.points)
        self.begun_s.update(dict.fromkeys(self.silent, now_s))  # these wait in the worker for their turn
        return seconds

    def ended(self, trial: int) -> Assignment | None:
        """The attempt has ended; None if the worker does not have that trial (any more)."""
        self.begun_s.pop(trial, None)
        self.silent.discard(trial)
        return self.trials.pop(trial, None)

    def shift(self, seconds: float) -> None:
        """Do not count `seconds` in which the driver did not run."""
        self.heard_s += seconds
        self.begun_s = {trial: begun + seconds for trial, begun in self.begun_s.items()}


class WorkerTable:
    """All workers, by their numbers, and the order in which they asked for trials."""

    def __init__(self, count: int = 0) -> None:
        self._states = [WorkerState() for _ in range(count)]
        self._asked: dict[int, None] = {}  # workers that may still wait for trials, the longest first
        self.device_losses: dict[int, int] = {}  # by worker: how often in a row its device failed

    def __len__(self) -> int:
        return len(self._states)

    def __iter__(self) -> Iterator[WorkerState]:
        return iter(self._states)

    def __getitem__(self, worker: int) -> WorkerState:
        return self._states[worker]

    @property
    def any_training(self) -> bool:
        """Whether some worker has trials."""
        return any(state.trials for state in self._states)

    def holds(self, trial: int) -> bool:
        """Whether some worker has this trial."""
        return any(trial in state.trials for state in self._states)

    @property
    def any_waiting(self) -> bool:
        """Whether some worker waits for trials."""
        return any(state.waiting is not None for state in self._states)

    @property
    def usable(self) -> int:
        """How many workers have not been given up."""
        return sum(not state.given_up for state in self._states)

    def statuses(self, device: Callable[[int], str]) -> list[WorkerStatus]:
        """What a screen shows of the workers that have trials or may get some; `device`: of a worker, by its number."""
        return [
            WorkerStatus(worker, device(worker), tuple(state.trials), state.note)
            for worker, state in enumerate(self._states)
            if state.trials or not state.given_up
        ]

    def include(self, worker: int) -> None:
        """Make room for a worker that has joined: a message of its may arrive before the driver knows it."""
        while worker >= len(self._states):
            self._states.append(WorkerState())

    def replaced(self, worker: int) -> WorkerState:
        """The worker has nothing any more, as its process has ended or will be replaced; returns the old state."""
        old = self._states[worker]
        self._states[worker] = WorkerState(given_up=old.given_up)
        return old

    def asks(self, ready: Ready) -> None:
        """A worker asks for trials."""
        self._states[ready.worker].waiting = ready
        self._asked[ready.worker] = None

    def longest_waiting(self) -> int | None:
        """The worker that has waited for trials the longest; None if none waits."""
        while self._asked:
            worker = next(iter(self._asked))
            if self._states[worker].waiting is not None:
                return worker
            self._asked.pop(worker)
        return None
