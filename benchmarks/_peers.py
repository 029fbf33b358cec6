"""Optuna's pruners as stoppers, so that peers run in the same simulation as ours."""

from dataclasses import dataclass, field
from typing import Any

import optuna
from automl_strategies.bridges.optuna_storage import storage_of

from automl.core.history import History
from automl.core.stopper import CONTINUE, Kind, Stopper, Verdict


@dataclass(frozen=True)
class OptunaPruner(Stopper):
    """A pruner of `optuna.pruners`, asked about the trial as Optuna would see it."""

    pruner: Any = field(default_factory=lambda: optuna.pruners.SuccessiveHalvingPruner(1, 3))

    def verdict(self, history: History, trial: int) -> Verdict:
        storage = storage_of(history)
        study = _study(storage)
        prune = self.pruner.prune(study, storage.frozen[trial])
        return Verdict(Kind.STOP, "pruned by Optuna") if prune else CONTINUE


_studies: dict[int, tuple[Any, Any]] = {}


def _study(storage: Any) -> Any:
    """The study of a storage; loading one for each report would cost more than the pruner."""
    found = _studies.get(0)
    if found is None or found[0] is not storage:
        found = _studies[0] = (storage, optuna.load_study(study_name="history", storage=storage))
    return found[1]
