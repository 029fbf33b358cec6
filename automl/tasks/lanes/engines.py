"""The engines of a worker: one for each preparation of the data that trials choose."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from automl.data.prepared import Prepared
from automl.data.preparing import options
from automl.errors import EnvironmentProblem, out_of_memory, text_of
from automl.fused.engine import Engine
from automl.fused.folded import FoldedEngine
from automl.fused.problem import Options, Problem
from automl.fused.trial_engine import TrialEngine
from automl.study import paths
from automl.tasks.fusing import mixes_of
from automl.tasks.recipe import KEPT
from automl.tasks.session import TrainingSession
from automl.training import gpu


@dataclass
class Engines:
    """An engine for each family and preparation of the data that trials choose; the last `KEPT` of them are kept.

    Trials of one signature have one preparation, and only those of one signature train at a time.
    """

    session: TrainingSession
    folder: Path | None
    kept: dict[str, TrialEngine] = field(default_factory=dict)

    def of(self, config: Mapping[str, Any]) -> TrialEngine:
        """The engine that trains trials like `config`. Raises DataError where the data cannot be prepared so."""
        recipe, chosen = self.session.recipe, options.chosen(config)
        kind = [recipe.family(config), bool(mixes_of(recipe, config))] if config else []
        key = json.dumps([kind, chosen], sort_keys=True)
        engine = self.kept.pop(key, None) or self._new(self.session.resident(config), config)
        self.kept[key] = engine
        if len(self.kept) > KEPT:
            self.kept.pop(next(iter(self.kept)))
        return engine

    def _new(self, data: Prepared, config: Mapping[str, Any]) -> TrialEngine:
        """An engine for these data, in the place of all others if there is no memory for one more of them."""
        try:
            return _engine(self.session, data, config, self.folder)
        except Exception as error:
            full = isinstance(error, EnvironmentProblem) and self.kept
            if not full and not out_of_memory(error):
                raise
        self.kept.clear()
        gpu.free()
        try:
            return _engine(self.session, data, config, self.folder)
        except Exception as error:
            if not out_of_memory(error):
                raise
            reason = f"the memory of {self.session.device} ran out while the data were copied there: {text_of(error)}"
            raise EnvironmentProblem(reason) from error

    def free(self) -> None:
        """Let go of whatever is kept and can be made again."""
        for engine in self.kept.values():
            engine.free()


def _engine(session: TrainingSession, data: Prepared, config: Mapping[str, Any], folder: Path | None) -> TrialEngine:
    recipe = session.recipe
    what = (session.build, data.inputs, data.outputs, data.kind)
    augment = recipe.settings.get("augment", {})
    validation = session.validation(config)
    problem = Problem(*what, data.train, data.val, data.unit, mixes_of(recipe, config), recipe.own_factory, augment,
                      recipe.unit_for(data), validation.sample, validation.at_end)  # fmt: skip
    how = Options(
        fuse=recipe.fuse,
        device=session.device,
        bf16=session.bf16,
        tf32=session.tf32,
        auroc_every_epoch=bool(
            {"val_auroc", "val_average_precision", "val_ece"} & {recipe.metric.name, *recipe.further}
        ),
        measurements=folder / paths.LANES if folder else None,
        epochs=recipe.epochs,
    )
    lanes = Engine(problem, how)
    return lanes if data.folds is None else FoldedEngine(lanes)
