"""What each kind of edit does to a history. An edit is a plain mapping, as the ledger keeps it."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any

from automl.core.history import History
from automl.core.live.narrowing import narrowed
from automl.core.live.state import QUEUED, SEED, Earlier
from automl.core.trial import Cost
from automl.errors import SpecError

COSTS = tuple(field.name for field in fields(Cost))
"""What is known of the cost of an attempt."""
LIMITS = ("trials", "steps", "time_s")
"""The limits of a budget, which requests may change."""


def apply(history: History, edit: Mapping[str, Any], by: str = "") -> None:
    """Change a history as an edit says. What the study has to do besides is in `study.live.editing`.

    Args:
        history: it is changed.
        edit: `{"kind": ..., ...}`.
        by: who asked for it.
    """
    live = history.live
    match edit["kind"]:
        case "add":
            live.queue.append((QUEUED, history.space.restored(edit["config"])))
        case "stop":
            live.stopped[edit["trial"]] = by
        case "pin":
            live.pinned.add(edit["trial"])
        case "pause":
            live.paused = by
        case "resume":
            live.paused = None
        case "budget":
            _budget(history, edit)
        case "narrow":
            with suppress(SpecError):  # in a later session the space may be another one
                history.space = narrowed(history.space, edit["name"], edit["to"])
            live.queue = type(live.queue)(entry for entry in live.queue if history.space.contains(entry[1]))
        case "cost":
            history.pay(edit["trial"], Cost(**{name: edit[name] for name in COSTS if name in edit}))
        case "warm":
            restored = history.space.restored
            live.queue.extend((SEED, restored(config)) for config in edit["seeds"])
            configs, losses = tuple(restored(config) for config in edit["configs"]), tuple(edit["losses"])
            live.earlier.append(Earlier(edit["name"], configs, losses, edit["full"]))


def _budget(history: History, edit: Mapping[str, Any]) -> None:
    """A limit is changed where it is what it was when the edit was made: a later session may have another budget."""
    limit = edit["limit"]
    if getattr(history.plan, limit) == edit["was"]:
        history.plan = replace(history.plan, **{limit: edit["to"]})
        history.live.budget[limit] = edit["to"]
