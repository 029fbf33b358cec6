"""Tries given configs before another strategy is asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from automl.core.history import History
from automl.core.space import Config, Space, Value
from automl.core.strategy import Strategy
from automl_strategies.surrogates.deduplication import SeenConfigs
from automl_strategies.wrappers.base import Described, inner


@dataclass(frozen=True)
class First(Strategy):
    """Try given configs first, then follow another strategy, which learns from them.

    Args:
        configs: what to try, in this order. Parameters that a config leaves out take their default, or the middle of
            their range.
        defaults: try the config of all defaults first of all, if the space has any.
        strategy: what follows.

    Example:
        automl.search("space.yaml", strategy={"name": "first", "configs": [{"lr": 0.1}], "strategy": "tpe"})
    """

    configs: Sequence[Mapping[str, Value]] = ()
    defaults: bool = True
    strategy: Described = "auto"

    def suggest(self, history: History, n: int) -> list[Config]:
        seen = SeenConfigs(history)
        chosen: list[Config] = []
        for config in self.listed(history.space):
            if len(chosen) < n and config not in seen:
                chosen.append(seen.add(config))
        rest = self._inner().suggest(history, n) if len(chosen) < n else []
        return chosen + [c for c in rest if c not in chosen][: n - len(chosen)]

    def listed(self, space: Space) -> list[Config]:
        """The complete configs that are tried first.

        Raises:
            SpecError: one of them is not a point of the space.
        """
        default = space.default() if self.defaults else None
        return ([] if default is None else [default]) + [space.completed(config) for config in self.configs]

    def note(self, history: History) -> str:
        count = len(self.listed(history.space))
        return f"{count} given config{'s' * (count != 1)} first"

    def _inner(self) -> Strategy:
        return inner(self.strategy)
