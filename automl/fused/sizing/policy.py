"""Which trials run together, and how many: probed and timed once a signature, and remembered in the study's folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from automl.data.prepared import Part
from automl.errors import EnvironmentProblem
from automl.fused.modules.blueprint import Blueprint
from automl.fused.problem import Options, Problem
from automl.fused.signature import group, mixed_signature
from automl.fused.sizing.cache import Known
from automl.fused.sizing.growth import FEWEST, Growth
from automl.fused.sizing.mixed_probe import probe_mixed
from automl.fused.sizing.probe import Fusion, probe

Configs = Sequence[Mapping[str, Any]]


@dataclass
class Judge:
    """`mixes`: what may differ among lanes (see `mixed`); nothing on a GPU, where each product would be a launch."""

    problem: Problem
    options: Options
    blueprint: Blueprint
    train: Part
    fusions: dict[str, Fusion] = field(default_factory=dict)
    growths: dict[str, Growth] = field(default_factory=dict)

    def __post_init__(self) -> None:
        p = self.problem
        able = self.blueprint.device.type == "cpu" and p.kind in ("classification", "regression")
        self.mixes = p.mixes if able and not getattr(p.inputs, "cardinalities", ()) else ()
        self.known = Known(self.options.known, self.options.device)

    def signature(self, config: Mapping[str, Any]) -> str:
        """Equal for configs whose trials may share a cohort; computed without torch."""
        if self.mixes:
            return mixed_signature(config, self.mixes)
        return group(config, self.problem.mixes, zeros=self.problem.zeros)

    def fusion(self, configs: Configs) -> Fusion:
        """Whether trials like `configs` (of one signature) can be fused, and why not; probed once per signature, or
        once for all where models mix."""
        key, p = "mixed" if self.mixes else self.signature(configs[0]), self.problem
        if key not in self.fusions:
            if self.mixes:
                found = probe_mixed(self.blueprint, configs, p.kind, self.train)
                if not found.ok:  # must not be: from now on one shape a cohort, which needs nothing of `mixed`
                    self.mixes = ()
            else:
                dropping = (c for c in configs if any("dropout" in name and value for name, value in c.items()))
                found = probe(self.blueprint, next(dropping, configs[0]), p.kind, self.train)
            self.fusions[key] = found
        return self.fusions[key]

    def alone(self, configs: Configs, lanes: int) -> str | None:
        """Why `lanes` trials like `configs` had better run one after the other; None: they are faster together.

        An empty text: there are too few of them. What is measured for this is measured once per signature.

        Raises EnvironmentProblem under `fuse: require` for a model that cannot be fused.
        """
        if self.options.fuse == "never":
            return ""
        required = self.options.fuse == "require"
        if lanes < (2 if self.mixes else FEWEST) and not required:
            return ""
        fusion = self.fusion(configs)
        if not fusion.ok:
            if required:
                raise EnvironmentProblem(f"fuse: require, but {fusion.sentence()}")
            return fusion.sentence()
        growth = self.growth(configs)
        if required or growth.pays(lanes):
            return None
        if growth.hopeless:
            return f"trials run one at a time: together they would be no faster on {self.options.device} (measured)"
        return ""

    def growth(self, configs: Configs) -> Growth:
        """What is known of how fast lanes like `configs` are together."""
        key, most, epochs = self.signature(configs[0]), self.options.max_parallel, self.options.epochs
        if key not in self.growths:
            kept = self.known.get(key)
            found = Growth.remembered(most, kept, epochs) if kept else None
            if found is None:
                found = self._measured(configs, most)
                if found.solo:
                    self.known.put(key, found.kept())
            self.growths[key] = found
        return self.growths[key]

    def _measured(self, configs: Configs, most: int) -> Growth:
        kind = self.problem.kind
        if self.options.fuse == "require" or self.mixes:
            return Growth(most, mixed=bool(self.mixes), epochs=self.options.epochs)
        return Growth.measured(self.blueprint, configs[0], kind, self.train, most, self.options.epochs)

    def saw(self, key: str, bucket: int, lanes: int, seconds: float, work: float) -> None:
        """A round of lanes together took that long, see `Growth.saw`."""
        growth = self.growths.get(key)
        if growth is not None and growth.saw(bucket, lanes, seconds, work) and (growth.solo or growth.mixed):
            self.known.put(key, growth.kept())

    def room(self, config: Mapping[str, Any]) -> int:
        """How many lanes like `config` to hold just now, those that are running included."""
        if self.options.fuse == "require":
            return self.options.max_parallel
        return self.growth([config]).target
