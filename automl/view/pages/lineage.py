"""Whose weights an heir began with: its ancestors, and what each of them was trained with."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from automl.core.history import History
from automl.core.trial import TrialRecord, lineage
from automl.leaderboard import words


def document(history: History, record: TrialRecord) -> list[dict[str, Any]]:
    """`{"trial", "from", "until", "config"}` of each part, the first one first; none for a trial that is no heir."""
    if record.parent is None:
        return []
    return [
        {"trial": one.number, "from": one.begun_at + 1, "until": until, "config": one.config}
        for one, until in _parts(history, record)
    ]


def lines(history: History, record: TrialRecord) -> list[str]:
    """A line for each part; of its config only what differs from the part before."""
    if record.parent is None:
        return []
    parts = _parts(history, record)
    shown = [f"  {_steps(one, until)}  {words.trial(one.number)}  {{}}" for one, until in parts]
    changes = ["", *(_changes(before, after) for (before, _), (after, _) in pairwise(parts))]
    return ["", "schedule", *(line.format(change).rstrip() for line, change in zip(shown, changes, strict=True))]


def _parts(history: History, record: TrialRecord) -> Sequence[tuple[TrialRecord, int]]:
    """(trial, its last step that counts) from the first ancestor to the trial itself."""
    line = lineage(history.trials, record.number)
    ends = [heir.begun_at for heir in line[1:]]
    return list(zip(line, [*ends, record.step], strict=True))


def _steps(record: TrialRecord, until: int) -> str:
    return f"steps {record.begun_at + 1:>4} to {until:>4}"


def _changes(before: TrialRecord, after: TrialRecord) -> str:
    """`lr 0.01 -> 0.02, dropout 0.1 -> 0.3`."""
    changed = [name for name in after.config if after.config[name] != before.config.get(name)]
    return ", ".join(f"{words.clean(n)} {_value(before.config.get(n))} -> {_value(after.config[n])}" for n in changed)


def _value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else words.clean(value)
