"""What the ledger says about a study as a whole, and what is different when the study is opened again."""

import difflib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from automl.core.history import History
from automl.core.objectives.goals import Objectives
from automl.core.plugins import Described
from automl.errors import SpecError
from automl.study.reader import Readable

COMPARED = ("space", "metric", "objectives", "seed", "step")
"""Facts that may not change without the user's consent: results would no longer be comparable."""

KEPT = ("finalists", "data_summary", "pack", "sharing")
"""Facts that become known while a study runs; a session that goes on begins with them."""


def described(study: Readable, strategy: Described, stopper: Described, *, deterministic: bool) -> dict[str, Any]:
    """The facts about a study, as plain values."""
    plan, metric = study.plan, study.metric
    return {
        "name": study.name,
        "space": study.space.to_json(),
        "metric": {"name": metric.name, "direction": metric.direction, "count": metric.count},
        **several_objectives(study.history.objectives),
        "strategy": _named(strategy),
        "stopper": _named(stopper),
        "seed": study.history.seed,
        "plan": {
            "trials": plan.trials,
            "steps": plan.steps,
            "time_s": plan.time_s,
            "horizon": plan.horizon,
            **({} if plan.unit == "epoch" else {"unit": plan.unit}),
        },
        "deterministic": deterministic,
    }


def several_objectives(objectives: Objectives) -> dict[str, Any]:
    """The facts about objectives beside the first, and limits; none where there are none."""
    if objectives.plain:
        return {}
    return {"objectives": objectives.to_json(), "choose": objectives.choose_json()}


def _named(plugin: Described) -> Any:
    """A plugin as plain values: its name and options, never the object."""
    if isinstance(plugin, str):
        return {"name": plugin}
    return dict(plugin) if isinstance(plugin, Mapping) else {"name": type(plugin).__name__.lower()}


def changes(path: Path | None, before: Mapping[str, Any], now: Mapping[str, Any], *, accept: bool) -> str:
    """The differences in what must stay the same, as lines of text; empty where there are none.

    Args:
        path: the study's folder, for the message.
        before: the facts in the ledger; those that are missing are not compared.
        now: the facts of the study that is being opened.
        accept: return differences instead of refusing them.

    Raises:
        SpecError: there are differences, and they are not accepted.
    """
    if "metric" in before and ("objectives" in before) != ("objectives" in now):
        before, now = ({"objectives": None, **facts} for facts in (before, now))
    differences = {fact: difference(fact, before, now) for fact in COMPARED}
    text = "\n".join(lines for lines in differences.values() if lines)
    if text and not accept:
        names = " and ".join(fact for fact, lines in differences.items() if lines)
        raise SpecError(f"{path}: this study was begun with another {names}:\n{text}")
    return text


def compare_at_equal_steps(study: Readable, before: Mapping[str, Any]) -> None:
    """Where full trials had another length in an earlier session, rank all by what they reported up to the shorter one.

    Args:
        study: its plan, facts and notes are completed; its trials are not read yet.
        before: the facts in the ledger.
    """
    plan, earlier = study.plan, before.get("plan", {})
    lengths = [earlier.get("compared_at"), earlier.get("horizon"), plan.horizon]
    if lengths[0] is None and (None in lengths[1:] or lengths[1] == lengths[2]):
        return
    at = min(step for step in lengths if step is not None)
    study.history.plan = replace(plan, compared_at=at)
    study.facts["plan"]["compared_at"] = at
    now = "no known length" if plan.horizon is None else f"{plan.horizon} steps"
    study.notes.append(
        f"a full trial has {now} now, and had another length before: all trials are compared at step {at}"
    )


def difference(fact: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The lines in which a fact differs, with `-` and `+` in front; empty where it is the same or was not known."""
    if fact not in before or fact not in now or before[fact] == now[fact]:
        return ""
    a, b = (json.dumps(facts[fact], indent=1, sort_keys=True).splitlines() for facts in (before, now))
    lines = [line for line in difflib.unified_diff(a, b, n=0, lineterm="") if line[:2] not in ("--", "++", "@@")]
    return "\n".join(f"  {line}" for line in lines)


def check_members(path: Path | None, history: History) -> None:
    """Check that all trials lie in the history's space, which may have changed since they were begun.

    Raises:
        SpecError: one does not.
    """
    for record in history.trials:
        if not history.declared.contains(record.config):
            raise SpecError(f"{path}: trial {record.number} is outside of the new space: {record.config}")
