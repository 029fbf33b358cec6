"""How the lanes of one signature are made: their modules, and what their configs say of training."""

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from automl.core.seeds import derive
from automl.data.shapes import Inputs
from automl.fused.lane import Lane
from automl.models import mup
from automl.training import augment, hyperparameters, strengths
from automl.training.precision import autocast

Build = Callable[[dict[str, Any], Any, Any], nn.Module]


@dataclass(frozen=True)
class Blueprint:
    """How modules of one signature are made: the factory, what it is given besides the config, and where they live.

    `tf32`: whether products on a GPU round their factors to TF32. `autocast`: what forward passes are cast to; the
    weights, their gradients and everything after stay as they are.
    `own_factory`: `build` is a user's, whose modules may depend on every entry of a config, also on a learning rate.
    `augment`: strengths of augmentation that all trials have, unless their configs say otherwise.
    """

    build: Build
    inputs: Any
    outputs: Any
    device: torch.device
    dtype: torch.dtype | None = None
    augment: Mapping[str, Any] = field(default_factory=dict)
    autocast: torch.dtype | None = None
    tf32: bool = False
    own_factory: bool = True
    _roles: dict[str, dict[str, mup.Role]] = field(default_factory=dict, compare=False, repr=False)

    def module(self, config: Mapping[str, Any], seed: int) -> nn.Module:
        """A module as the user wrote it, initialized from the trial's seed alone, on the CPU."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive(seed, "init"))  # that of the CPU, and no device's
            made = self.build(dict(config), self.inputs, self.outputs)
        if (roles := self.roles(config)) is not None:
            mup.rescale(made, roles)
        return made if self.dtype is None else made.to(self.dtype)

    def shaping(self, config: Mapping[str, Any]) -> str:
        """The entries of a config that its module may depend on, as a text: equal for configs with equal modules."""
        own = {k: v for k, v in config.items() if self.own_factory or k not in hyperparameters.NAMES}
        return json.dumps(own, sort_keys=True, default=repr)

    def cast(self) -> AbstractContextManager[Any]:
        """Forward passes inside the block use the number format of `autocast`."""
        if self.autocast is None:
            return nullcontext()
        # no cast weight is kept: under `vmap` it would outlive the tensors that it was made of
        return autocast(self.device, self.autocast, keep=False)

    def lane(self, trial: int, config: Mapping[str, Any], seed: int, epochs: int, drops: dict[str, float]) -> Lane:
        """The lane of a trial that begins; `drops`: dropout layer -> probability.

        Raises SpecError when a hyperparameter of training, or a strength of augmentation, is out of its limits or does
        not suit the data.
        """
        strong = strengths.read(config, self.augment)
        if strong:
            augment.check(strong, self.inputs if isinstance(self.inputs, Inputs) else Inputs(int(self.inputs)))
        return Lane(trial, dict(config), seed, epochs, hyperparameters.read(config), drops, strong)

    def roles(self, config: Mapping[str, Any]) -> Mapping[str, mup.Role] | None:
        """What muP knows of each parameter; None without `parametrization: mup`."""
        if config.get("parametrization", "standard") != "mup":
            return None
        shapes = {name: value for name, value in config.items() if name not in hyperparameters.NAMES}
        key = json.dumps(shapes, sort_keys=True, default=repr)
        if key not in self._roles:
            self._roles[key] = mup.roles(self.build, config, self.inputs, self.outputs)
        return self._roles[key]
