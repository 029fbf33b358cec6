"""The ways in which a model learns from new rows, the cheapest first; each gives a challenger, saved as a bundle.

head       the body stays, its last layer learns in closed form
finetune   all weights learn, at a low rate, with old rows among the new ones
retrain    the same config is trained from scratch on all rows that are known
search     a small search that begins with the same config (see `automl.updating.challengers.searching`)
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from automl import models
from automl.adapting import heads, learning
from automl.adapting.threads import one_thread
from automl.bundle import io
from automl.bundle.outputs import compute
from automl.bundle.restore import builder, restore
from automl.core import seeds
from automl.data import further
from automl.data.further import Labelled
from automl.data.prepared import Part, Prepared, fingerprint
from automl.errors import DataError
from automl.models import adjusting
from automl.models.combined import bagged
from automl.models.combined.bagged import FOLDS, Bagged
from automl.specfile.entries.steps import Steps
from automl.training import hyperparameters
from automl.training.samples.units import Unit
from automl.updating.challengers import joining, ranges
from automl.updating.champion import Champion

if TYPE_CHECKING:
    from torch import nn

REPLAY_LEAST, REPLAY_MOST, REPLAY_SHARE = 2_000, 20_000, 4
"""So many old rows are replayed: this many times the new ones, within these limits."""
EPOCHS = 3
"""Epochs of `finetune`, at most."""
SHARE = 0.15
"""Steps of `finetune` are at most this share of those of a training on all rows."""
USUAL_RATE, LARGEST_RATE = 1e-3, 1e-2
"""The rate of `finetune` is the one that the search has found for Adam or AdamW, at most this; it falls as a cosine."""


@dataclass(frozen=True)
class Lesson:
    """What a challenger is made from.

    Attributes:
        champion: the model that is updated.
        new: the new rows to learn from.
        old: a sample of old rows to learn from.
        held: rows that are held out, old and new; of them come the few that a bundle is checked by.
        classes: of the challenger: the champion's, then new ones.
        digest: of the new rows; all random numbers depend on it.
        device: where to train.
    """

    champion: Champion
    new: Labelled
    old: list[Labelled]
    held: list[Labelled]
    classes: list[Any]
    digest: str
    device: str = "cpu"

    @property
    def build(self) -> Any:
        """Builds the network."""
        return self.champion.build or builder(self.champion.model.manifest["model"], trust=False)

    def seed(self, purpose: str) -> int:
        """A seed for a purpose."""
        return seeds.derive(int(self.champion.spec.get("seed", 0)), self.digest, purpose)

    def adjustment(self, module: "nn.Module", part: Part) -> dict[str, Tensor]:
        """What adjusts the logits, where the specification asks for it (`adjust`), found on rows that were learned."""
        way = str(self.champion.spec.get("adjust") or "none")
        if way == "none":
            return {}
        logits = compute(module, part.x, "cpu")
        return adjusting.fit(way, self.champion.metric, logits, part.y, part.weight)

    def save(
        self, folder: Path, prepared: Prepared, weights: Mapping[str, Tensor], config: Mapping[str, Any] | None = None
    ) -> Path:
        """Write the challenger's bundle; `config`: where it is not the champion's."""
        return io.save(
            folder, model=self.champion.model.manifest["model"], config=config or self.champion.config,
            prepared=prepared, state_dict=weights, metrics={}, spec=self.champion.spec, build=self.champion.build,
        )  # fmt: skip


Way = Callable[[Lesson, Path], Path]


def head(lesson: Lesson, folder: Path) -> Path:
    """The body stays; its last layer is fitted again to new rows and a sample of old ones.

    Raises:
        DataError: the network has no last linear layer.
    """

    def learn(module: "nn.Module", rows: learning.Rows) -> None:
        learning.head(module, rows)

    return _further(lesson, folder, learn)


def finetune(lesson: Lesson, folder: Path) -> Path:
    """All weights learn, from new rows and a sample of old ones; the last layer first, in closed form.

    That order keeps what the body has learned (Kumar et al. 2022, "Fine-tuning can distort pretrained features").
    """

    def learn(module: "nn.Module", rows: learning.Rows) -> None:
        said = learning.said(module, rows)
        with contextlib.suppress(DataError):  # a network without a last linear layer
            learning.head(module, rows)
        learning.finetune(module, rows, _rate(lesson, rows), lesson.device, said)

    return _further(lesson, folder, learn)


def _rate(lesson: Lesson, rows: learning.Rows) -> learning.Rate:
    """The rate of the search, lowered; few enough epochs that it costs a small part of a training on all rows."""
    trained = hyperparameters.read(lesson.champion.config)
    lr = trained.lr if trained.optimizer in ("adam", "adamw", "nadam") else USUAL_RATE
    here = len(rows.new) + (len(rows.old) if rows.old is not None else 0)
    everything = len(lesson.new) + sum(len(one) for one in lesson.old)
    number, unit = _length(lesson.champion.spec, EPOCHS)
    full = number * unit.samples(everything, trained.batch_size) / max(1, everything)
    epochs = int(min(EPOCHS, max(1, SHARE * full * everything / here)))
    return learning.Rate(min(lr, LARGEST_RATE), epochs, max(trained.batch_size, 32), lesson.seed("finetune"))


def _further(lesson: Lesson, folder: Path, learn: Callable[["nn.Module", learning.Rows], None]) -> Path:
    """The champion's network, with a unit for each new class, after it has learned; its preparation stays."""
    model, network = lesson.champion.model, lesson.champion.network
    if models.is_grown(model.manifest["model"], model.config):
        raise DataError("trees do not learn further; --how retrain grows new ones")
    more = len(lesson.classes) - len(model.classes or [])
    inputs, outputs = joining.units(model, len(lesson.classes) if model.kind == "classification" else None)
    weights = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    replay = _replayed(lesson)
    preparation = ranges.seen_again(model.preparation, [one.rows for one in (lesson.new, *replay)])
    if model.kind == "classification":
        preparation = {**preparation, "target": {**preparation["target"], "classes": lesson.classes}}
    if more > 0:
        sample = further.prepared(model.preparation, lesson.new.take(np.arange(min(8, len(lesson.new)))).rows)
        weights = _widened(network, weights, sample, more)
    module = restore(lesson.build, lesson.champion.config, inputs, outputs, weights)
    new = joining.part([lesson.new], preparation, lesson.classes)
    old = joining.part(replay, preparation, lesson.classes) if replay else None
    balance = lesson.champion.spec.get("prepare", {}).get("class_weight") == "balanced"
    rows = learning.Rows(*joining.weighted(new, old, balance=balance), model.kind)
    with one_thread(lesson.device):
        for member in module.members if isinstance(module, Bagged) else [module]:
            learn(member, rows)
    prepared = Prepared(
        inputs, outputs, model.kind, new if old is None else new + old,
        joining.counted(lesson.held), new.head(0), lesson.classes,
        list(model.manifest.get("columns", [])), preparation, fingerprint([new]),
        list(model.manifest.get("notes", [])), joining.sample_of(model, lesson.held),
    )  # fmt: skip
    learned = new if old is None else new + old
    weights = {k: v.detach() for k, v in module.state_dict().items()}
    return lesson.save(folder, prepared, weights | lesson.adjustment(module, learned))


def _widened(network: "nn.Module", weights: dict[str, Tensor], sample: Tensor, more: int) -> dict[str, Tensor]:
    """The weights with a unit for each new class, also of each fold's model."""
    if not isinstance(network, Bagged):
        return heads.widened(weights, heads.find(network, sample), more)
    each = zip(bagged.separate(weights, len(network.members)), network.members, strict=True)
    return bagged.joined([heads.widened(own, heads.find(member, sample), more) for own, member in each])


def _replayed(lesson: Lesson) -> list[Labelled]:
    """A sample of the old rows, a bounded number; the same one each time."""
    count = sum(len(one) for one in lesson.old)
    wanted = int(min(max(REPLAY_SHARE * len(lesson.new), REPLAY_LEAST), REPLAY_MOST))
    if count <= wanted:
        return lesson.old
    chosen = np.zeros(count, dtype=bool)
    chosen[np.random.default_rng(lesson.seed("replay")).choice(count, wanted, replace=False)] = True
    ends = np.cumsum([len(one) for one in lesson.old])[:-1]
    parts = [one.take(np.flatnonzero(mask)) for one, mask in zip(lesson.old, np.split(chosen, ends), strict=True)]
    return [one for one in parts if len(one)]


def _length(spec: Mapping[str, Any], usual: int) -> tuple[int, Unit]:
    """How long a full trial of the search was, and in what unit; `usual`: epochs where that is not known."""
    if not spec.get("steps"):
        return int(spec.get("epochs") or usual), Unit()
    steps = Steps.model_validate(spec["steps"])
    return steps.number, Unit.of(steps.model_dump())


def retrain(lesson: Lesson, folder: Path) -> Path:
    """The same config, trained from scratch on all known rows; a table is prepared again, with its new categories.

    Where the champion is a model for each of several folds, it becomes one model.
    """
    from automl.training import Settings, Trainer
    from automl.training.trees.trainer import TreeTrainer

    champion, rows = lesson.champion, [lesson.new, *lesson.old]
    config = {name: value for name, value in champion.config.items() if name != FOLDS}
    epochs, unit = _length(champion.spec, 20)
    grown = models.is_grown(champion.model.manifest["model"], config)
    learned, compared = joining.split(rows, lesson.seed("rounds")) if grown else (rows, lesson.held)
    prepared = joining.prepared_again(champion, learned, compared, lesson.classes)
    with one_thread(lesson.device):
        if grown:  # how many trees are enough is found on rows that are neither learned from nor held out
            grower = TreeTrainer(prepared, config, epochs, lesson.seed("retrain"))
            while grower.done < epochs and not grower.finished:
                grower.epoch()
            weights = grower.weights()
        else:
            trainer = Trainer(lesson.build, prepared, config, epochs, lesson.seed("retrain"), lesson.device,
                              Settings(**joining.settings(champion.spec)), unit=unit)  # fmt: skip
            losses = [trainer.train_epoch() for _ in range(champion.until or epochs)]
            if not np.isfinite(losses).all():
                raise DataError("the training from scratch ended in a loss that is no number")
            weights = trainer.weights()
    module = restore(lesson.build, config, prepared.inputs, prepared.outputs, weights)
    return lesson.save(folder, prepared, {**weights, **lesson.adjustment(module, prepared.train)}, config)


WAYS: Mapping[str, Way] = {"head": head, "finetune": finetune, "retrain": retrain}
"""Name -> way, the cheapest first."""
