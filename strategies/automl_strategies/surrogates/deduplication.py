"""No config twice: the filter that model-based strategies put between what they want and what they suggest."""

from collections.abc import Callable, Iterable
from weakref import WeakKeyDictionary

from automl.core.history import History
from automl.core.space import Config, config_key

RANDOM_TRIES = 50  # random draws before a space counts as used up and a repeat is allowed

_seen: "WeakKeyDictionary[History, tuple[int, set[tuple[object, ...]]]]" = WeakKeyDictionary()


class Taken:
    """Keys of all configs that were tried, run now, or were just suggested."""

    def __init__(self, history: History) -> None:
        count, keys = _seen.get(history, (0, set()))
        if count > len(history):
            count, keys = 0, set()
        keys.update(config_key(t.config) for t in history.trials[count:])
        _seen[history] = (len(history), keys)
        self._tried = keys
        self._new: set[tuple[object, ...]] = set()

    def __contains__(self, config: Config) -> bool:
        key = config_key(config)
        return key in self._tried or key in self._new

    def add(self, config: Config) -> Config:
        self._new.add(config_key(config))
        return config


def fill(history: History, n: int, proposals: Iterable[Config], taken: Taken | None = None) -> list[Config]:
    """The first `n` of `proposals` that are new, made up with new random ones.

    Where no new config can be found (a small finite space), random ones are repeated: training is noisy, and a
    strategy never ends a search that was given more budget than there are configs.
    """
    taken = Taken(history) if taken is None else taken
    found: list[Config] = []
    if n > 0:
        for config in proposals:
            if config not in taken:
                found.append(taken.add(config))
            if len(found) == n:
                return found
    while len(found) < n:
        found.append(taken.add(new_random(history, len(found), taken)))
    return found


def new_random(history: History, k: int, taken: Taken, purpose: str = "fill") -> Config:
    """A random config for the k-th next trial, new if one is found in `RANDOM_TRIES` draws."""
    rng = history.rng(k, purpose)
    config = history.space.sample(rng)
    for _ in range(RANDOM_TRIES):
        if config not in taken:
            break
        config = history.space.sample(rng)
    return config


def retried(make: Callable[[int], Config], taken: Taken, tries: int) -> Config | None:
    """The first new one of `make(0)`, `make(1)`, ...; None when all were taken."""
    for attempt in range(tries):
        if (config := make(attempt)) not in taken:
            return config
    return None
