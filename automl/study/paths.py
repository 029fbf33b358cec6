"""Where things lie in a study's folder: the one place for these names.

studies/NAME/  ledger.sqlite, driver.lock    all that the study knows, and the lock of the process that drives it
               trials/00012/                 a trial's own folder: checkpoints, traceback, its saved model
               best/                         the winner's model, with winner.json
               ensemble/                     the models of an ensemble
               finalists/, refit/00012/      studies of their own, which are trained after the search
               compressed/                   smaller models made of the winner: variants/NAME/, and the chosen best/
               warm/                         the saved model whose weights all trials begin with
               logs/                         what the trials print
               inbox/                        requests to change the search while it runs, and the answers
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LEDGER = "ledger.sqlite"
LOCK = "driver.lock"
TRIALS = "trials"
BEST = "best"
ENSEMBLE = "ensemble"
FINALISTS = "finalists"
REFIT = "refit"
COMPRESSED = "compressed"
LOGS = "logs"
WARM = "warm"
INBOX = "inbox"
LANES = "lanes.json"
"""How many trials run well side by side, measured once."""
BUNDLE = "bundle"
"""A trial's saved model, in the trial's folder."""
OUTPUTS = "outputs.npy"
"""The outputs of that model on the validation rows, beside it."""
MANIFEST = "manifest.json"
"""The list of a saved model's files; without it there is no model."""
WINNER = "winner.json"
"""Which trial the model in `best/` belongs to."""


def trial(study: Path, number: int) -> Path:
    """The folder of the trial `number`: `trials/00012`."""
    return study / TRIALS / f"{number:05d}"


def log_name(trial: int | None, worker: int = 0) -> str:
    """The name of a log: `t00017.log` of a trial, `worker-0.log` of what is printed outside of trials."""
    return f"worker-{worker}.log" if trial is None else f"t{trial:05d}.log"


def bundle(study: Path, number: int) -> Path:
    """Where the trial `number` keeps its saved model, if it has one."""
    return trial(study, number) / BUNDLE


def refit(study: Path, number: int) -> Path:
    """The folder of the study that trains the config of trial `number` on the validation rows too."""
    return study / REFIT / f"{number:05d}"


def compressed(study: Path) -> Path:
    """The folder of the smaller models made of the winner."""
    return study / COMPRESSED


def project(study: Path, kept: Mapping[str, Any]) -> tuple[Path, Path | None]:
    """Where a study's specification lies now, also after the project was moved as a whole.

    Args:
        study: the study's folder.
        kept: what its ledger has about the specification: `folder` and `path` as they were, absolute; `beside`: the
            folder as seen from the study's (older studies lack it: then the folders above the study are tried).

    Returns:
        the folder that relative paths start from, and the specification's file; None where it was read from none.
    """
    folder, file = Path(kept["folder"]), Path(kept["path"]) if kept.get("path") else None
    if file is None or file.parent != folder:  # a ready-made space, or plain data
        return folder, file
    near = [study / kept["beside"]] if kept.get("beside") else list(study.absolute().parents)[:2]
    if "beside" not in kept and file.is_file():
        return folder, file
    for place in near:
        if (place / file.name).is_file():
            moved = Path(os.path.normpath(place))
            return moved, moved / file.name
    return folder, file
