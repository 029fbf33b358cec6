"""Which trials train together, and how many: probed and timed once per signature, and remembered in a file."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from automl.data.prepared import Part
from automl.data.shapes import Inputs
from automl.errors import EnvironmentProblem, out_of_memory
from automl.fused.modules.blueprint import Blueprint
from automl.fused.problem import Options, Problem
from automl.fused.report import EpochCost
from automl.fused.signature import dropout_names, dropping_signature, group, mixed_signature
from automl.fused.sizing.lane_count import FEWEST, START, LaneCountController
from automl.fused.sizing.measurements import MeasurementCache
from automl.fused.sizing.mixed_probe import probe_mixed
from automl.fused.sizing.probe import ProbeResult, probe
from automl.fused.sizing.timing import STEPS, lane_seconds
from automl.fused.sizing.zero_dropout import zero_dropout_joins
from automl.training import gpu, hyperparameters

Config = Mapping[str, Any]
T = TypeVar("T")
TRIED, TIMED = 64, STEPS + 1  # samples of a streamed part to probe with; batches to time steps with
NO_MEMORY = ProbeResult(False, "memory ran out when three of them were to run together", "nothing is lost but speed")
TOO_FEW = ""  # the reason where there is nothing to tell the user: there are just too few trials


def within_memory(action: Callable[[], T]) -> T | None:
    """What `action` returns; once more, with cached memory given back, if memory runs out; None if it does so again."""
    for _ in range(2):
        try:
            return action()
        except Exception as error:
            if not out_of_memory(error):
                raise
        gpu.free()
    return None


@dataclass
class FusionPolicy:
    """Decides for one engine. `problem`: with its data on the device of `blueprint`.

    `mixes`: names that may differ among lanes (see `mixed`); none on a GPU, where each matrix product would be a kernel
    launch of its own. `room`: signature -> the most lanes, where memory ran out with more. `step_seconds`,
    `probe_mixed`: how a step is timed, and how mixed lanes are checked.
    """

    problem: Problem
    options: Options
    blueprint: Blueprint
    step_seconds: Callable[..., float] = lane_seconds
    probe_mixed: Callable[..., ProbeResult] = probe_mixed
    probes: dict[str, ProbeResult] = field(default_factory=dict)
    controllers: dict[str, LaneCountController] = field(default_factory=dict)
    room: dict[str, int] = field(default_factory=dict)
    _zero_joins: dict[str, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        p = self.problem
        able = self.blueprint.device.type == "cpu" and p.kind in ("classification", "regression")
        embeds = isinstance(p.inputs, Inputs) and bool(p.inputs.cardinalities)
        self.mixes = p.mixes if able and not embeds and self.blueprint.autocast is None else ()
        self.measurements = MeasurementCache(self.options.measurements, gpu.model(self.blueprint.device))

    def signature(self, config: Config) -> str:
        """Equal for configs whose trials may train together here.

        It is the group of `automl.fused.signature.group`, or a group and its subgroup. For a user's model the first
        config of a group may cost two passes of a small batch (see `zero_dropout`).
        """
        p = self.problem
        if self.mixes:
            return mixed_signature(config, self.mixes)
        if p.own_factory and not p.mixes and dropout_names(config) and self._zero_dropout_joins(config):
            return dropping_signature(config)
        return group(config, p.mixes, own_factory=p.own_factory)

    def _zero_dropout_joins(self, config: Config) -> bool:
        if self.options.fuse == "never":
            return False
        key, p = dropping_signature(config), self.problem
        if key not in self._zero_joins:
            plain = replace(self.blueprint, autocast=None, tf32=False)
            joins = within_memory(lambda: zero_dropout_joins(plain, config, p.kind, self._some()))
            self._zero_joins[key] = bool(joins)
        return self._zero_joins[key]

    @property
    def joins_subgroups(self) -> bool:
        """Whether trials of different subgroups train together here."""
        return bool(self.mixes) or any(self._zero_joins.values())

    def probe_result(self, configs: Sequence[Config]) -> ProbeResult:
        """Whether trials like `configs` (of one signature) can train as lanes, and why not.

        Probed once per signature; where models mix, once for all. If the mixed program turns out to be wrong for these
        models, only lanes of one shape train together from then on.
        """
        key, p = "mixed" if self.mixes else self.signature(configs[0]), self.problem
        if key not in self.probes:
            if self.mixes:
                result = (
                    within_memory(lambda: self.probe_mixed(self.blueprint, configs, p.kind, self._some())) or NO_MEMORY
                )
                if not result.ok:
                    self.mixes = ()
            else:
                dropping = [c for c in configs if any("dropout" in name and value for name, value in c.items())]
                tried = dropping or configs
                result = within_memory(lambda: probe(self.blueprint, tried, p.kind, self._some())) or NO_MEMORY
            self.probes[key] = result
        return self.probes[key]

    def reason_to_run_alone(self, configs: Sequence[Config], lanes: int) -> str | None:
        """Why `lanes` trials like `configs` had better run one after the other; None: they are faster together.

        An empty text: there are just too few of them. What is measured for this is measured once per signature.

        Raises:
            EnvironmentProblem: `fuse: require` for a model that cannot train as lanes.
        """
        if self.options.fuse == "never":
            return TOO_FEW
        required = self.options.fuse == "require"
        if lanes < (2 if self.mixes else FEWEST) and not required:
            return TOO_FEW
        could_mix, result = bool(self.mixes), self.probe_result(configs)
        if not result.ok and required and could_mix:  # then in groups of one shape each
            key = self.signature(configs[0])
            result = self.probe_result([config for config in configs if self.signature(config) == key])
        if not result.ok:
            if required:
                raise EnvironmentProblem(f"fuse: require, but {result.sentence()}")
            return result.sentence()
        controller = self.controller(configs)
        if required or controller.pays(lanes):
            return None
        if controller.too_large:
            return f"trials run one at a time: two of them do not fit into the memory of {self.options.device}"
        if controller.never_pays:
            return f"trials run one at a time: together they would be no faster on {self.options.device} (measured)"
        return TOO_FEW

    def controller(self, configs: Sequence[Config]) -> LaneCountController:
        """How fast lanes like `configs` are together, from the file of measurements or measured now."""
        key, options = self.signature(configs[0]), self.options
        if key not in self.controllers:
            kept = self.measurements.get(key)
            controller = LaneCountController.from_json(options.max_parallel, kept, options.epochs) if kept else None
            if controller is None:
                controller = self._new_controller(configs[0])
                if controller.solo_s and controller.max_lanes == options.max_parallel:  # memory did not run out
                    self.measurements.put(key, controller.to_json())
            self.controllers[key] = controller
        return self.controllers[key]

    def _new_controller(self, config: Config) -> LaneCountController:
        p, o = self.problem, self.options
        if o.fuse == "require" or self.mixes:
            return LaneCountController(o.max_parallel, mixed=bool(self.mixes), epochs=o.epochs)
        step_s = partial(self._step_seconds, config)
        steps = p.rows.updates(min(hyperparameters.read(config).batch_size, p.rows.samples))
        kind = self.blueprint.device.type
        start = START.get(kind, START["cpu"])
        return LaneCountController.measured(step_s, steps, o.max_parallel, o.epochs, start, flat=kind == "cuda")

    def _step_seconds(self, config: Config, bucket: int) -> float:
        """How long a step of a lane takes in a bucket; inf where memory runs out. See `timing.lane_seconds`."""
        p = self.problem
        rows = self._some(TIMED * hyperparameters.read(config).batch_size)
        seconds = within_memory(lambda: self.step_seconds(self.blueprint, config, p.kind, rows, bucket))
        return math.inf if seconds is None else seconds

    def _some(self, rows: int = TRIED) -> Part:
        """The training samples, or as many of a streamed part as are enough to try something."""
        p = self.problem
        return p.train if p.rows.stream is None else p.train.head(rows).to(p.device)

    def no_room(self, signature: str, lanes: int) -> None:
        """Take note that memory ran out when more than `lanes` lanes were to train together."""
        self.room[signature] = max(1, min(lanes, self.room.get(signature, lanes)))

    def record(self, signature: str, cost: EpochCost) -> None:
        """Take note of what an epoch of several lanes took."""
        controller = self.controllers.get(signature)
        if controller is not None and controller.record(cost) and (controller.solo_s or controller.mixed):
            self.measurements.put(signature, controller.to_json())

    def target_lanes(self, config: Config) -> int:
        """How many lanes like `config` there should be now, those that are running included."""
        required = self.options.fuse == "require"
        wanted = self.options.max_parallel if required else self.controller([config]).target
        return min(wanted, self.room.get(self.signature(config), wanted))

    def pays(self, signature: str, lanes: int) -> bool:
        """Whether so few lanes that are left of a group are still faster together than one by one."""
        controller = self.controllers.get(signature)
        return self.options.fuse != "auto" or controller is None or controller.pays(lanes)
