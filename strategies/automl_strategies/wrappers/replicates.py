"""Tries the leaders again on another seed where noise decides who leads."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from automl.core.history import History
from automl.core.space import Config, config_key
from automl.core.strategy import Strategy
from automl.core.trial import State
from automl.errors import SpecError
from automl_strategies.wrappers.base import Described, inner

FIRST = 5
"""Configs of full length before the first one is tried again: it tells how large the noise is."""


@dataclass(frozen=True)
class Replicates(Strategy):
    """Follow another strategy; at the end of the search give the leaders further seeds where noise decides among them.

    The noise is the standard deviation among trials of the same config, over all configs that were tried more than
    once; the leader is the first that is. Whoever is not behind the leader by more than a standard error of the
    difference of both means may really be the best: of these, the one with the fewest trials is tried again, on the
    seed of its new trial. Without noise that happens once; with several objectives or limits never. Finalists do more
    of the same afterwards, so this is for searches without them.

    Args:
        strategy: which one to follow.
        after: share of the budget that is used up before; between 0 and 1.
        share: of all trials, so many may be repeats; between 0 and 1.
        most: trials of one config.

    Raises:
        SpecError: an option is out of its range.

    Example:
        automl.search("space.yaml", strategy={"name": "replicates", "strategy": "auto", "share": 0.1})
    """

    strategy: Described = "auto"
    after: float = 0.75
    share: float = 0.2
    most: int = 5

    def __post_init__(self) -> None:
        if not (0 <= self.share <= 1 and 0 <= self.after <= 1) or self.most < 2:
            raise SpecError("replicates: needs after and share within [0, 1], and most >= 2")

    def suggest(self, history: History, n: int) -> list[Config]:
        repeats = self.repeats(history, n)
        return [*inner(self.strategy).suggest(history, n - len(repeats)), *repeats]

    def note(self, history: History) -> str:
        most = f"after {self.after:.0%} of the budget, at most {self.share:.0%} of the trials"
        own = inner(self.strategy).note(history)
        return "; ".join(filter(None, [own, f"leaders within the noise get further seeds ({most})"]))

    def prepare(self) -> None:
        inner(self.strategy).prepare()

    def stopper(self) -> str:
        return inner(self.strategy).stopper()

    def repeats(self, history: History, n: int) -> list[Config]:
        """Up to `n` configs that are tried once more, of those that were tried already."""
        if n < 1 or not history.objectives.plain or _used(history) < self.after:
            return []
        groups = _by_config(history)
        known = [group for group in groups if group.losses]
        allowed = int(self.share * (len(history) + n)) - sum(group.tries - 1 for group in groups)
        if len(known) < FIRST or allowed < 1:
            return []
        known.sort(key=lambda group: group.mean)
        noise = _noise(known)
        if noise is None:
            return [known[0].config] if not any(group.waits for group in groups if group.tries > 1) else []
        rivals = [group for group in known if noise > 0 and known[0].near(group, noise)]
        if len(rivals) < 2:
            return []
        free = [group for group in rivals if group.tries < self.most and not group.waits]
        free.sort(key=lambda group: (len(group.losses), group.mean))
        return [group.config for group in free[: min(allowed, n)]]


def _used(history: History) -> float:
    """The share of the budget that is used up, of trials, steps or time: whichever is the largest."""
    plan, began_s = history.plan, history.trials[-1].started_s if len(history) else 0.0
    spent = ((len(history), plan.trials), (history.steps_spent, plan.steps), (began_s, plan.time_s))
    return max((used / most for used, most in spent if most), default=0.0)


@dataclass
class _Group:
    """The trials of one config.

    Attributes:
        config: of them all.
        losses: of those that ran their full length.
        tries: how many have begun and not failed.
        waits: whether one of them runs or is paused.
    """

    config: Config
    losses: list[float] = field(default_factory=list)
    tries: int = 0
    waits: bool = False

    @property
    def mean(self) -> float:
        return math.fsum(self.losses) / len(self.losses)

    def near(self, other: "_Group", noise: float) -> bool:
        """Whether the other one's mean is larger by no more than a standard error of the difference."""
        return other.mean - self.mean <= noise * math.sqrt(1 / len(self.losses) + 1 / len(other.losses))


def _by_config(history: History) -> list[_Group]:
    """All configs that were tried, heirs apart: what they are worth depends on more than their config."""
    groups: dict[object, _Group] = {}
    for trial in history.trials:
        if trial.state is State.FAILED or trial.parent is not None:
            continue
        group = groups.setdefault(config_key(trial.config), _Group(trial.config))
        group.tries += 1
        group.waits |= trial.state in (State.RUNNING, State.PAUSED)
        if trial.state is State.DONE and trial.loss is not None:
            group.losses.append(trial.loss)
    return list(groups.values())


def _noise(groups: Sequence[_Group]) -> float | None:
    """The standard deviation within configs that have several losses, pooled; None where there are none."""
    several = [np.array(group.losses) for group in groups if len(group.losses) > 1]
    if not several:
        return None
    squares = sum(float(((losses - losses.mean()) ** 2).sum()) for losses in several)
    return math.sqrt(squares / sum(len(losses) - 1 for losses in several))
