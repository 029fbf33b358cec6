"""What requests have changed in a study, as a part of its history."""

from collections import deque
from dataclasses import dataclass, field

from automl.core.parameters import Config

QUEUED, SEED = "edit", "earlier"
"""The origins of trials that a request or an earlier study has put into the queue."""


@dataclass(frozen=True)
class Earlier:
    """What is known from an earlier study: its configs, completed for the present space, the best first.

    Attributes:
        name: of the study.
        configs: those of its trials that fit into the present space; those of full length come first.
        losses: the loss of each, lower is better. They are on the earlier study's scale.
        full: how many of them, from the first on, ran their full length: only these losses can be compared.
    """

    name: str
    configs: tuple[Config, ...]
    losses: tuple[float, ...]
    full: int


@dataclass
class Live:
    """What requests have changed, up to the last fact of the ledger.

    Attributes:
        queue: (origin, config) of what is tried before the strategy is asked.
        stopped: {running trial: who asked for its end}; it ends with its next report.
        pinned: trials that no stopper ends.
        paused: who asked for a pause; None: no trial waits.
        requests: ids of the requests that were carried out.
        earlier: rows of earlier studies.
        budget: {limit: its value} of the limits that requests have changed.
    """

    queue: deque[tuple[str, Config]] = field(default_factory=deque)
    stopped: dict[int, str] = field(default_factory=dict)
    pinned: set[int] = field(default_factory=set)
    paused: str | None = None
    requests: set[str] = field(default_factory=set)
    earlier: list[Earlier] = field(default_factory=list)
    budget: dict[str, float] = field(default_factory=dict)
