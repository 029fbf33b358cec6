"""`Model.partial_fit`: a loaded model learns from further rows, in memory."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from automl.adapting import heads, learning
from automl.data import further
from automl.data.prepared import Part
from automl.errors import DataError, SpecError, did_you_mean
from automl.metrics.kinds.kind import Kind
from automl.models import adjusting, is_grown

WAYS = ("head", "finetune")
REMEMBERED = 5_000
"""So many rows of earlier calls are learned from again."""
ALONE = 0.1
"""How strongly the head is held near the old one where no old rows are known."""


class Learner(Protocol):
    """The parts of a `Model` that change when it learns."""

    module: nn.Module
    manifest: Mapping[str, Any]
    preparation: dict[str, Any]
    kind: Kind
    classes: list[Any]
    device: torch.device


def partial_fit(model: Learner, rows: Any, how: str, old: Any, remembered: Part | None) -> Part:
    """Let a model learn from rows, in place; see `Model.partial_fit`.

    Args:
        remembered: rows of earlier calls.

    Returns:
        The rows to remember: a sample of all that have come.
    """
    if how not in WAYS:
        raise SpecError(f"how: {how!r}{did_you_mean(how, WAYS)}; one of {', '.join(WAYS)}")
    if model.kind == "next_token":
        raise DataError("a language model learns from whole texts; it cannot be updated with rows")
    if model.preparation["target"].get("columns") or model.kind.variant:
        of = model.kind.words if model.kind.variant else "several targets"
        raise DataError(f"a model of {of} does not learn further; search again on all rows")
    if is_grown(model.manifest["model"], model.manifest["config"]):
        raise DataError("trees do not learn further; `automl update --how retrain` grows new ones")
    spec = model.manifest.get("spec")
    spec = spec if isinstance(spec, Mapping) else {}
    found = further.read(rows, model.preparation, spec)
    before = further.read(old, model.preparation, spec) if old is not None else None
    labels = found.y if before is None else np.concatenate([found.y, before.y])
    if model.kind == "classification":
        _grow(model, [label for label in dict.fromkeys(labels.tolist()) if label not in model.classes], found)
    new = _without_weight(further.part_of(model.preparation, model.classes, found))
    replay = remembered
    if before is not None:
        given = _without_weight(further.part_of(model.preparation, model.classes, before))
        replay = given if replay is None else given + replay
    lesson = learning.Rows(new, replay, model.kind)
    if how == "head":
        model.module.to("cpu")
        learning.head(model.module, lesson, *([ALONE] if replay is None else []))
    else:
        learning.finetune(model.module, lesson, learning.Rate(), model.device)
    model.module.to(model.device).eval()
    return _sample(new if replay is None else new + replay)


def _without_weight(part: Part) -> Part:
    return Part(part.x, part.y)


def _sample(part: Part) -> Part:
    """At most `REMEMBERED` of the rows."""
    if len(part) <= REMEMBERED:
        return part
    chosen = torch.randperm(len(part), generator=torch.Generator().manual_seed(len(part)))[:REMEMBERED]
    return Part(part.x[chosen], part.y[chosen])


def _grow(model: Learner, more: list[Any], found: further.Labelled) -> None:
    """Give the network an output for each new class."""
    if not more:
        return
    few = further.prepared(model.preparation, found.take(np.arange(min(8, len(found)))).rows)
    head = heads.find(model.module.to("cpu"), few)
    layer = head.layer
    weights = {f"{head.name}.{name}": value.detach() for name, value in layer.named_parameters()}
    wide = heads.widened(weights, head, len(more))
    grown = nn.Linear(layer.in_features, layer.out_features + len(more), bias=layer.bias is not None)
    grown.load_state_dict({name.removeprefix(f"{head.name}."): value for name, value in wide.items()})
    model.module.set_submodule(head.name, grown)
    if isinstance(model.module, adjusting.Adjusted):
        model.module.shift = torch.cat([model.module.shift, torch.zeros(len(more))])
    model.classes = [*model.classes, *more]
    target = {**model.preparation["target"], "classes": model.classes}
    model.preparation = {**model.preparation, "target": target}
