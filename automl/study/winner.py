"""What is kept on disk of trials that ended: the winner's model in `best/`, failures' tracebacks, nothing else.

Where an ensemble is wanted, the models of the `pool` best trials stay in their folders too, with their outputs on the
validation rows, as far as they fit into `POOL_BYTES`.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from automl.bundle.ensemble import OUTPUTS
from automl.core import files
from automl.core.trial import TrialRecord
from automl.study import checkpoint
from automl.study.study import Study

BEST = "best"
WINNER = "winner.json"
POOL_BYTES = 2**31


def publish(study: Study, record: TrialRecord) -> None:
    """Called for each trial that ended: a new best one becomes `best/`; checkpoints of ended trials are deleted."""
    if study.path is None:
        return
    folder = study.path / "trials" / f"{record.number:05d}"
    if study.keep == "best" and study.best is not None and study.best.number == record.number:
        bundle = folder / "bundle"
        if study.pool and bundle.is_dir():
            bundle = _copied(bundle, study.path)
        bundle.mkdir(parents=True, exist_ok=True)
        _describe(study, record, bundle)
        _replace(study.path / BEST, bundle)
    _thin(study, record.number)


def settle(study: Study) -> None:
    """Do what a killed driver left undone: name the winner, clear the folders of trials that have ended."""
    if study.path is None:
        return
    best = study.best if study.keep == "best" and not study.verdict else None
    if best is not None and published(study.path) != best.number:
        publish(study, best)
    trials = study.path / "trials"
    for folder in trials.iterdir() if trials.is_dir() else ():
        number = int(folder.name) if folder.name.isdecimal() else len(study.history)
        if number < len(study.history) and study.history.trials[number].state.ended:
            _thin(study, number)


def members(study: Study) -> dict[int, Path]:
    """The models of the pool: trial -> bundle, the best trial first."""
    assert study.path is not None
    found, room = {}, POOL_BYTES
    for record in study.ranked(study.pool):
        bundle = study.path / "trials" / f"{record.number:05d}" / "bundle"
        if (bundle / "manifest.json").is_file():
            room -= sum(file.stat().st_size for file in (*bundle.iterdir(), *bundle.parent.glob(OUTPUTS)))
            if room >= 0:
                found[record.number] = bundle
    return found


def _thin(study: Study, ended: int) -> None:
    """Delete what is not needed any more of the trial `ended`, and of the one that it has driven out of the pool."""
    assert study.path is not None
    kept = members(study) if study.pool else {}
    for number in {ended, *(t.number for t in study.ranked(study.pool + 1) if study.pool)} - kept.keys():
        clear(study.path / "trials" / f"{number:05d}", models=study.keep == "best")
    for number in {ended} & kept.keys():
        clear(study.path / "trials" / f"{number:05d}", models=False)


def crown(study: Study, record: TrialRecord, model: Path | None, verdict: Mapping[str, Any]) -> None:
    """The finalists' winner becomes `best/`: a copy of its saved `model` (None: it has none) and the verdict."""
    if study.path is None:
        return
    if model is None:
        new = study.path / ".best.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
    else:
        from automl.bundle import bundle

        new = _copied(model, study.path)
        bundle.annotate(new, verdict)
    _describe(study, record, new, verdict)
    _replace(study.path / BEST, new)


def published(path: Path) -> int | None:
    """The number of the trial whose model is in `best/`, None where there is none."""
    try:
        return int(json.loads((path / BEST / WINNER).read_bytes())["trial"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def clear(folder: Path, *, models: bool = True) -> None:
    """Delete a trial's checkpoints and its model; its tracebacks and whatever the user's code wrote there stay."""
    if not folder.exists():
        return
    if models:
        shutil.rmtree(folder / "bundle", ignore_errors=True)
        (folder / OUTPUTS).unlink(missing_ok=True)
    checkpoint.clear(folder)
    if not any(folder.iterdir()):
        folder.rmdir()


def _copied(model: Path, study: Path) -> Path:
    """A copy of `model` that is going to be `best/`."""
    new = study / ".best.new"
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(model, new)
    return new


def _replace(best: Path, bundle: Path) -> None:
    """Put `bundle` in the place of `best`; killed in between, it is still whole where it was, for `settle`."""
    old = best.with_name(".best.old")
    shutil.rmtree(old, ignore_errors=True)
    if best.exists():
        os.rename(best, old)
    os.rename(bundle, best)
    shutil.rmtree(old, ignore_errors=True)


def _describe(study: Study, record: TrialRecord, folder: Path, verdict: Mapping[str, Any] | None = None) -> None:
    assert record.loss is not None
    told = {
        "schema": 1,
        "study": study.name,
        "trial": record.number,
        "metric": study.metric.name,
        "value": study.metric.value(record.loss),
        "step": record.step,
        "config": {**record.config, **(verdict or {}).get("big", {})},
        **({"finalists": dict(verdict)} if verdict else {}),
    }
    files.write(folder / WINNER, json.dumps(told, indent=1).encode())
