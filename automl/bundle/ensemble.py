"""Several saved models that answer together: chosen greedily on the validation rows, averaged with whole weights.

They come from the search itself: where an ensemble is asked for, the best trials keep their models, and their outputs
on the validation rows, which is all that choosing needs (see `automl.study.winner`); the finalists' models come on top.

`studies/NAME/ensemble/` holds `manifest.json` (members, weights, hashes) and a bundle for each member. The choice is
that of Caruana et al. 2004 ("Ensemble selection from libraries of models"): again and again the model is added, with
replacement, that makes the average of all so far best on the validation rows.
"""

import io
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automl.core import files
from automl.errors import BundleError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from automl.bundle.bundle import Model
    from automl.evaluation.holdout import Holdout, Which
    from automl.metrics.rows import Sample
    from automl.models import Build

FORMAT = "automl-ensemble"
POOL = 50
"""So many of the best trials keep their models, to be chosen from."""
OUTPUTS = "outputs.npy"  # of a trial's model on the validation rows, beside its bundle
MOST = 2**24  # values of one model's outputs that are kept


def store(folder: Path, outputs: "Tensor") -> None:
    """Keep a model's outputs [N, units] on the validation rows in a trial's folder; very large ones are not kept."""
    if outputs.numel() > MOST:
        return
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.save(buffer, outputs.float().numpy())
    files.write(folder / OUTPUTS, buffer.getvalue())


def stored(model: Path, rows: int) -> "Tensor | None":
    """What was stored beside the bundle `model`; None where there is nothing for so many rows."""
    import torch

    try:
        found = np.load(model.parent / OUTPUTS)
    except (OSError, ValueError):
        return None
    return torch.from_numpy(found) if len(found) == rows else None


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


def make(folder: Path, models: Mapping[str, Path], holdout: "Holdout", size: int, single: Path) -> dict[str, Any]:
    """Choose among the bundles `models`, write the ensemble to `folder`; returns what is reported of it.

    The gain on the test rows is that over the bundle `single`, in the direction of the metric: above 0 is better.
    `sure`: in so many of the bootstrap draws of the test rows it is better. Only models that are chosen are loaded
    where outputs were stored.
    """
    from automl import metrics
    from automl.metrics import intervals

    classes = holdout.prepared.kind == "classification"
    sign = -1.0 if metrics.direction(holdout.name) == "minimize" else 1.0
    rows = len(holdout.prepared.val)
    outputs = {name: _stored(path, rows, holdout) for name, path in models.items()}
    outputs = {name: one for name, one in outputs.items() if bool(one.isfinite().all())}
    weights = choose(lambda made: -sign * holdout.sample_of(made, "val").value, list(outputs.values()), size, classes)
    chosen = {name: w for name, w in zip(outputs, weights, strict=True) if w}
    _write(folder, {name: models[name] for name in chosen}, chosen)
    told: dict[str, Any] = {
        "models": len(chosen),
        "among": len(outputs),
        "weights": chosen,
        "metric": f"test_{holdout.name}",
        "val": _together(holdout, models, chosen, "val").value,
        "test": None,
        "gain": None,
        "sure": None,
    }
    if holdout.test_rows:
        together, alone = _together(holdout, models, chosen, "test"), holdout.sample(single, "test")
        told["test"] = together.value
        told["gain"] = sign * (together.value - alone.value)
        told["sure"] = intervals.better([together], [alone], sign=sign)
    return told


def _stored(model: Path, rows: int, holdout: "Holdout") -> "Tensor":
    found = stored(model, rows)
    return holdout.outputs(model, "val") if found is None else found


def _together(holdout: "Holdout", models: Mapping[str, Path], chosen: Mapping[str, int], which: "Which") -> "Sample":
    classes = holdout.prepared.kind == "classification"
    parts = [probabilities(holdout.outputs(models[name], which), classes) * w for name, w in chosen.items()]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return holdout.sample_of(logits(total / sum(chosen.values()), classes), which)


def _write(folder: Path, models: Mapping[str, Path], weights: Mapping[str, int]) -> None:
    """The whole folder or none of it."""
    from automl.bundle import bundle

    work, old = folder.with_name(f".{folder.name}.part"), folder.with_name(f".{folder.name}.old")
    for one in (work, old):
        shutil.rmtree(one, ignore_errors=True)
    work.mkdir(parents=True)
    members = []
    for name, path in models.items():
        shutil.copytree(path, work / name)
        manifest = bundle.sha256(work / name / "manifest.json")
        members.append({"folder": name, "weight": weights[name], "manifest": manifest})
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
    from automl.bundle import bundle

    if manifest.get("version") != 1 or not manifest.get("members"):
        raise BundleError(f"{folder}: not an ensemble this version can read")
    models = []
    for member in manifest["members"]:
        path = folder / Path(member["folder"]).name
        if not (path / "manifest.json").is_file() or bundle.sha256(path / "manifest.json") != member["manifest"]:
            raise BundleError(f"{path} is missing, or is not the member that was saved")
        models.append(bundle.load_one(path, build=build, trust=trust, device=device))
    return Ensemble(models, [member["weight"] for member in manifest["members"]])
