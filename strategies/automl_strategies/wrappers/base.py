"""What strategies that wrap a strategy share."""

from collections.abc import Mapping
from typing import Any

from automl.core import plugins
from automl.core.strategy import Strategy

Described = str | Mapping[str, Any] | Strategy


def inner(described: Described) -> Strategy:
    """The wrapped strategy, from its name, its description or itself."""
    made: Strategy = plugins.make("strategies", described)
    return made


def note_of(strategy: Strategy, history: Any) -> str:
    """What the wrapped strategy has to say, if it says anything."""
    say = getattr(strategy, "note", None)
    return str(say(history)) if callable(say) else ""
