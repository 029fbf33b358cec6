"""The vectors of several objectives, from the metrics that the ledger keeps of every report."""

import sqlite3

from automl.core.history import History
from automl.core.trial import Vector
from automl.errors import SpecError
from automl.study.ledger import kinds
from automl.study.ledger.schema import REPAIR


def restore(history: History, db: sqlite3.Connection) -> None:
    """Give the restored trials of `history` their vectors; nothing is done where one loss says all.

    Args:
        history: its trials have their curves.
        db: the ledger.

    Raises:
        SpecError: the study was begun with other objectives, and a report lacks one of these.
    """
    if history.objectives.plain:
        return
    found: dict[int, list[Vector]] = {}
    for trial, step, text in db.execute("SELECT trial, step, metrics FROM reports ORDER BY trial, step"):
        values = kinds.content(text, kinds.METRICS, REPAIR)
        if missing := [name for name in history.objectives.names if name not in values]:
            raise SpecError(f"trial {trial} did not report {missing[0]!r} at step {step}: it cannot be an objective")
        found.setdefault(trial, []).append(history.objectives.vector(values))
    for trial, vectors in found.items():
        if trial < len(history):
            history.restore_vectors(trial, vectors)
