"""The way `search`: a small search on all rows that are known, which begins with the winner's config."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from automl.api import from_spec
from automl.api.prepared import Search
from automl.core import seeds
from automl.data.further import Labelled
from automl.data.preparing import options
from automl.errors import SpecError
from automl.evaluation.candidates import FinalistOptions
from automl.study import paths
from automl.tasks.builtin import BuiltinTask
from automl.tasks.from_spec import task_of
from automl.updating.challengers import joining
from automl.updating.challengers.ways import Lesson, Way

SHARE = 0.2
"""This share of the rows that are learned from is for comparing trials; the rows that are held out stay unseen."""


def way(trials: int) -> Way:
    """The way `search` with a budget of so many trials."""

    def search(lesson: Lesson, folder: Path) -> Path:
        """A small search; killed, it goes on where it was.

        Raises:
            SpecError: the model does not come from a search whose specification is known.
        """
        known = lesson.known
        if "space" not in known.spec:
            raise SpecError("--how search: the model does not say how it was searched for; use --how retrain")
        learned, compared = _split([lesson.new, *lesson.old], lesson.seed("search"))
        prepared = joining.prepared_anew(known, learned, compared, lesson.classes)
        study = _run(lesson, prepared, folder.with_name(f"search-{lesson.digest}"), trials)
        return study / paths.BEST

    return search


def _run(lesson: Lesson, prepared: Any, folder: Path, trials: int) -> Path:
    from automl import specfile

    known = lesson.known
    tree = _fixed({**known.spec, "budget": {"trials": trials}, "ensemble": 0}, known.config)
    tree = {key: value for key, value in tree.items() if key not in ("fidelity", "ensemble", "constraints", "executor")}
    read = specfile.from_json(tree, name=folder.name, folder=known.base)
    first = {name: value for name, value in known.config.items() if name in read.space.names}
    read = replace(read, first=(first,))
    task = task_of(read)
    assert isinstance(task, BuiltinTask)
    folder.parent.mkdir(parents=True, exist_ok=True)
    study = from_spec.study_of(read, folder, {}, {}, accept_changes=True)
    Search(study, replace(task, sent=prepared), "inline", 1, None, FinalistOptions(2, 2, refit=False, ensemble=0)).run()
    return folder


def _fixed(tree: dict[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The specification with the preparation that has won: the rows are prepared once, not for each trial."""

    def fix(entries: Any) -> Any:
        if not isinstance(entries, Mapping):
            return entries
        return {name: config.get(name) if str(name).startswith(options.PREFIX) else fix(value)
                for name, value in entries.items()}  # fmt: skip

    return {**tree, "space": fix(tree["space"])}


def _split(batches: list[Labelled], seed: int) -> tuple[list[Labelled], list[Labelled]]:
    """The rows to train on, and those to compare trials by, drawn at random from each batch."""
    rng = np.random.default_rng(seeds.derive(seed, "split"))
    masks = [rng.random(len(one)) < SHARE for one in batches]
    both = ([one.take(np.flatnonzero(mask == want)) for one, mask in zip(batches, masks, strict=True)]
            for want in (False, True))  # fmt: skip
    learned, compared = ([one for one in part if len(one)] for part in both)
    return learned, compared
