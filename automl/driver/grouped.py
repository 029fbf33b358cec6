"""Which trials a worker gets that trains many at once: trials of one group, so that they fit into one cohort.

The study is asked for a few trials more than are needed at once. A trial that does not fit what a worker is running
waits here until an idle worker asks, which gets the largest group there is. Trials that wait count as begun: should the
driver die, the next one hands them out first.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from automl.core.messages import ALIKE, Assignment, Ready
from automl.core.space import Config
from automl.driver.deterministic import VirtualTimeOrder
from automl.driver.order import ArrivalOrder, EventOrder
from automl.study.study import Study
from automl.worker.worker import Task

AHEAD = 32  # trials that may wait here: each one was suggested before the results of those that run were known


@dataclass(frozen=True)
class GroupedOrder(ArrivalOrder):
    """Events are processed when they arrive; trials are handed out by `group(config)`.

    Trials of the group "" run alone, so a worker gets one of them at a time: an idle worker before all others, a busy
    one beside those that it asks for, so that they need not wait until nothing else runs. A group may have a subgroup,
    "group/sub": an idle worker gets trials of the largest group, a busy one asks for the group it can use.
    """

    group: Callable[[Config], str] = lambda config: ""
    workers: list[int] = field(default_factory=lambda: [1])  # one number: how many workers share the last trials
    stock: list[tuple[str, Assignment]] = field(default_factory=list)  # (group, trial) that wait, oldest first

    def begin(self, workers: int) -> int:
        self.workers[0] = max(1, workers)
        return 1

    def ask(self, ready: Ready) -> list[Assignment]:
        lanes = min(ready.lanes, self._share())
        if self.study.spent or self.study.tight:
            self._withdraw()
        if ready.busy:
            self._fill(lanes, ready.fits)
            return [*self._take(ready.fits, lanes), *self._take_alone()] if ready.fits else []
        self._fill(lanes, None)
        if (alone := self._take_alone()) or not self.stock:
            return alone
        names = [name if ready.fits == ALIKE else name.partition("/")[0] for name, _ in self.stock]
        wanted = max(dict.fromkeys(names), key=lambda name: names.count(name) if name else 1)
        return self._take(wanted, lanes if wanted else 1)

    def _share(self) -> int:
        """How many trials one worker may take, so that the others get some of the last trials too."""
        total = self.study.plan.trials
        if total is None:
            return 10**9
        left = max(0, total - self.study.started) + len(self.stock)
        return max(1, -(-left // self.workers[0]))

    def _fill(self, lanes: int, fits: str | None) -> None:
        """Ask the study until `lanes` trials that fit (None: any) wait here, or `AHEAD` others."""
        while True:
            fitting = sum(fits is None or _within(name, fits) for name, _ in self.stock)
            missing = min(lanes - fitting, AHEAD - (len(self.stock) - fitting))
            asked = self.study.ask(missing) if missing > 0 else []
            self.stock.extend(("" if one.alone else self.group(one.config), one) for one in asked)
            if len(asked) < missing or missing <= 0:
                return

    def _take(self, name: str, most: int) -> list[Assignment]:
        """Up to `most` of the waiting trials of the group `name`."""
        chosen = [entry for entry in self.stock if _within(entry[0], name)][:most]
        for entry in chosen:
            self.stock.remove(entry)
        return [one for _, one in chosen]

    def _take_alone(self) -> list[Assignment]:
        """One of the waiting trials that always run alone, not of those that do so for once."""
        for name, one in self.stock:
            if not name and not one.alone:
                self.stock.remove((name, one))
                return [one]
        return []

    def _withdraw(self) -> None:
        """The budget of time or steps is used up: the trials that wait here will not be trained."""
        for _, one in self.stock:
            self.study.withdraw(one.number)
        self.stock.clear()

    def busy(self) -> bool:
        return bool(self.stock)


def _within(name: str, group: str) -> bool:
    """Whether the group `name` is `group` or a part of it."""
    return name == group or name.startswith(f"{group}/")


def event_order(study: Study, task: Task) -> EventOrder:
    """In which order a search processes events: see the three classes."""
    if study.deterministic:
        return VirtualTimeOrder(study)
    return GroupedOrder(study, task.group) if task.group else ArrivalOrder(study)
