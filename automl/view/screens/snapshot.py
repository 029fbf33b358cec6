"""`Snapshot`: what the live screen shows at one moment, as immutable plain data."""

from dataclasses import dataclass

from automl.core.history import Counts
from automl.core.trial import Metric, Plan
from automl.leaderboard import words
from automl.leaderboard.board import Leaderboard
from automl.leaderboard.rows import Row


@dataclass(frozen=True, slots=True)
class Running:
    """A running trial: its step, its value, and its rank among all trials that reached that step."""

    trial: int
    step: int
    value: float | None
    standing: str  # "3rd of 24 at step 9"; empty before the first report
    curve: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker and the trials it runs."""

    worker: int
    device: str
    note: str
    trials: tuple[Running, ...]
    lanes: int  # number of trials it runs (of a cohort only the best few are in `trials`)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of a search; everything `render` needs."""

    name: str
    strategy: str
    stopper: str
    metric: Metric
    where: str
    elapsed_s: float
    plan: Plan
    counts: Counts
    steps: int
    board: Leaderboard
    best: Row | None = None  # the best trial that ran its full length
    best_age_s: float | None = None
    so_far: tuple[float, ...] = ()  # best value after each ended trial, thinned
    gain: tuple[float, int] | None = None  # the last improvement, and how many trials ago
    saved: float | None = None  # share of the epochs of ended trials that early stopping saved
    retried: int = 0
    eta: tuple[float, float] | None = None  # (earliest, latest) seconds to the end
    until: str = ""  # the middle of that interval as a time of day, "14:33"
    workers: tuple[Worker, ...] = ()
    recent: tuple[Row, ...] = ()  # trials that ended last, the newest first
    importance: tuple[tuple[str, float], ...] = ()
    hardware: tuple[str, ...] = ()
    stage: str = ""  # "finalists" while these run: then plan, counts and steps are theirs

    @property
    def progress(self) -> tuple[str, float]:
        """(text, share): trials so far, the limit that is nearest to its end, and how much of it is used (0 to 1)."""
        ended, of = self.counts.ended, self.plan.trials
        trials = f"{self.stage or 'trials'} {ended:,}/{of:,}" if of else f"{words.plural(ended, 'trial')}"
        limits = [(trials, ended / of if of else 0.0)]
        if self.plan.steps:
            limits.append((f"{self.plan.unit}s {self.steps:,}/{self.plan.steps:,}", self.steps / self.plan.steps))
        if self.plan.time_s:
            time = f"{words.duration(self.elapsed_s)}/{words.duration(self.plan.time_s)}"
            limits.append((f"time {time}", self.elapsed_s / self.plan.time_s))
        label, share = max(limits, key=lambda limit: limit[1])
        return trials if label == trials else f"{trials}  {label}", min(share, 1.0)
