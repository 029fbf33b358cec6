"""What can be read from a study: from one that runs (`Study`) and from one opened for reading (`StudyView`)."""

import copy
import html
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.core.files import as_name
from automl.core.history import Counts, History
from automl.core.objectives.goals import Objectives
from automl.core.space import Space
from automl.core.trial import Metric, Plan, TrialRecord
from automl.errors import LedgerError, SpecError
from automl.leaderboard import board
from automl.study import paths
from automl.study.ledger import kinds
from automl.study.ledger.ledger import Ledger
from automl.study.ledger.lock import is_driven
from automl.study.ledger.schema import REPAIR
from automl.study.live import inbox, since
from automl.study.live.requests import Request, in_words

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Stage:
    """What runs after the trials of a search, as a study of its own: its finalists.

    Attributes:
        name: "finalists".
        study: the study whose trials run.
        trials: how many it will have.
        number_of: the number that the config of one of its trials has in the search.
    """

    name: str
    study: "Readable"
    trials: int
    number_of: Callable[[TrialRecord], int]


class Readable:
    """The part of a study that only reads, whether the study runs, has ended, or is driven by another process."""

    name: str
    path: Path | None  # its folder
    history: History
    ledger: Ledger
    facts: dict[str, Any]  # about the study as a whole: strategy and stopper by name, seed, spec, finalists, ...
    notes: list[str]  # sentences for the user
    stage: Stage | None = None  # what runs after the search, while it runs

    @property
    def space(self) -> Space:
        """The search space as it was declared; `history.space` is what requests have left of it."""
        return self.history.declared

    @property
    def metric(self) -> Metric:
        """The metric that trials are ranked on."""
        return self.history.metric

    @property
    def plan(self) -> Plan:
        """The budget, and the length of a full trial."""
        return self.history.plan

    @property
    def elapsed_s(self) -> float:
        """Seconds that this study has been driven, over all its sessions."""
        return self.ledger.elapsed_s()

    @property
    def counts(self) -> Counts:
        """How many trials are in each state."""
        return Counts.of(self.history)

    @property
    def best(self) -> TrialRecord | None:
        """The best trial that ran its full length, None before there is one. Its config is the caller's own copy."""
        return _copied(self.history.best)

    @property
    def best_value(self) -> float | None:
        """The metric's value of `best`, as it was reported; a trial's `loss` is always lower where it is better."""
        best = self.history.best
        return None if best is None or best.loss is None else self.metric.value(best.loss)

    @property
    def verdict(self) -> Mapping[str, Any] | None:
        """The result of the finalists (see `automl.evaluation.verdict`), None until they have run."""
        return self.facts.get("finalists")

    @property
    def winner(self) -> TrialRecord | None:
        """The trial whose config won: the finalists' winner, or `best` where there were no finalists.

        Where the budget ended before any trial ran its full length, it is the best partial trial.
        """
        if self.verdict:
            return _copied(self.history.trials[self.verdict["winner"]])
        return self.best or (None if self.history.running else _copied(self.history.partial))

    def reports(self, trial: int) -> list[tuple[int, dict[str, float]]]:
        """(step, metrics) of all reports of a trial; also after the study was closed, if it has a folder."""
        with self._readable() as ledger:
            return ledger.reports(trial)

    def attempts(self, trial: int) -> list[dict[str, Any]]:
        """All attempts of a trial: number, worker, outcome, seconds at which they began, details.

        Also after the study was closed, if it has a folder.
        """
        with self._readable() as ledger:
            return ledger.attempts(trial)

    def _readable(self) -> AbstractContextManager[Ledger]:
        """The ledger, opened once more if the study was closed and has a folder."""
        if self.ledger.closed and self.path is not None:
            return closing(Ledger.read_only(self.path))
        return nullcontext(self.ledger)

    def __str__(self) -> str:
        strategy, stopper = (self.facts.get(kind, {}).get("name", "?") for kind in ("strategy", "stopper"))
        way = {"minimize": "lowest", "maximize": "highest"}[self.metric.direction]
        counts, plan = self.counts, self.plan
        limits = [
            f"{n:g} {unit}" for n, unit in ((plan.trials, "trials"), (plan.steps, "steps"), (plan.time_s, "s")) if n
        ]
        lines = [
            f"study     {self.name}" + (f" in {self.path}" if self.path else " (in memory)"),
            f"metric    {self.metric.name}, {way} wins ({self.metric.count} report of a trial counts)",
            *_further(self.history.objectives),
            f"strategy  {strategy}, stopper {stopper}, seed {self.history.seed}",
            f"budget    {', '.join(limits) or 'none'}",
            f"trials    {counts.done} done, {counts.stopped} stopped, {counts.failed} failed, {counts.running} running",
        ]
        if (best := self.winner) is not None and best.loss is not None:
            lines.append(f"best      trial {best.number}: {self.metric.value(best.loss):.6g} with {dict(best.config)}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """What a notebook shows: the study in a few lines, and its leaderboard."""
        return f"<pre>{html.escape(str(self))}</pre>{self.leaderboard()._repr_html_()}"

    def leaderboard(self, n: int | None = 10) -> board.Leaderboard:
        """The best `n` trials (None: all) as a table that `print`, notebooks and rich can show."""
        return board.table(self.history, n, self.winner)

    def frame(self) -> "pd.DataFrame":
        """All trials as a pandas DataFrame, one row each, in the order of the leaderboard."""
        return board.frame(self.history)


def _further(objectives: Objectives) -> list[str]:
    """A line on further objectives and limits, where there are any."""
    ways = {"minimize": "lowest", "maximize": "highest"}
    parts = [f"{metric.name} ({ways[metric.direction]})" for metric in objectives.metrics[1:]]
    parts += map(str, objectives.limits)
    return [f"and       {', '.join(parts)}"] if parts else []


def _copied(record: TrialRecord | None) -> TrialRecord | None:
    """The record with a config of its own, so that a caller who changes it does not change the study."""
    return None if record is None else replace(record, config=copy.deepcopy(record.config))


class StudyView(Readable):
    """A study opened for reading, also while a search runs in its folder.

    Raises:
        LedgerError: there is no study at `path`, it has not begun yet, or its ledger is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.ledger = Ledger.read_only(path)
        except OSError as error:
            raise LedgerError(f"{str(path)!r:.300}: cannot be read ({error.strerror or error})") from error
        try:
            with since.moment(self.ledger.db):
                self._read(path)
        except BaseException as error:
            self.ledger.close()
            if isinstance(error, LedgerError) or not isinstance(error, Exception):
                raise
            raise LedgerError(f"{path}: the ledger's content is damaged ({error!r}); {REPAIR}") from error

    def _read(self, path: Path) -> None:
        self.facts = self.ledger.facts()
        if "space" not in self.facts:
            raise LedgerError(f"{path}: the study has not begun yet")
        kinds.require(self.facts, REPAIR)
        self.name = as_name(self.facts["name"])
        self.notes = []
        self.history = History(
            Space.of(self.facts["space"]),
            seed=self.facts["seed"],
            metric=Objectives.from_facts(self.facts),
            plan=Plan(**self.facts["plan"]),
        )
        self.ledger.replay(self.history)
        if self.verdict is not None and not 0 <= self.verdict["winner"] < len(self.history):
            raise LedgerError(f"{path}: the finalists' winner is no trial of the study; {REPAIR}")
        self._elapsed_s = self.ledger.elapsed_s()

    @property
    def elapsed_s(self) -> float:
        return self._elapsed_s

    def edit(self, by: str = "python", wait_s: float = 5.0, **wanted: Any) -> list[str]:
        """Ask the search for a change, through its inbox; see `automl.study.live.requests` for what may be asked for.

        Args:
            by: who asks, for the ledger and the screen.
            wait_s: seconds to wait for the answer of the process that drives the search.
            wanted: add, stop, pin, pause, resume, budget, narrow; after.

        Returns:
            what was done, or what will be when the search goes on, a sentence each.

        Raises:
            SpecError: something is wrong with the request, or the search refused it; nothing was changed.
            EnvironmentProblem: the study's folder cannot be written.

        Example:
            automl.Study.open("studies/digits").edit(add={"lr": 0.01}, budget="+20")
        """
        assert self.path is not None
        id, waits = self.request(by, wanted)
        return waits or answered(self.path, id, wait_s)

    def request(self, by: str, wanted: Mapping[str, Any]) -> tuple[str, list[str]]:
        """Put a request into the inbox, as `edit` does, and do not wait for its answer.

        Returns:
            its id for `answered`, and, where nothing drives the study now, what will be done (else nothing).

        Raises:
            SpecError: something is wrong with it.
            EnvironmentProblem: the study's folder cannot be written.
        """
        assert self.path is not None
        request = Request.of({**wanted, "by": by})
        if is_driven(self.path / paths.LOCK):
            return inbox.post(self.path, {**wanted, "by": by}), []
        done = [in_words(edit) for edit in request.edits(self.history)]
        id = inbox.post(self.path, {**wanted, "by": by})
        return id, [*done, "nothing drives the study now: this takes effect when it goes on (automl resume)"]

    def close(self) -> None:
        """Close the ledger."""
        self.ledger.close()


def answered(path: Path, id: str, wait_s: float) -> list[str]:
    """What the process that drives the study in the folder `path` says to the request `id`, a sentence each.

    Raises:
        SpecError: it refused the request; nothing was changed.
    """
    answer = inbox.answer(path, id, wait_s)
    if answer is None:
        return ["no answer yet: it is read when the search is between two events, or goes on"]
    if not answer.get("ok"):
        raise SpecError(str(answer.get("error")))
    return [str(sentence) for sentence in answer["done"]]
