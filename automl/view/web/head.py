"""What the live page shows above its rows, as plain data: what stays while a search runs, and what changes."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from automl.core.parameters import Choice, Parameter
from automl.core.space import Space
from automl.leaderboard import words
from automl.leaderboard.importance import order
from automl.study.live.following import Followed
from automl.study.live.requests import in_words
from automl.view.pages import final
from automl.view.pages.status import state
from automl.view.screens.tracker import Tracker

EDITS = 50
"""So many of the last requests are shown."""


def about(study: Followed) -> dict[str, Any]:
    """What stays: names, the metric, and the space, whose parameters have their ranges as they were declared."""
    objectives = study.history.objectives
    return {
        "study": words.clean(study.name),
        "strategy": words.clean(study.facts.get("strategy", {}).get("name", "")),
        "stopper": words.clean(study.facts.get("stopper", {}).get("name", "")),
        "seed": study.history.seed,
        "metric": study.metric.name,
        "direction": study.metric.direction,
        "objectives": [{"name": one.name, "direction": one.direction} for one in objectives.metrics],
        "limits": list(map(str, objectives.limits)),
        "plain": objectives.plain,
        "horizon": study.plan.horizon,
        "params": [_parameter(name, p) for name, p in study.space.params.items()],
        "constants": study.space.constants,
    }


def _parameter(name: str, p: Parameter) -> dict[str, Any]:
    if isinstance(p, Choice):
        return {"name": name, "kind": "choice", "choices": list(p.choices), "conditional": bool(p.when)}
    kind = type(p).__name__.lower()
    return {"name": name, "kind": kind, "low": p.low, "high": p.high, "log": p.log, "conditional": bool(p.when)}


def ranges(space: Space) -> dict[str, Any]:
    """{parameter: its range as requests have left it}."""
    return {name: p.choices if isinstance(p, Choice) else (p.low, p.high) for name, p in space.params.items()}


def current_state(study: Followed, tracker: Tracker, *, driven: bool) -> dict[str, Any]:
    """What changes: the state of the search, its counts, what is best, what requests have changed, and its result."""
    shot, live = tracker.snapshot(study), study.history.live
    text, share = shot.progress
    best = study.winner
    counts = shot.counts
    states = ("running", "paused", "done", "stopped", "failed")
    return {
        "state": state(study, driven=driven),
        "elapsed_s": study.elapsed_s,
        "progress": [text, share],
        "counts": {"begun": counts.begun, **{name: getattr(counts, name) for name in states}},
        "epochs": shot.steps,
        "saved": shot.saved,
        "retried": shot.retried,
        "left_s": shot.eta if driven else None,
        "best": None if best is None else best.number,
        "verdict": study.verdict is not None,
        "so_far": list(shot.so_far),
        "importance": dict(shot.importance),
        "columns": order(study.space, dict(shot.importance)),
        "ranges": ranges(study.history.space),
        "queue": len(live.queue),
        "paused": live.paused,
        "pinned": sorted(live.pinned),
        "ending": sorted(n for n in live.stopped if not study.history.trials[n].state.ended),
        "edits": [_edit(fact) for fact in study.edits[: -EDITS - 1 : -1]],
        "result": [*final.winner(study, 100), *final.failures(study, 100)],
        "order": None if study.history.objectives.plain else [t.number for t in study.history.ranked()],
        "front": [t.number for t in study.history.front()] if study.history.objectives.several else [],
    }


def _edit(fact: Sequence[Any]) -> dict[str, Any]:
    what: Mapping[str, Any] = json.loads(fact[3])
    text = f"rows of {what.get('name')} were copied" if what["kind"] == "warm" else in_words(dict(what))
    return {"at_s": fact[5], "by": words.clean(fact[4]), "what": words.clean(text)}
