"""Deduplication: keeps strategies from suggesting a config twice."""

from collections.abc import Callable, Iterable
from weakref import WeakKeyDictionary

from automl.core.history import History
from automl.core.space import Config, config_key

RANDOM_TRIES = 50
"""Random draws after which a space counts as used up, and a repeated config is allowed."""

_tried: "WeakKeyDictionary[History, tuple[int, set[tuple[object, ...]]]]" = WeakKeyDictionary()


class SeenConfigs:
    """All configs of a history, whatever became of their trials, and those that are suggested in this call.

    Example:
        seen = SeenConfigs(history)
        if config not in seen:
            seen.add(config)
    """

    def __init__(self, history: History) -> None:
        count, keys = _tried.get(history, (0, set()))
        if count > len(history):
            count, keys = 0, set()
        keys.update(config_key(t.config) for t in history.trials[count:])
        _tried[history] = (len(history), keys)
        self._tried = keys
        self._new: set[tuple[object, ...]] = set()

    def __contains__(self, config: Config) -> bool:
        key = config_key(config)
        return key in self._tried or key in self._new

    def add(self, config: Config) -> Config:
        """Remember a config that is suggested now; returns it."""
        self._new.add(config_key(config))
        return config


def new_configs(history: History, n: int, proposals: Iterable[Config], seen: SeenConfigs | None = None) -> list[Config]:
    """The first `n` of `proposals` that are new; if there are fewer, random new configs for the rest.

    Where no new config is left (in a small finite space), random ones are repeated: training is noisy, and a strategy
    must not end a search whose budget is larger than the space.
    """
    seen = SeenConfigs(history) if seen is None else seen
    chosen: list[Config] = []
    if n > 0:
        for config in proposals:
            if config not in seen:
                chosen.append(seen.add(config))
            if len(chosen) == n:
                return chosen
    while len(chosen) < n:
        chosen.append(seen.add(new_random(history, len(chosen), seen)))
    return chosen


def new_random(history: History, k: int, seen: SeenConfigs, purpose: str = "fill") -> Config:
    """A random config for the k-th next trial; a new one, if one is found in `RANDOM_TRIES` draws."""
    rng = history.rng(k, purpose)
    config = history.space.sample(rng)
    for _ in range(RANDOM_TRIES):
        if config not in seen:
            break
        config = history.space.sample(rng)
    return config


def first_new(make: Callable[[int], Config], seen: SeenConfigs, tries: int) -> Config | None:
    """The first of `make(0)`, `make(1)`, ... that is new; None if none of `tries` is."""
    for attempt in range(tries):
        if (config := make(attempt)) not in seen:
            return config
    return None
