"""Training of a compressed network with the product's own trainer, on the labels and on the original's outputs.

The original teaches (distillation, Hinton et al. 2015): half of the loss is that of the labels, half the distance to
the outputs of the original. A language model is trained on its tokens alone.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automl.bundle.compressed.writing import Network
from automl.bundle.outputs import compute
from automl.compression.subject import Subject
from automl.core import seeds
from automl.data.prepared import Prepared
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

    def build(*_: Any) -> nn.Module:
        return subject.module_of(network)

    rate = {"lr": SLOWER * _rate(subject.config), "schedule": "cosine", "warmup": 0.0}
    return replace(network, weights=_trained(subject, build, {**subject.config, **rate}, epochs, say))


def student(subject: Subject, config: Mapping[str, Any], say: Callable[[str], None]) -> Network:
    """Train a network of the same family and another config from scratch, as long as the winner was trained."""
    weights = _trained(subject, subject.build, config, subject.recipe.epochs, say)
    return Network(config, {}, weights)


def _rate(config: Mapping[str, Any]) -> float:
    from automl.training.hyperparameters import read

    return read(config).lr


def _trained(
    subject: Subject,
    build: Callable[..., nn.Module],
    config: Mapping[str, Any],
    epochs: int,
    say: Callable[[str], None],
) -> dict[str, Tensor]:
    """The weights after training; dropout, augmentation and all other hyperparameters are those of `config`."""
    options = Settings(**{**subject.recipe.settings, "compile": "never"})
    prepared, config = subject.prepared, dict(config)
    if build is not subject.build:  # muP has scaled these weights already
        config |= {"parametrization": "standard"}
    mixed = {"mixup", "cutmix"} & strengths.read(config, options.augment).keys()
    if prepared.kind in LOSSES and not mixed:
        prepared = _taught(subject)
        config |= {"loss": LOSSES[prepared.kind], "label_smoothing": 0.0}
    seed = seeds.derive(subject.original.seed, "compress")
    unit = subject.recipe.unit_for(prepared)
    trainer, name = Trainer(build, prepared, config, epochs, seed, settings=options, unit=unit), unit.step
    for epoch in range(epochs):
        loss = trainer.train_epoch()
        if not math.isfinite(loss):
            raise ArithmeticError(f"the training loss is {loss} in {name} {epoch + 1}")
        say(f"{name} {epoch + 1} of {epochs}: training loss {loss:.4g}")
    return trainer.weights()


def _taught(subject: Subject) -> Prepared:
    """The data with targets for the losses above: what the original answers beside what is true."""
    prepared = subject.prepared
    train, units = prepared.train, int(prepared.outputs)
    theirs = compute(subject.module, train.x, torch.device("cpu")).float()
    if prepared.kind == "classification":
        own = F.one_hot(train.y, units).float()
    else:
        own = torch.where(train.y.isnan(), theirs, train.y.float())
    return replace(prepared, train=replace(train, y=torch.cat([theirs, own], 1)))
