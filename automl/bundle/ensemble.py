"""Several saved models that answer together: their outputs are averaged with whole-number weights.

`studies/NAME/ensemble/` holds `manifest.json` (members, weights, hashes) and a bundle for each member. How members are
chosen: `automl.evaluation.ensemble_selection`.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from automl.bundle import files
from automl.bundle.io import load_model
from automl.bundle.model import Model, warn_of
from automl.bundle.outputs import compute
from automl.core import files as plain
from automl.errors import BundleError
from automl.models import Build

FORMAT = "automl-ensemble"
VERSION = 1


class Ensemble:
    """Answers as one `Model` would, with the weighted average of its members.

    Attributes:
        models: the members.
        weights: how often each one counts.
        kind, classes: as of a `Model`.
        metrics: scores of all together, by names such as `test_accuracy`; empty where they are not saved.
        manifest: all that the saved ensemble says of itself.
    """

    def __init__(self, models: Sequence[Model], weights: Sequence[int], manifest: Mapping[str, Any] | None = None):
        self.models, self.weights, self.manifest = list(models), list(weights), manifest or {}
        self.metrics: dict[str, float] = dict(self.manifest.get("metrics", {}))
        self.kind, self.classes, self.targets = models[0].kind, models[0].classes, models[0].targets
        preparations: list[dict[str, Any]] = []
        self._slots: list[int] = []  # which of the different preparations each member has; most often there is one
        for model in models:
            if model.preparation not in preparations:
                preparations.append(model.preparation)
            self._slots.append(preparations.index(model.preparation))

    def __repr__(self) -> str:
        return f"Ensemble({len(self.models)} models, {self.kind}, weights={self.weights})"

    def outputs(self, rows: Any, unread: list[str] | None = None) -> Tensor:
        """[N, units] logits (of the averaged probabilities), or averaged values in standard units.

        `unread` gets a few words for each column with values that cannot be read, or were not in training.
        """
        rows = list(rows) if isinstance(rows, Iterator) else rows
        prepared: dict[int, Tensor] = {}
        for model, slot in zip(self.models, self._slots, strict=True):
            if slot not in prepared:
                prepared[slot] = model.prepared(rows, [] if prepared or unread is None else unread)
        members = zip(self.models, self._slots, strict=True)
        outputs = (compute(model.module, prepared[slot], model.device) for model, slot in members)
        return average(outputs, self.weights, self.kind)

    def predict(self, rows: Any) -> NDArray[Any]:
        """[N] labels, or values in the data's own unit; see `Model.predict`."""
        return self.decoded(self._told(rows))

    def predict_proba(self, rows: Any) -> NDArray[Any]:
        """[N, classes] probabilities, in the order of `classes`."""
        return self.probabilities(self._told(rows))

    def _told(self, rows: Any) -> Tensor:
        unread: list[str] = []
        outputs = self.outputs(rows, unread)
        warn_of(unread)
        return outputs

    def decoded(self, outputs: Tensor) -> NDArray[Any]:
        """Outputs [N, units] as labels, or as values in the data's own unit."""
        return self.models[0].decoded(outputs)

    def probabilities(self, outputs: Tensor) -> NDArray[Any]:
        """Outputs [N, classes] as probabilities."""
        return self.models[0].probabilities(outputs)

    def series_names(self, rows: Any) -> list[str]:
        """The series that each prediction for `rows` is of, see `Model.series_names`."""
        return self.models[0].series_names(rows)

    def last_rows(self, rows: Any) -> tuple[list[str], list[str]]:
        """What predictions for `rows` follow, see `Model.last_rows`."""
        return self.models[0].last_rows(rows)

    def table(self, path: Path) -> pd.DataFrame:
        """The table in a file of rows for these models, see `Model.table`."""
        return self.models[0].table(path)


def members(folder: Path) -> list[str]:
    """The names of the members of a saved ensemble; empty where there is none in the folder."""
    if not (folder / files.MANIFEST).is_file():
        return []
    manifest = files.read_json(folder / files.MANIFEST)
    together = isinstance(manifest, dict) and manifest.get("format") == FORMAT
    return [str(member["folder"]) for member in manifest["members"]] if together else []


def average(outputs: Iterable[Tensor], weights: Sequence[int], kind: str) -> Tensor:
    """The outputs of an ensemble: one model's [N, units] for each weight, averaged as `to_average` says."""
    classes, share = kind == "classification", sum(weights)
    total: Tensor | None = None
    for one, weight in zip(outputs, weights, strict=True):
        part = to_average(one, classes=classes) * (weight / share)
        total = part if total is None else total + part
    assert total is not None
    return from_average(total, classes=classes)


def to_average(outputs: Tensor, *, classes: bool) -> Tensor:
    """What is averaged over models: the probabilities of classes; values as they are."""
    return outputs.double().softmax(-1) if classes else outputs.double()


def from_average(averaged: Tensor, *, classes: bool) -> Tensor:
    """Outputs that stand for the average: logits of classes; values as they are."""
    return averaged.clamp_min(1e-12).log() if classes else averaged


def write(
    folder: Path, bundles: Mapping[str, Path], weights: Mapping[str, int], folds: Mapping[str, int] | None = None
) -> None:
    """Copy the members' bundles into `folder` with a manifest; the folder appears complete or not at all.

    Args:
        folder: of the ensemble; one that is there is replaced.
        bundles: the members' bundles by name; these are the names of their copies.
        weights: how often each member counts.
        folds: the fold of those members that have learned from all other folds: of the rows that are trained on they
            may be scored on those of this fold alone.
    """
    work = plain.empty(folder.with_name(f".{folder.name}.part"))
    members: list[dict[str, Any]] = []
    for name, bundle in bundles.items():
        plain.copy(bundle, work / name)
        digest = files.sha256(work / name / files.MANIFEST)
        members.append({"folder": name, "weight": weights[name], "manifest": digest})
        if folds and name in folds:
            members[-1]["fold"] = folds[name]
    manifest = {"format": FORMAT, "version": VERSION, "members": members}
    (work / files.MANIFEST).write_text(json.dumps(manifest, indent=1))
    replace(work, folder)


def replace(new: Path, folder: Path) -> None:
    """Rename `new` to `folder`, either of which may be an ensemble; what had that name is deleted afterwards."""
    old = folder.with_name(f".{folder.name}.old")
    plain.delete(old)
    if folder.exists() or folder.is_symlink():
        os.replace(folder, old)
    os.replace(new, folder)
    plain.delete(old)


def read(
    folder: Path, manifest: Mapping[str, Any], *, build: Build | None, trust: bool, device: torch.device | str
) -> Ensemble:
    """The ensemble in `folder`; every member is verified as any bundle, and must be the one that was chosen.

    Raises:
        BundleError: with the file and the reason.
    """
    if manifest.get("version") != VERSION or not manifest.get("members"):
        raise BundleError(f"{folder}: not an ensemble this version can read")
    members = manifest["members"]
    if not isinstance(members, list) or not all(map(_is_member, members)):
        raise BundleError(f"{folder / files.MANIFEST}: a member is a folder's name, its weight (1, 2, ...) and a hash")
    if not isinstance(manifest.get("metrics", {}), dict):
        raise BundleError(f"{folder / files.MANIFEST}: metrics are names with their values")
    models = []
    for member in members:
        path = folder / member["folder"]
        file = path / files.MANIFEST
        if not file.is_file() or files.sha256(file) != member["manifest"]:
            raise BundleError(f"{path} is missing, or is not the member that was saved")
        models.append(load_model(path, build=build, trust=trust, device=device))
    if len({(model.kind, tuple(model.classes or ())) for model in models}) > 1:
        raise BundleError(f"{folder}: its members answer different questions, so they cannot be averaged")
    return Ensemble(models, [member["weight"] for member in members], manifest)


def _is_member(entry: Any) -> bool:
    """Whether an entry of the manifest names a folder in the ensemble's own, with a weight."""
    if not isinstance(entry, dict) or not isinstance(name := entry.get("folder"), str):
        return False
    weight = entry.get("weight")
    inside = name.isprintable() and Path(name).name == name and name != ".." and len(name) < 100
    return inside and type(weight) is int and 0 < weight < 2**31
