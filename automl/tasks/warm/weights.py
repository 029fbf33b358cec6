"""`Weights`: a saved model's weights, with which every trial of a study begins in the place of random ones.

A study keeps a copy in its folder, so the earlier study may vanish afterwards. Modules are made as always and then
filled, so lanes, trials that train alone and finalists all begin with the same weights.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.core import files
from automl.core.parameters import Choice, Value
from automl.core.space import Config, Space, start_value
from automl.errors import BundleError, SpecError
from automl.models import families
from automl.study import paths

if TYPE_CHECKING:
    from torch import Tensor, nn

    from automl.data.shapes import Inputs, Outputs
    from automl.models import Build

Shapes = Mapping[str, tuple[int, ...]]
Units = Callable[[Mapping[str, Any]], tuple["Inputs", "Outputs"]]
"""What goes in and out of the model of a config: its data may be prepared as the config says."""
MOST_VALUES = 8
"""Of a choice, so many values are looked at."""


@dataclass(frozen=True)
class Weights:
    """Weights of an earlier model.

    Attributes:
        place: a study's folder, whose winner they are of, or that of a saved model.
        name: as the user wrote it, for messages.
        space: of the study that begins with them.
        trial: of the earlier study, where it is not its winner that is meant.
    """

    place: Path
    name: str
    space: Space
    trial: int | None = None

    @property
    def bundle(self) -> Path:
        """The folder of the saved model.

        Raises:
            SpecError: there is none, or it is one from which nothing can begin.
        """
        return _verified(self.place, self.name, self.trial)

    @property
    def digest(self) -> str:
        """SHA-256 of the weights."""
        from automl.bundle import files as saved

        return saved.sha256(self.bundle / saved.WEIGHTS)

    def described(self) -> Mapping[str, Any]:
        """Its manifest, with its config and the name of its family or function as `config` and `model`."""
        from automl.bundle import files as saved

        bundle = self.bundle
        manifest, model = (saved.read_json(bundle / name) for name in (saved.MANIFEST, "model.json"))
        if not isinstance(model, dict) or not isinstance(model.get("config"), dict):
            raise SpecError(f"warm.weights: {bundle / 'model.json'}: not the description of a model")
        family = families().get(str(model.get("model")))
        if family is not None and family.grown:
            raise SpecError(
                f"warm.weights: {self.name} is a model of {family.name}, which has no weights to begin with"
            )
        return {**manifest, **model}

    def kept_in(self, study: Path) -> "Weights":
        """A copy in the folder of the study that begins with them."""
        target = study / paths.WARM
        if not (target / paths.MANIFEST).is_file():
            work = files.empty(study / f".{paths.WARM}.new")
            files.copy(self.bundle, work)
            work.replace(target)
        return replace(self, place=target, trial=None)

    def begun(self, build: "Build") -> "Build":
        """`build`, whose modules have these weights.

        Raises SpecError, from the function that is returned, where they do not fit the module of a config.
        """

        def made(config: Mapping[str, Any], inputs: "Inputs", outputs: "Outputs") -> "nn.Module":
            module = build(config, inputs, outputs)
            self._put_into(module)
            return module

        return made

    def _put_into(self, module: "nn.Module") -> None:
        own = module.state_dict()
        if any(value.is_meta for value in own.values()):  # it has shapes only
            return
        state = _read(self.place, self.name, self.trial)
        if found := difference(_shapes(state), _shapes(own), _tied(module)):
            raise SpecError(f"warm.weights: those of {self.name} do not fit: {found}")
        module.load_state_dict(state, strict=False)

    # -- do they fit? ------------------------------------------------------------------------------------------------

    def check(self, build: "Build", units: Units) -> None:
        """Check that they fit the models of all configs that the search may try.

        Args:
            build: makes the modules, without these weights.
            units: what goes in and out.

        Raises:
            SpecError: they do not; says which entry of the space to fix, or what is different in the data.
        """
        known = self.described()["config"]
        begun, state = self._nearest(known), _shapes(_read(self.place, self.name, self.trial))
        first = _shapes_of(build, begun, *units(begun))
        if (found := difference(state, *first)) is not None:
            other = [
                f"{name}: {known[name]!r} there and {begun[name]!r} here"
                for name in begun
                if name in known and begun[name] != known[name] and _shapes_anything(name)
            ]
            why = f" ({', '.join(other)})" if other else ""
            raise SpecError(f"warm.weights: those of {self.name} do not fit{why}: {found}")
        for name, config in self._others(begun):
            if _shapes_of(build, config, *units(config))[0] != first[0]:
                fix = begun.get(name)
                raise SpecError(
                    f"warm.weights: those of {self.name} fit only {name}: {fix!r}, and the space has other values of "
                    f"it; fix it: `{name}: {json.dumps(fix)}`"
                )

    def _nearest(self, known: Mapping[str, Any]) -> Config:
        """The config of the space that is most like `known`, with defaults and middles where it says nothing."""

        def value(_: int, name: str) -> Value:
            p = self.space.params[name]
            return known[name] if name in known and p.contains(known[name]) else start_value(p)

        return self.space.canonical(self.space.build(value))

    def _others(self, begun: Config) -> Iterator[tuple[str, Config]]:
        """(name, config) of configs that differ from `begun` in one parameter that may shape the model."""
        for name, p in self.space.params.items():
            if name in begun and _shapes_anything(name):
                ends = p.choices[:MOST_VALUES] if isinstance(p, Choice) else (p.low, p.high)
                yield from ((name, self._nearest({**begun, name: end})) for end in ends if end != begun[name])


def difference(there: Shapes, here: Shapes, tied: frozenset[str] = frozenset()) -> str | None:
    """What is different between the weights of two models, the first thing in words; None: nothing.

    Args:
        there: the weights that are given.
        here: those of the module that is to have them.
        tied: names in the module that share their memory with another one, and may be missing.
    """
    for name, shape in here.items():
        if name in there and there[name] != shape:
            return f"{name} is {_listed(there[name])} there and {_listed(shape)} here"
    if more := [name for name in here if name not in there and name not in tied]:
        return f"{more[0]} is missing there"
    if more := [name for name in there if name not in here]:
        return f"{more[0]} is missing here"
    return None


def _listed(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a number"


def _shapes_anything(name: str) -> bool:
    """Whether an entry of a config may shape the model: not one that every lane has for itself."""
    from automl.fused.signature import lane_name
    from automl.training.hyperparameters import NAMES

    return name not in NAMES and not lane_name(name)


def _shapes(state: "Mapping[str, Tensor]") -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in state.items()}


def _tied(module: "nn.Module") -> frozenset[str]:
    from automl.bundle.restore import tied

    return frozenset(tied(module))


def _shapes_of(
    build: "Build", config: Config, inputs: "Inputs", outputs: "Outputs"
) -> tuple[dict[str, tuple[int, ...]], frozenset[str]]:
    """The shapes of the weights of a config's model, and the names of those that are tied."""
    import torch

    from automl.training.costs.measuring import weightless

    with torch.random.fork_rng(devices=[]):
        module = weightless(build, config, inputs, outputs)
    return _shapes(module.state_dict()), _tied(module)


def _verified(place: Path, name: str, trial: int | None) -> Path:
    """See `Weights.bundle`."""
    from automl.bundle import files as saved
    from automl.bundle.loading import of_trial

    try:
        found = saved.find(place) if trial is None else of_trial(place, trial)
        manifest = saved.read_json(found / saved.MANIFEST)
        form = manifest.get("format") if isinstance(manifest, dict) else None
        if form != saved.FORMAT:
            what = "a compressed model" if form == saved.COMPRESSED else "an ensemble"
            raise BundleError(f"{found} is {what}; name the folder of a single model, such as {name}/best")
        saved.verify(found, manifest)
    except BundleError as error:
        raise SpecError(f"warm.weights: {error}") from error
    return found


@lru_cache(maxsize=2)
def _read(place: Path, name: str, trial: int | None) -> "dict[str, Tensor]":
    """The weights of a saved model, without those that adjust its logits: they are of its own validation rows.

    The model's files are hashed and read once in a process, not for each module that begins with the weights.
    """
    from safetensors.torch import load_file

    from automl.bundle import files as saved
    from automl.models import adjusting

    return dict(adjusting.without(load_file(_verified(place, name, trial) / saved.WEIGHTS)))
