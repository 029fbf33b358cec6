"""What strategies share that wrap another strategy."""

from collections.abc import Mapping
from typing import Any

from automl.core import plugins
from automl.core.strategy import Strategy

Described = str | Mapping[str, Any] | Strategy
"""A strategy's name, `{"name": ..., option: value}`, or the strategy itself."""


def inner(described: Described) -> Strategy:
    """The wrapped strategy.

    Raises:
        UnknownPlugin: there is no strategy of that name.
        SpecError: an option is wrong.
    """
    strategy: Strategy = plugins.make("strategies", described)
    return strategy
