"""What is compressed: a saved model with the data and the task it was trained for."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from automl.bundle.compressed.writing import Network
from automl.bundle.io import load_model
from automl.bundle.model import Model
from automl.core.user_code import make_importable
from automl.data.prepared import Prepared
from automl.errors import BundleError
from automl.evaluation.holdout import Holdout, bare
from automl.metrics import direction
from automl.models import Build, families
from automl.models.combined.bagged import FOLDS
from automl.tasks.recipe import PreparedData, Recipe


@dataclass(frozen=True)
class Subject:
    """The model that is compressed.

    Attributes:
        recipe: how it was trained, and on what.
        bundle: where it is saved.
        model: it, loaded.
        build: makes its network.
        prepared: the data, as its config wants them prepared.
        holdout: the validation and test rows.
        seed: from which random numbers of fine-tuning are derived.
    """

    recipe: Recipe
    bundle: Path
    model: Model
    build: Build
    prepared: Prepared
    holdout: Holdout
    seed: int

    @classmethod
    def of(cls, recipe: Recipe, bundle: Path, seed: int) -> "Subject":
        """Load model and data.

        Raises:
            BundleError: the model has no weights.
            AutoMLError: one of them cannot be loaded.
        """
        make_importable(recipe.folder)
        build, data = recipe.builder(), PreparedData(recipe)
        model = load_model(bundle, build=build)
        if FOLDS in model.config:
            raise BundleError(
                f"{bundle}: it is {model.config[FOLDS]} models of as many folds, which have seen all rows that a "
                "smaller one would be chosen by; compress the winner of a search without split.folds"
            )
        if not any(True for _ in model.module.parameters()):
            raise BundleError(
                f"{bundle}: a model of the family {model.manifest['model']!r} has no weights that could be cut or"
                " rounded; only networks are compressed"
            )
        holdout = Holdout(data.default, build, bare(recipe.metric.name), data.of)
        return cls(recipe, bundle, model, build, data.of(model.config), holdout, seed)

    @property
    def config(self) -> Mapping[str, Any]:
        """Its hyperparameters."""
        return self.model.config

    @property
    def module(self) -> nn.Module:
        """Its network, in evaluation mode."""
        return self.model.module

    @property
    def family(self) -> str | None:
        """The name of the built-in family; None for a user's model."""
        name = str(self.model.manifest["model"])
        return name if name in families() else None

    @property
    def sign(self) -> float:
        """+1 where a higher score is better, else -1."""
        return 1.0 if direction(self.holdout.name) == "maximize" else -1.0

    def network(self) -> Network:
        """It as a network that was not changed."""
        return Network(self.config, {}, self.module.state_dict())

    def module_of(self, network: Network) -> nn.Module:
        """The module of a compressed network, in evaluation mode."""
        return network.module(self.build, self.prepared.inputs, self.prepared.outputs)

    def as_model(self, module: nn.Module) -> Model:
        """The saved model with another network."""
        model = self.model
        return Model(module, model.manifest, model.preparation, torch.device("cpu"), model.sample)

    def with_train(self, prepared: Prepared) -> "Subject":
        """The same with other training rows."""
        return replace(self, prepared=prepared)
