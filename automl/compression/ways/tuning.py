"""Training of a compressed network with the product's own trainer, on the labels and on the original's outputs.

The original teaches (distillation, Hinton et al. 2015): half of the loss is that of the labels, half the distance to
the outputs of the original. A language model is trained on its tokens alone.
"""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automl.bundle.compressed.writing import Network
from automl.bundle.outputs import compute
from automl.compression.subject import Original, Subject
from automl.core import seeds
from automl.data.prepared import Prepared, as_learned
from automl.metrics.kinds.kind import kind_of
from automl.training import Settings, Trainer, strengths

TEMPERATURE = 2.0
"""Logits of classes are divided by it before they are compared."""
SLOWER = 0.5
"""The learning rate of fine-tuning, as a share of the winner's."""
LOSSES = {"classification": f"{__name__}:taught_classes", "regression": f"{__name__}:taught_values"}
"""Kind of task -> the loss, as a config names a user's own one."""


def taught_classes(outputs: Tensor, targets: Tensor) -> Tensor:
    """[B] for logits [B, C] and targets [B, 2 C]: the original's logits, then the labels as probabilities.

    The mean of the cross-entropy with the labels and T^2 KL(softmax(teacher / T) || softmax(outputs / T)), eq. 1 ff. of
    Hinton et al. 2015.
    """
    teacher, labels = targets.chunk(2, dim=1)
    hard = F.cross_entropy(outputs, labels, reduction="none")
    theirs, ours = (F.log_softmax(logits / TEMPERATURE, 1) for logits in (teacher, outputs))
    soft = F.kl_div(ours, theirs, reduction="none", log_target=True).sum(1)
    return (hard + TEMPERATURE**2 * soft) / 2


def taught_values(outputs: Tensor, targets: Tensor) -> Tensor:
    """[B] for values [B, D] and targets [B, 2 D]: the mean of the squared errors to both."""
    teacher, true = targets.chunk(2, dim=1)
    return ((outputs - teacher).square().mean(1) + (outputs - true).square().mean(1)) / 2


def tuned(subject: Subject, network: Network, epochs: int, say: Callable[[str], None]) -> Network:
    """Train a cut network again, from its weights.

    Args:
        subject: the original.
        network: its layers and weights.
        epochs: how long; in what the search said in their place.
        say: called with each message for the user.
    """
    module = subject.module_of(network)
    weights = taught(subject.original, subject.prepared, slower(subject.config), epochs, _teacher(subject), module, say)
    return replace(network, weights=weights)


def student(subject: Subject, config: Mapping[str, Any], say: Callable[[str], None]) -> Network:
    """Train a network of the same family and another config from scratch, as long as the winner was trained."""
    epochs, teacher = subject.recipe.epochs, _teacher(subject)
    return Network(config, {}, taught(subject.original, subject.prepared, config, epochs, teacher, None, say))


def _teacher(subject: Subject) -> Tensor | None:
    """What the original answers for the training rows; None where its answers are no targets."""
    if not _teachable(subject.prepared.kind):
        return None
    return compute(subject.module, subject.prepared.train.x, torch.device("cpu")).float()


def _teachable(kind: str) -> bool:
    """Whether a network learns from another's answers: not where they are other numbers than the targets."""
    return kind in LOSSES and kind_of(kind).variant in ("", "ordinal")


def slower(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config for training that begins with trained weights."""
    from automl.training.hyperparameters import read

    return {**config, "lr": SLOWER * read(config).lr, "schedule": "cosine", "warmup": 0.0}


def taught(
    original: Original,
    prepared: Prepared,
    config: Mapping[str, Any],
    epochs: int,
    teacher: Tensor | None,
    begin: nn.Module | None,
    say: Callable[[str], None],
) -> dict[str, Tensor]:
    """The weights after training; dropout, augmentation and all other hyperparameters are those of `config`.

    Args:
        original: how it was trained.
        prepared: the rows; without folds.
        config: of the network.
        epochs: how long; in what the search said in their place.
        teacher: [N, units] what the original answers for the training rows; None: the labels alone teach.
        begin: the network with the weights to begin with; None: from scratch.
        say: called with each message for the user.

    Raises:
        ArithmeticError: the loss is not finite.
    """
    recipe = original.recipe
    options = Settings(**{**recipe.settings, "compile": "never"})
    config = dict(config)
    if begin is not None:  # muP has scaled these weights already
        config |= {"parametrization": "standard"}
    mixed = {"mixup", "cutmix"} & strengths.read(config, options.augment).keys()
    if teacher is not None and _teachable(prepared.kind) and not mixed:
        prepared = _with_teacher(prepared, teacher)
        config |= {"loss": LOSSES[prepared.kind], "label_smoothing": 0.0}
    seed, unit = seeds.derive(original.seed, "compress"), recipe.unit_for(prepared)
    build = original.build if begin is None else lambda *_: copy.deepcopy(begin)
    trainer, name = Trainer(build, prepared, config, epochs, seed, settings=options, unit=unit), unit.step
    for epoch in range(epochs):
        loss = trainer.train_epoch()
        if not math.isfinite(loss):
            raise ArithmeticError(f"the training loss is {loss} in {name} {epoch + 1}")
        say(f"{name} {epoch + 1} of {epochs}: training loss {loss:.4g}")
    return trainer.weights()


def _with_teacher(prepared: Prepared, teacher: Tensor) -> Prepared:
    """The data with targets for the losses above: what the original answers beside what is true."""
    train = prepared.train
    if prepared.kind == "classification":
        own = F.one_hot(train.y, int(prepared.outputs)).float()
    else:
        teacher = as_learned(replace(train, y=teacher), prepared).y
        own = torch.where(train.y.isnan(), teacher, train.y.float())
    return replace(prepared, train=replace(train, y=torch.cat([teacher, own], 1)))
