"""The way `search`: a small search on all rows that are known, which begins with the winner's config."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from automl.api import from_spec
from automl.api.prepared import Search
from automl.data.preparing import options
from automl.errors import SpecError
from automl.evaluation.candidates import FinalistOptions
from automl.study import paths
from automl.tasks.builtin import BuiltinTask
from automl.tasks.from_spec import task_of
from automl.updating.challengers import joining
from automl.updating.challengers.ways import Lesson, Way


def way(trials: int) -> Way:
    """The way `search` with a budget of `trials` trials."""

    def search(lesson: Lesson, folder: Path) -> Path:
        """A small search; killed, it goes on where it was.

        Raises:
            SpecError: the model does not come from a search whose specification is known.
        """
        champion = lesson.champion
        if "space" not in champion.spec:
            raise SpecError("--how search: the model does not say how it was searched for; use --how retrain")
        learned, compared = joining.split([lesson.new, *lesson.old], lesson.seed("search"))
        prepared = joining.prepared_again(champion, learned, compared, lesson.classes)
        study = _run(lesson, prepared, folder.with_name(f"search-{lesson.digest}"), trials)
        return study / paths.BEST

    return search


def _run(lesson: Lesson, prepared: Any, folder: Path, trials: int) -> Path:
    from automl import specfile

    champion = lesson.champion
    tree = _fixed({**champion.spec, "budget": {"trials": trials}, "ensemble": 0}, champion.config)
    tree = {key: value for key, value in tree.items() if key not in ("fidelity", "ensemble", "constraints", "executor")}
    read = specfile.from_json(tree, name=folder.name, folder=champion.base)
    first = {name: value for name, value in champion.config.items() if name in read.space.names}
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
