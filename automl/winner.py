"""What is kept on disk of trials that ended: the winner's model in `best/`, failures' tracebacks, nothing else."""

import json
import os
import shutil
from pathlib import Path

from automl import checkpoint
from automl.study import Study
from automl.trial import TrialRecord

BEST = "best"


def publish(study: Study, record: TrialRecord) -> None:
    """Called for each trial that ended: a new best one becomes `best/`; checkpoints of ended trials are deleted."""
    if study.path is None:
        return
    folder = study.path / "trials" / f"{record.number:05d}"
    if study.best is not None and study.best.number == record.number:
        _replace(study.path / BEST, folder / "bundle")
        _describe(study, record)
    clear(folder)


def clear(folder: Path) -> None:
    """Delete a trial's checkpoints and model; its tracebacks and whatever the user's code wrote there stay."""
    if not folder.exists():
        return
    shutil.rmtree(folder / "bundle", ignore_errors=True)
    for file in [*folder.glob("*.ckpt"), folder / checkpoint.MANIFEST]:
        file.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def _replace(best: Path, bundle: Path) -> None:
    """Put `bundle` in the place of `best`: at any instant there is an old or a new winner."""
    old = best.with_name(".best.old")
    shutil.rmtree(old, ignore_errors=True)
    if best.exists():
        os.rename(best, old)
    if bundle.exists():
        os.rename(bundle, best)
    best.mkdir(exist_ok=True)
    shutil.rmtree(old, ignore_errors=True)


def _describe(study: Study, record: TrialRecord) -> None:
    assert study.path is not None
    assert record.loss is not None
    told = {
        "schema": 1,
        "study": study.name,
        "trial": record.number,
        "metric": study.metric.name,
        "value": study.metric.value(record.loss),
        "step": record.step,
        "config": record.config,
    }
    checkpoint.write(study.path / BEST / "winner.json", json.dumps(told, indent=1).encode())
