"""One round: the challengers of one batch of new rows, each compared with the champion on the same rows."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from automl.bundle.io import load_model
from automl.errors import AutoMLError
from automl.updating import batches
from automl.updating.batches import Batch
from automl.updating.challengers import searching
from automl.updating.challengers.comparison import compare
from automl.updating.challengers.scoring import HeldOut
from automl.updating.challengers.ways import WAYS, Lesson, Way
from automl.updating.champion import Champion, new_classes
from automl.updating.journal import Entry
from automl.updating.options import Options
from automl.updating.place import Place


class Round:
    """The challengers of one batch of new rows, compared with the champion on the same rows."""

    def __init__(self, champion: Champion, new: Batch, before: Sequence[Batch], options: Options, place: Place) -> None:
        self.champion, self.new, self.options, self.place = champion, new, options, place
        old = list(before)
        self.old_learned = [b.found for b in batches.sample(old, options.keep_rows, held=False)]
        self.old_held = [b.found for b in batches.sample(old, options.keep_rows // 4, held=True)]
        self.new_learned = new.found.take(np.flatnonzero(~new.held))
        self.new_held = new.found.take(np.flatnonzero(new.held))
        self.classes = list(champion.model.classes or [])
        if champion.model.kind == "classification":
            everything = [*self.old_learned, *self.old_held, self.new_learned, self.new_held]
            labels = np.concatenate([one.y for one in everything])
            self.classes += new_classes(self.classes, labels)
        self.held_out = {
            "old": HeldOut(self.old_held, self.classes, champion.metric, champion.model),
            "new": HeldOut([self.new_held], self.classes, champion.metric, champion.model),
        }
        self.said = {part: held.outputs(champion.answers) for part, held in self.held_out.items()}

    def attempt(self, how: str, sure: float) -> tuple[Entry, Path | None]:
        """Make a challenger and compare it; (what happened, its bundle or None)."""
        begun, cpu = time.perf_counter(), time.process_time()
        lesson = Lesson(self.champion, self.new_learned, self.old_learned, [*self.old_held, self.new_held],
                        self.classes, self.new.digest, self.options.device)  # fmt: skip
        tried: Entry = {"how": how, "passed": False, "error": None, "metrics": {}}
        try:
            bundle = self._way(how)(lesson, self.place.work / how)
            challenger = load_model(bundle, build=self.champion.build)
        except AutoMLError as error:
            if self.options.how != "auto":
                raise
            return {**tried, "error": str(error)}, None
        learned_s = time.perf_counter() - begun
        tried["cpu_s"], tried["seconds"] = round(time.process_time() - cpu, 3), round(learned_s, 3)
        outputs = {part: held.outputs(challenger) for part, held in self.held_out.items()}
        for part, held in self.held_out.items():
            tried[part] = compare(held.metric, held.sample(self.said[part]), held.sample(outputs[part]),
                                  self.options.lose, sure).to_json()  # fmt: skip
            prefix = "val_" if part == "old" else "new_"
            tried["metrics"] |= {prefix + name: value for name, value in held.metrics(outputs[part]).items()}
        tried["passed"] = bool(tried["old"]["passed"] and tried["new"]["passed"] and tried["new"]["gap"] > 0)
        return tried, bundle

    def _way(self, how: str) -> Way:
        if how == "search":
            return searching.way(self.options.trials)
        return WAYS[how]
