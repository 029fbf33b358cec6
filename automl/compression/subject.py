"""What is compressed: a saved model with the data and the task it was trained for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from automl.bundle.compressed.writing import Network
from automl.bundle.model import Model
from automl.core.user_code import make_importable
from automl.data.prepared import Prepared
from automl.errors import BundleError
from automl.evaluation.holdout import Holdout, bare
from automl.metrics import direction
from automl.models import Build, families
from automl.tasks.recipe import PreparedData, Recipe


@dataclass(frozen=True)
class Original:
    """The saved model, or ensemble, that variants are compared with.

    Attributes:
        recipe: how it was trained, and on what.
        bundle: where it is saved.
        build: makes its networks.
        data: its data, as each config wants them prepared.
        holdout: the validation and test rows.
        seed: from which random numbers of training are derived.
    """

    recipe: Recipe
    bundle: Path
    build: Build
    data: PreparedData
    holdout: Holdout
    seed: int

    @classmethod
    def of(cls, recipe: Recipe, bundle: Path, seed: int) -> "Original":
        """Load the data.

        Raises:
            AutoMLError: they, or the model's code, cannot be loaded.
        """
        make_importable(recipe.folder)
        build, data = recipe.builder(), PreparedData(recipe)
        return cls(recipe, bundle, build, data, Holdout(data.default, build, bare(recipe.metric.name), data.of), seed)

    @property
    def sign(self) -> float:
        """+1 where a higher score is better, else -1."""
        return 1.0 if direction(self.holdout.name) == "maximize" else -1.0


@dataclass(frozen=True)
class Subject:
    """The network that is compressed.

    Attributes:
        original: the saved model with its data.
        model: it, loaded.
        prepared: the data, as its config wants them prepared.
    """

    original: Original
    model: Model
    prepared: Prepared

    @classmethod
    def of(cls, original: Original, model: Model) -> "Subject":
        """A single network.

        Args:
            original: with its data.
            model: it, loaded.

        Raises:
            BundleError: the model has no weights.
        """
        if not any(True for _ in model.module.parameters()):
            family = model.manifest["model"]
            raise BundleError(f"{original.bundle}: a model of the family {family!r} has no weights to cut or round")
        return cls(original, model, original.data.of(model.config))

    @property
    def recipe(self) -> Recipe:
        """How it was trained, and on what."""
        return self.original.recipe

    @property
    def bundle(self) -> Path:
        """Where it is saved."""
        return self.original.bundle

    @property
    def build(self) -> Build:
        """Makes its network."""
        return self.original.build

    @property
    def holdout(self) -> Holdout:
        """The validation and test rows."""
        return self.original.holdout

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

    def module_of(self, network: Network) -> nn.Module:
        """The module of a compressed network, in evaluation mode."""
        return network.module(self.build, self.prepared.inputs, self.prepared.outputs)
