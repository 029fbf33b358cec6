"""`automl.load`: a saved model or ensemble, whichever the folder holds."""

from pathlib import Path

import torch

from automl.bundle import ensemble, files
from automl.bundle.ensemble import Ensemble
from automl.bundle.io import load_model
from automl.bundle.model import Model
from automl.errors import BundleError
from automl.models import Build


def load(
    folder: Path | str,
    *,
    build: Build | None = None,
    trust: bool = False,
    device: torch.device | str = "cpu",
) -> Model | Ensemble:
    """Read a saved model: all hashes are checked, and the saved sample rows must give the saved outputs.

    Args:
        folder: a study (its winner is read), a bundle, or a study's `ensemble/`.
        build: the function `build(config, inputs, outputs)` of a model that is not of a built-in family.
        trust: import that function from where the bundle says, in place of `build`. Runs that code.
        device: where the model computes, as torch names it.

    Returns:
        A `Model`, or an `Ensemble`, which answers in the same way.

    Raises:
        BundleError: there is no model, a file is missing or was changed, or the model's code is not given.

    Example:
        >>> automl.load("studies/flowers").predict(rows)
    """
    folder = files.find(Path(folder))
    manifest = files.read_json(folder / files.MANIFEST)
    if not isinstance(manifest, dict):
        raise BundleError(f"{folder / files.MANIFEST}: not the manifest of a saved model")
    if manifest.get("format") == ensemble.FORMAT:
        return ensemble.read(folder, manifest, build=build, trust=trust, device=device)
    return load_model(folder, manifest, build=build, trust=trust, device=device)
