"""Which files of trials that ended are kept: the best model in `best/`, tracebacks of failures, nothing else.

With several objectives, all models of the front stay in their folders, and `best/` has a copy of one.
Where an ensemble is wanted, the models of the `pool` best trials stay in their folders too, with their outputs on the
validation rows, as far as they fit into `POOL_BYTES`. A study with `keep="all"` keeps every model and has no `best/`.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from automl.core import files
from automl.core.trial import State, TrialRecord, schedule_of
from automl.study import checkpoint, paths
from automl.study.study import Study

POOL = 50
"""So many of the best trials keep their models where an ensemble is wanted."""
POOL_BYTES = 2**31
"""Their models and outputs take at most so many bytes together."""


def keep_best(study: Study, record: TrialRecord, room: int = POOL_BYTES) -> None:
    """Tidy up after a trial that ended: the best one's model moves to `best/`; checkpoints are deleted.

    Args:
        study: the search.
        record: the trial that ended.
        room: bytes that the models of the pool may take together.
    """
    if study.path is None:
        return
    best, several = study.best, study.history.objectives.several
    before = best_trial(study.path) if several else None  # any new trial may change which one of the front is best
    moved = best is not None and (best.number == record.number or (several and best.number != before))
    if study.keep == "best" and best is not None and moved:
        bundle = paths.bundle(study.path, best.number)
        if (study.pool or several) and bundle.is_dir():
            bundle = _copied(bundle, study.path)
        bundle.mkdir(parents=True, exist_ok=True)
        _describe(study, best, bundle)
        _replace(study.path / paths.BEST, bundle)
    _clear_ended(study, record.number, room)


def model_wanted(study: Study, trial: int, last: TrialRecord | None) -> bool:
    """Whether the trial's model would be kept if it ended now; `last`: the worst trial whose model is kept."""
    record = study.history.trials[trial]
    if record.loss is None or record.state is State.FAILED:
        return False
    if record.state is not State.RUNNING:  # it leaves before its full length
        return study.history.partial is record or study.in_pool(record, last)
    if not study.history.objectives.plain:
        return study.history.may_lead(record)
    return last is None or (record.loss, record.number) < (last.loss, last.number)


def keep_partial(study: Study) -> str:
    """At the end of a search in which no trial ran its full length: the best partial trial's model moves to `best/`.

    The models that other trials left when they were stopped are deleted.

    Returns:
        what the user is to know; an empty text where a trial ran its full length, or none has reported.
    """
    record = None if study.history.running else study.history.partial
    if study.path is not None and study.keep == "best" and not study.history.running:
        _publish_partial(study, study.path, record)
    if record is None:
        return ""
    full = f" of {study.plan.horizon}" if study.plan.horizon else ""
    return (
        f"the budget ended before any trial ran its full length: the best partial one wins, trial {record.number} "
        f"at step {record.step}{full}; give the search more time, or its trials fewer steps"
    )


def _publish_partial(study: Study, path: Path, record: TrialRecord | None) -> None:
    if record is not None and best_trial(path) != record.number:
        bundle = paths.bundle(path, record.number)
        if study.pool and bundle.is_dir():
            bundle = _copied(bundle, path)
        bundle.mkdir(parents=True, exist_ok=True)
        _describe(study, record, bundle)
        _replace(path / paths.BEST, bundle)
    for stopped in study.history.stopped:
        _clear_ended(study, stopped.number, POOL_BYTES)


def recover(study: Study) -> None:
    """Do what a killed driver left undone: fill `best/`, and clear the folders of trials that have ended."""
    if study.path is None:
        return
    best = study.best if study.keep == "best" and not study.verdict else None
    if best is not None and best_trial(study.path) != best.number:
        keep_best(study, best)
    trials = study.path / paths.TRIALS
    for folder in trials.iterdir() if trials.is_dir() else ():
        number = int(folder.name) if folder.name.isdecimal() else len(study.history)
        if number < len(study.history) and study.history.trials[number].state.ended:
            _clear_ended(study, number, POOL_BYTES)


def promote(study: Study, record: TrialRecord, model: Path | None, verdict: Mapping[str, Any]) -> None:
    """Put the finalists' winner into `best/`.

    Args:
        study: the search.
        record: the trial whose config won.
        model: its saved model, which is copied; None where it has none.
        verdict: what the final evaluation found (see `automl.evaluation.verdict`); it is written beside the model.
    """
    if study.path is None:
        return
    if model is None:
        new = study.path / ".best.new"
        files.empty(new)
    else:
        from automl.bundle.io import add_scores

        new = _copied(model, study.path)
        if not verdict.get("pack"):  # its scores are those of the ensemble
            add_scores(new, verdict)
    _describe(study, record, new, verdict)
    _replace(study.path / paths.BEST, new)


def pool(study: Study, room: int = POOL_BYTES) -> dict[int, Path]:
    """The saved models of the pool, by trial, the best trial first; `room`: bytes that they may take together."""
    assert study.path is not None
    bundles = {}
    for record in study.ranked(study.pool):
        bundle = paths.bundle(study.path, record.number)
        if (bundle / paths.MANIFEST).is_file():
            room -= sum(file.stat().st_size for file in (*bundle.iterdir(), *bundle.parent.glob(paths.OUTPUTS)))
            if room >= 0:
                bundles[record.number] = bundle
    return bundles


def best_trial(study: Path) -> int | None:
    """The number of the trial whose model is in `best/` of the study's folder; None where there is none."""
    try:
        return int(json.loads((study / paths.BEST / paths.WINNER).read_bytes())["trial"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _clear_ended(study: Study, ended: int, room: int) -> None:
    """Delete what is no longer needed of the trial `ended`, and of the one that it has displaced from the pool."""
    assert study.path is not None
    if study.history.partial is not None and study.history.partial.number == ended:
        checkpoint.clear(paths.trial(study.path, ended))
        return
    kept = pool(study, room) if study.pool else {}
    if study.history.objectives.several:
        kept = {t.number: paths.bundle(study.path, t.number) for t in study.history.front()}
        displaced = {t.number for t in study.history.done if study.history.front_of(t.number) == 2}
    else:
        displaced = {t.number for t in study.ranked(study.pool + 1) if study.pool}
    for number in ({ended} | displaced) - kept.keys():
        _clear(paths.trial(study.path, number), models=study.keep == "best")
    for number in {ended} & kept.keys():
        _clear(paths.trial(study.path, number), models=False)


def _clear(folder: Path, *, models: bool) -> None:
    """Delete a trial's checkpoints, and its model too; tracebacks and what the user's code wrote there stay."""
    if folder.is_symlink() or not folder.exists():
        return
    if models:
        files.delete(folder / paths.BUNDLE)
        (folder / paths.OUTPUTS).unlink(missing_ok=True)
    checkpoint.clear(folder)
    if not any(folder.iterdir()):
        folder.rmdir()


def _copied(model: Path, study: Path) -> Path:
    """A copy of `model` that is going to be `best/`."""
    new = study / ".best.new"
    files.copy(model, files.empty(new))
    return new


def _replace(best: Path, bundle: Path) -> None:
    """Rename `bundle` to `best`; after a kill in between, the model is still where it was, and `recover` finds it."""
    old = best.with_name(".best.old")
    files.delete(old)
    if best.exists() or best.is_symlink():
        os.rename(best, old)
    os.rename(bundle, best)
    files.delete(old)


def _schedule(study: Study, record: TrialRecord) -> list[dict[str, Any]]:
    """What trained the model of an heir: `{"config": ..., "until": step}` of each part; the last one has no end."""
    return [{"config": part.config, "until": part.until} for part in schedule_of(study.history.trials, record.number)]


def _describe(study: Study, record: TrialRecord, folder: Path, verdict: Mapping[str, Any] | None = None) -> None:
    """Write `winner.json`."""
    assert record.loss is not None
    fields = {
        "schema": 1,
        "study": study.name,
        "trial": record.number,
        "metric": study.metric.name,
        "value": study.metric.value(record.loss),
        "step": record.step,
        "config": {**record.config, **(verdict or {}).get("big", {})},
        **({"schedule": _schedule(study, record)} if record.parent is not None else {}),
        **({"finalists": dict(verdict)} if verdict else {}),
        **({"pack": True} if verdict and verdict.get("pack") else {}),
    }
    files.write(folder / paths.WINNER, json.dumps(fields, indent=1).encode())
