"""Batches of rows joined for training: as tensors under the champion's preparation, or prepared again."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from automl.data import further, load
from automl.data.cells import words
from automl.data.cells.readings import ATTRIBUTE
from automl.data.further import Labelled
from automl.data.prepared import Part, Prepared, fingerprint, sample_rows
from automl.data.shapes import Inputs, Outputs
from automl.updating.champion import Champion

if TYPE_CHECKING:
    from automl.bundle.model import Model

WEIGHT = "weight of a row"
READ = ("rows", "memory", "weight", "separator", "encoding", "drop")
"""Options of `prepare:` that were followed when the rows were read."""
SHARE = 0.2
"""This share of the rows that are learned from is for comparing, where a training has to choose something."""


def units(model: "Model", classes: int | None) -> tuple[Inputs, Outputs]:
    """What goes into the champion's network and comes out; with `classes` units, where it classifies."""
    outputs = Outputs.from_json(dict(model.manifest["outputs"]))
    inputs = Inputs.from_json(dict(model.manifest["inputs"]))
    return inputs, outputs if classes is None else Outputs(classes, outputs.kind)


def part(batches: Sequence[Labelled], preparation: dict[str, Any], classes: list[Any]) -> Part:
    """The rows of several batches as tensors."""
    parts = [further.part_of(preparation, classes, one) for one in batches]
    total = parts[0]
    for one in parts[1:]:
        total = total + one
    return total


def split(batches: Sequence[Labelled], seed: int) -> tuple[list[Labelled], list[Labelled]]:
    """(rows to train on, rows to compare by), drawn at random from each batch; what is held out is in neither."""
    rng = np.random.default_rng(seed)
    masks = [rng.random(len(one)) < SHARE for one in batches]
    learned = [one.take(np.flatnonzero(~mask)) for one, mask in zip(batches, masks, strict=True)]
    compared = [one.take(np.flatnonzero(mask)) for one, mask in zip(batches, masks, strict=True)]
    return [one for one in learned if len(one)], [one for one in compared if len(one)]


def counted(batches: Sequence[Labelled]) -> Part:
    """A part that has the number of these rows, and nothing else: a bundle's card tells it."""
    rows = sum(len(one) for one in batches)
    return Part(torch.zeros(rows, 0), torch.zeros(rows))


def weighted(new: Part, old: Part | None, *, balance: bool) -> tuple[Part, Part | None]:
    """The same rows with the weights of balanced classes (`prepare: {class_weight: balanced}`) over both, mean 1."""
    both = new if old is None else new + old
    if not balance and both.weight is None:
        return new, old
    weight = torch.ones(len(both)) if both.weight is None else both.weight.clone()
    if balance:
        totals = torch.bincount(both.y, weights=weight, minlength=int(both.y.max()) + 1)
        weight = weight * (totals.sum() / totals.clamp_min(1e-12))[both.y].float()
    weight = (weight / weight.mean()).float()
    made = Part(new.x, new.y, weight[: len(new)])
    return made, None if old is None else Part(old.x, old.y, weight[len(new) :])


def sample_of(model: "Model", held: Sequence[Labelled]) -> list[Any]:
    """A few rows that were held out, by which a saved model is checked."""
    if model.preparation["form"] in ("series", "text"):
        return list(model.sample)
    return sample_rows(held[-1].rows)


def settings(spec: Mapping[str, Any]) -> dict[str, Any]:
    """How the search has trained: precision, augmentation and the like."""
    given = {name: spec[name] for name in ("precision", "compile", "oom", "parallel") if name in spec}
    return {**given, "augment": dict(spec.get("augment") or {})}


def prepared_again(
    champion: Champion, train: Sequence[Labelled], held: Sequence[Labelled], classes: list[Any]
) -> Prepared:
    """All rows as data to train on: a table is read and prepared again, windows of a series keep their preparation."""
    model = champion.model
    if model.preparation["form"] != "table":
        return _kept(champion, train, held, classes)
    options = {k: v for k, v in champion.prepare.items() if k not in READ}
    options["task"] = model.kind
    if any(one.weight is not None for one in train):
        options["weight"] = WEIGHT
    target = str(model.preparation["target"]["name"])
    frames = {"train": _frame(train, target), "val": _frame(held, target)}
    together = pd.concat(_alike(list(frames.values())), ignore_index=True)
    together.attrs = frames["train"].attrs
    count = len(frames["train"])
    parts = {"train": together.iloc[:count].copy(), "val": together.iloc[count:].copy()}
    for one in parts.values():
        one.attrs = together.attrs
    return load(parts, target=target, split={"train": 0.75, "val": 0.25}, prepare=options)


def _frame(batches: Sequence[Labelled], target: str) -> pd.DataFrame:
    """One table of several batches, the answers as a column."""
    frames = []
    for one in batches:
        added: dict[str, Any] = {target: one.y if one.y.ndim == 1 else one.y[:, 0]}
        if one.weight is not None:
            added[WEIGHT] = one.weight
        frames.append(one.rows.assign(**added))
    whole: pd.DataFrame = pd.concat(_alike(frames), ignore_index=True)
    attributes = [one.rows.attrs.get(ATTRIBUTE, {}).get("file") for one in batches]
    of_file = next((file for file in attributes if file), None)
    whole.attrs = {ATTRIBUTE: {"file": of_file}} if of_file else {}
    return whole


def _alike(frames: list[pd.DataFrame]) -> list[pd.DataFrame]:
    """The same tables; a column that is text in one of them is text in all."""
    changed = [frame.copy(deep=False) for frame in frames]
    for name in frames[0].columns:
        kinds = {frame[name].dtype.kind in "iufb" for frame in frames if name in frame}
        if len(kinds) > 1:
            for frame in changed:
                frame[name] = frame[name].map(lambda v: None if pd.isna(v) else _written(v)).astype(object)
    return changed


def _written(value: Any) -> str:
    number = value.item() if isinstance(value, np.generic) else value
    return str(int(number)) if isinstance(number, float) and number.is_integer() else words.canonical(number)


def _kept(champion: Champion, train: Sequence[Labelled], held: Sequence[Labelled], classes: list[Any]) -> Prepared:
    """The rows under the champion's own preparation."""
    model = champion.model
    preparation = {**model.preparation, "target": dict(model.preparation["target"])}
    if model.kind == "classification":
        preparation["target"]["classes"] = classes
    inputs, outputs = units(model, len(classes) if model.kind == "classification" else None)
    balance = champion.prepare.get("class_weight") == "balanced"
    learned, _ = weighted(part(train, preparation, classes), None, balance=balance)
    compared = part(held, preparation, classes)
    return Prepared(
        inputs, outputs, model.kind, learned, Part(compared.x, compared.y), learned.head(0), classes,
        list(model.manifest.get("columns", [])), preparation, fingerprint([learned]),
        list(model.manifest.get("notes", [])), sample_of(model, held),
    )  # fmt: skip
