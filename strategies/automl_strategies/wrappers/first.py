"""Try some known configs before anything else: the defaults, last month's winner, a colleague's guess."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from automl.core.history import History
from automl.core.space import Config, Space, Value
from automl.core.strategy import Strategy
from automl_strategies.surrogates.deduplication import Taken
from automl_strategies.wrappers.base import Described, inner


@dataclass(frozen=True)
class First(Strategy):
    """Try these configs first, then follow another strategy, which learns from them.

    A config may leave parameters out: they take their defaults, or the middle of their range.
    """

    configs: Sequence[Mapping[str, Value]] = ()
    defaults: bool = True  # the config of all defaults first of all, where the space has any
    strategy: Described = "auto"  # what follows

    def suggest(self, history: History, n: int) -> list[Config]:
        taken = Taken(history)
        found: list[Config] = []
        for config in self.listed(history.space):
            if len(found) < n and config not in taken:
                found.append(taken.add(config))
        rest = self._inner().suggest(history, n) if len(found) < n else []
        return found + [c for c in rest if c not in found][: n - len(found)]

    def listed(self, space: Space) -> list[Config]:
        """The configs to begin with, complete.

        Raises:
            SpecError: when one of them is not a member of the space.
        """
        default = space.default() if self.defaults else None
        return ([] if default is None else [default]) + [completed(space, config) for config in self.configs]

    def note(self, history: History) -> str:
        count = len(self.listed(history.space))
        return f"{count} given config{'s' * (count != 1)} first"

    def _inner(self) -> Strategy:
        return inner(self.strategy)


def completed(space: Space, config: Mapping[str, Value]) -> Config:
    """`config` with everything it leaves out at its default, or in the middle of its range."""

    def value(_: int, name: str) -> Value:
        p = space.params[name]
        if name in config:
            return config[name]
        return p.from_unit(0.5) if p.default is None else p.default

    full = space.build(value)
    return space.canonical({**full, **config})
