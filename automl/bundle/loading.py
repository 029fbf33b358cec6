"""`automl.load`: a saved model or ensemble, whichever the folder holds."""

from pathlib import Path

import torch

from automl.bundle import ensemble, files
from automl.bundle.ensemble import Ensemble
from automl.bundle.io import load_model
from automl.bundle.model import Model
from automl.errors import BundleError
from automl.models import Build

TRIALS = "trials"
"""The folder of a study's trials, each with its saved model in `bundle/`."""


def load(
    folder: Path | str,
    *,
    trial: int | None = None,
    build: Build | None = None,
    trust: bool = False,
    device: torch.device | str = "cpu",
) -> Model | Ensemble:
    """Read a saved model: all hashes are checked, and the saved sample rows must give the saved outputs.

    Args:
        folder: a study (its winner is read), a bundle, or a study's `ensemble/`.
        trial: of a study with several objectives, the trial whose model is read: those on the front are kept.
        build: the function `build(config, inputs, outputs)` of a model that is not of a built-in family.
        trust: import that function from where the bundle says, in place of `build`. Runs that code.
        device: where the model computes, as torch names it.

    Returns:
        A `Model`, or an `Ensemble`, which answers in the same way.

    Raises:
        BundleError: there is no model, a file is missing or was changed, or the model's code is not given.

    Example:
        >>> automl.load("studies/flowers").predict(rows)
        >>> automl.load("studies/flowers", trial=17).predict(rows)
    """
    folder = files.find(Path(folder)) if trial is None else of_trial(Path(folder), trial)
    manifest = files.read_json(folder / files.MANIFEST)
    if not isinstance(manifest, dict):
        raise BundleError(f"{folder / files.MANIFEST}: not the manifest of a saved model")
    if manifest.get("format") == ensemble.FORMAT:
        return ensemble.read(folder, manifest, build=build, trust=trust, device=device)
    return load_model(folder, manifest, build=build, trust=trust, device=device)


def of_trial(study: Path, trial: int) -> Path:
    """The bundle of one trial.

    Raises:
        BundleError: its model was not kept; says which ones were.
    """
    kept = sorted(study.glob(f"{TRIALS}/*/bundle/{files.MANIFEST}"))
    numbers = {int(file.parts[-3]): file.parent for file in kept if file.parts[-3].isdecimal()}
    if trial not in numbers:
        have = f"those of trials {', '.join(map(str, numbers))} are" if numbers else "only the winner's is, in best/"
        raise BundleError(f"{study}: the model of trial {trial} is not kept; {have}")
    return numbers[trial]
