"""Built-in model families: functions `build(config, inputs, outputs) -> nn.Module`, as users write their own.

Nothing here knows of training or searching. Listing the families imports no torch; building a model does.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from automl.data.shapes import Inputs, Outputs
from automl.errors import SpecError, did_you_mean

if TYPE_CHECKING:
    from torch import nn

Build = Callable[[Mapping[str, Any], Inputs, Outputs], "nn.Module"]
FAMILY = "model"
"""The entry of a config that names its family, where a search has several."""


@dataclass(frozen=True)
class Family:
    """A model family.

    Attributes:
        name: as in `model:` of a specification.
        module: the module that has the function `build`.
        defaults: every name of a config that the family reads, with the value used where it is absent.
        doc: what it is for, in a line.
        grown: whether the size of a model is found in training, in steps that are none of an optimizer.
        preparation: options of `prepare:` that it wants where nobody chooses them.
    """

    name: str
    module: str
    defaults: Mapping[str, Any]
    doc: str
    grown: bool = False
    preparation: Mapping[str, Any] = field(default_factory=dict)

    @property
    def build(self) -> Build:
        """The family's `build(config, inputs, outputs)`. Imports torch."""
        function: Build = importlib.import_module(self.module).build
        return function


_MUP: dict[str, Any] = {"parametrization": "standard", "base_width": 64}
_FAMILIES = (
    Family(
        "mlp",
        "automl.models.mlp",
        {"depth": 2, "width": 128, "activation": "relu", "norm": "none", "residual": False, "dropout": 0.0,
         "embedding": 16, "embed_numbers": "none", "embed_size": 8, "frequencies": 16, "embed_scale": 0.1, **_MUP},
        "fully connected layers, for tables and any other samples as flat vectors",
    ),
    Family(
        "tabm",
        "automl.models.tables.tabm",
        {"members": 16, "depth": 2, "width": 256, "activation": "relu", "dropout": 0.1, "embedding": 16,
         "embed_numbers": "none", "embed_size": 8, "frequencies": 16, "embed_scale": 0.1},
        "many mlps with shared weights in one network, for tables",
    ),
    Family(
        "sparse_mlp",
        "automl.models.sparse_mlp",
        {"depth": 2, "width": 512, "density": 0.25, "block": 16, "activation": "relu", "norm": "none",
         "residual": False, "dropout": 0.0, "embedding": 16, **_MUP},
        "the mlp with fixed sparse connections, in blocks or unit by unit",
    ),
    Family(
        "convnet",
        "automl.models.convnet",
        {"stages": 3, "depth": 1, "width": 32, "kernel": 3, "stem": 3, "norm": "batch", "activation": "relu",
         "dropout": 0.0, "drop_path": 0.0, **_MUP},
        "a small residual network for images",
    ),
    Family(
        "transformer",
        "automl.models.transformer",
        {"depth": 4, "width": 128, "heads": 4, "ratio": 4.0, "positions": "rotary", "norm": "rms",
         "activation": "swiglu", "tied": False, "dropout": 0.0, "patch": 4, "from_last": True, **_MUP},
        "decoder-only language model, or an encoder for tokens, series, images and tables",
    ),
    Family(
        "lstm",
        "automl.models.lstm",
        {"depth": 1, "width": 128, "embedding": 64, "bidirectional": True, "dropout": 0.0, "from_last": True,
         **_MUP},
        "recurrent classifier, forecaster and next-token model",
    ),
    Family(
        "linear",
        "automl.models.sequences.linear",
        {"columns": "own", "trend": 1, "from_last": True, "dropout": 0.0, "embedding": 16},
        "linear forecasts of series; linear or logistic regression for other data",
    ),
    Family(
        "bag",
        "automl.models.sequences.bag",
        {"embedding": 64, "weighted": False, "depth": 0, "width": 64, "dropout": 0.3},
        "averaged vectors of words and their pieces, for sentences",
        preparation={"tokens": "ngrams"},
    ),
    Family(
        "trees",
        "automl.models.tables.trees",
        {"library": "sklearn", "rounds": 300, "shrinkage": 0.1, "leaves": 31, "max_depth": 0, "min_leaf": 20, "l2": 0.0,
         "feature_share": 1.0, "bins": 255, "early_stop": 30},
        "boosted trees, for tables; grown one trial at a time",
        grown=True,
        preparation={"impute": "none", "categorical": "embed"},
    ),
)  # fmt: skip


def families() -> dict[str, Family]:
    """Name -> family, in the order in which they are shown."""
    return {family.name: family for family in _FAMILIES}


def family(name: str) -> Family:
    """The family of that name.

    Raises:
        SpecError: there is none; the message has the nearest name.
    """
    known = families()
    if name not in known:
        raise SpecError(f"unknown model family {name!r}{did_you_mean(name, known)}; families: {', '.join(known)}")
    return known[name]


def names_in(model: str) -> tuple[str, ...]:
    """The families of a search that has several: those of "mlp, trees"; of any other text, that text."""
    return tuple(model.split(", "))


def family_of(model: str, config: Mapping[str, Any]) -> str:
    """The model of one trial: a family's name, or `package.module:build`.

    Args:
        model: of the search; several families as "mlp, trees".
        config: the trial's, which chooses among several.
    """
    names = names_in(model)
    return names[0] if len(names) == 1 else str(config.get(FAMILY, names[0]))


def is_grown(model: str, config: Mapping[str, Any]) -> bool:
    """Whether a trial's model is of a family that is grown (see `Family`); arguments as for `family_of`."""
    known = families().get(family_of(model, config))
    return known is not None and known.grown


def build_any(model: str) -> Build:
    """The function that builds what each config chooses among several families; `model` as for `family_of`."""
    return lambda config, inputs, outputs: build(family_of(model, config))(config, inputs, outputs)


def build(name: str) -> Build:
    """The function that builds models of the family `name`. Imports torch.

    Raises:
        SpecError: there is no such family; the message has the nearest name.

    Example:
        >>> model = build("mlp")({"width": 64}, Inputs(16), Outputs(3))
    """
    of = family(name)
    inner = of.build

    def answering(config: Mapping[str, Any], inputs: Inputs, outputs: Outputs) -> "nn.Module":
        from automl.models.answers.curved import curved
        from automl.models.answers.links import learned, linked

        made = inner(config, inputs, learned(outputs, grown=of.grown))
        return linked(curved(made, outputs), outputs, grown=of.grown)

    return answering
