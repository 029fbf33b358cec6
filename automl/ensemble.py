"""Several saved models that answer together: chosen greedily on the validation rows, averaged with whole weights.

`studies/NAME/ensemble/` holds `manifest.json` (members, weights, hashes) and a bundle for each member. The choice is
that of Caruana et al. 2004 ("Ensemble selection from libraries of models"): again and again the model is added, with
replacement, that makes the average of all so far best on the validation rows.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automl.errors import BundleError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from automl.bundle import Model
    from automl.holdout import Holdout
    from automl.models import Build

FORMAT = "automl-ensemble"


def choose(losses: Callable[["Tensor"], float], outputs: "Sequence[Tensor]", size: int, classes: bool) -> list[int]:
    """How often each of the models is taken: [len(outputs)] whole weights, at most `size` together.

    `outputs`: of each model on the validation rows; `losses`: an average's loss there, lower is better. Of all averages
    passed on the way the best is taken, the smallest of equals.
    """
    members = [probabilities(one, classes) for one in outputs]
    weights, best, best_loss = [0] * len(members), [0] * len(members), float("inf")
    total = members[0] * 0
    for count in range(1, size + 1):
        tried = [losses(logits((total + one) / count, classes)) for one in members]
        k = int(np.argmin(tried))
        total = total + members[k]
        weights[k] += 1
        if tried[k] < best_loss:
            best, best_loss = list(weights), tried[k]
    return best


def probabilities(outputs: "Tensor", classes: bool) -> "Tensor":
    """What is averaged: probabilities of classes, values as they are."""
    return outputs.double().softmax(-1) if classes else outputs.double()


def logits(average: "Tensor", classes: bool) -> "Tensor":
    """Outputs that stand for the average: logits of classes, values as they are."""
    return average.clamp_min(1e-12).log() if classes else average


def make(folder: Path, models: Mapping[int, Path], holdout: "Holdout", size: int, single: Path) -> dict[str, Any]:
    """Choose among the bundles `models`, write the ensemble to `folder`; returns what is reported of it.

    The gain on the test rows is that over the bundle `single`, in the direction of the metric: above 0 is better.
    """
    from automl import metrics

    classes = holdout.prepared.kind == "classification"
    sign = -1.0 if metrics.direction(holdout.name) == "maximize" else 1.0
    numbers = list(models)
    outputs = [holdout.outputs(models[n], "val") for n in numbers]
    weights = choose(lambda made: sign * holdout.sample_of(made, "val").value, outputs, size, classes)
    chosen = {n: w for n, w in zip(numbers, weights, strict=True) if w}
    _write(folder, {n: models[n] for n in chosen}, chosen)
    told: dict[str, Any] = {"models": len(chosen), "weights": {str(n): w for n, w in chosen.items()}}
    told |= {
        "metric": f"test_{holdout.name}",
        "val": _score(holdout, models, chosen, "val"),
        "test": None,
        "gain": None,
    }
    if holdout.test_rows:
        told["test"] = _score(holdout, models, chosen, "test")
        told["gain"] = -sign * (told["test"] - holdout.sample(single, "test").value)
    return told


def _score(holdout: "Holdout", models: Mapping[int, Path], chosen: Mapping[int, int], which: Any) -> float:
    classes = holdout.prepared.kind == "classification"
    parts = [probabilities(holdout.outputs(models[n], which), classes) * w for n, w in chosen.items()]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return holdout.sample_of(logits(total / sum(chosen.values()), classes), which).value


def _write(folder: Path, models: Mapping[int, Path], weights: Mapping[int, int]) -> None:
    """The whole folder or none of it."""
    from automl import bundle

    work, old = folder.with_name(f".{folder.name}.part"), folder.with_name(f".{folder.name}.old")
    for one in (work, old):
        shutil.rmtree(one, ignore_errors=True)
    work.mkdir(parents=True)
    members = []
    for number, path in models.items():
        name = f"{number:05d}"
        shutil.copytree(path, work / name)
        manifest = bundle.sha256(work / name / "manifest.json")
        members.append({"folder": name, "weight": weights[number], "manifest": manifest})
    (work / "manifest.json").write_text(json.dumps({"format": FORMAT, "version": 1, "members": members}, indent=1))
    if folder.exists():
        os.replace(folder, old)
    os.replace(work, folder)
    shutil.rmtree(old, ignore_errors=True)


class Ensemble:
    """Answers as one `Model` would, with the members' average."""

    def __init__(self, models: "Sequence[Model]", weights: Sequence[int]) -> None:
        self.models, self.weights = list(models), list(weights)
        self.kind, self.classes = models[0].kind, models[0].classes

    def __repr__(self) -> str:
        return f"Ensemble({len(self.models)} models, {self.kind}, weights={self.weights})"

    def outputs(self, rows: Any) -> "Tensor":
        """[N, units] logits (of the averaged probabilities), or averaged values in standard units."""
        classes = self.kind == "classification"
        total, share = None, sum(self.weights)
        for model, weight in zip(self.models, self.weights, strict=True):
            part = probabilities(model.outputs(rows), classes) * (weight / share)
            total = part if total is None else total + part
        assert total is not None
        return logits(total, classes)

    def predict(self, rows: Any) -> NDArray[Any]:
        """Labels, or values in the data's own unit."""
        return self.models[0].told(self.outputs(rows))

    def predict_proba(self, rows: Any) -> NDArray[Any]:
        """[N, classes] probabilities, in the order of `classes`."""
        return self.models[0].shares(self.outputs(rows))


def read(
    folder: Path, manifest: Mapping[str, Any], *, build: "Build | None", trust: bool, device: "torch.device | str"
) -> Ensemble:
    """The ensemble in `folder`; every member is verified as a bundle is, and must be the one that was chosen.

    Raises BundleError.
    """
    from automl import bundle

    if manifest.get("version") != 1 or not manifest.get("members"):
        raise BundleError(f"{folder}: not an ensemble this version can read")
    models = []
    for member in manifest["members"]:
        path = folder / Path(member["folder"]).name
        if not (path / "manifest.json").is_file() or bundle.sha256(path / "manifest.json") != member["manifest"]:
            raise BundleError(f"{path} is missing, or is not the member that was saved")
        models.append(bundle.load_one(path, build=build, trust=trust, device=device))
    return Ensemble(models, [member["weight"] for member in manifest["members"]])
