"""`Spec`: a specification that has been read, checked and resolved."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from automl.core.objectives.goals import Objectives
from automl.core.space import Config, Space
from automl.core.trial import Metric, Plan


@dataclass(frozen=True)
class Spec:
    """One search, as described by a file, a preset or plain data; the fields are the keys of `space.yaml`.

    Exactly one of `model`, `train`, `command` is set. Relative paths (data, train) are relative to `folder`.
    `strategy`, `stopper`, `executor` are `{"name": ..., option: value}`, as `plugins.make` takes them.
    """

    name: str
    metric: Metric
    objectives: Objectives  # the metric, further ones, and limits
    space: Space
    plan: Plan
    path: Path | None = None  # the file it was read from
    folder: Path = Path(".")
    text: str = ""  # the file as written, with comments and without overrides
    model: str | None = None
    data: str | None = None
    target: str | list[str] | None = None
    split: Mapping[str, Any] = field(default_factory=dict)  # only the given keys
    prepare: Mapping[str, Any] = field(default_factory=dict)  # with `weight` (sample_weight) and `class_weight`
    augment: Mapping[str, Any] = field(default_factory=dict)
    train: str | None = None
    command: tuple[str, ...] | None = None
    report: str | None = None  # a pattern that finds reports in what the command prints
    epochs: int | None = None
    steps: Mapping[str, int] = field(default_factory=dict)  # in the place of epochs: {"samples": 10**6, "number": 50}
    patience: int | None = None  # a trial ends after this many epochs (or steps) without improvement
    strategy: Mapping[str, Any] = field(default_factory=dict)
    stopper: Mapping[str, Any] = field(default_factory=dict)
    executor: Mapping[str, Any] | None = None
    seed: int = 0
    workers: int | None = None
    value: Literal["last", "best"] = "last"
    first: tuple[Config, ...] = ()
    warm: tuple[Mapping[str, Any], ...] = ()  # {"study": ..., "seeds": 3} of earlier studies
    weights: Mapping[str, Any] | None = None  # {"weights": folder, "trial": 17}: with which every trial begins
    constraints: tuple[str, ...] = ()
    fidelity: Mapping[str, tuple[float, float]] = field(
        default_factory=dict
    )  # {name: (value in the search, value for the finalists)}
    parametrization: Literal["standard", "mup"] = "standard"
    price: float | None = None  # of an hour of one worker
    resources: Mapping[str, Any] = field(default_factory=dict)
    isolation: Literal["warm", "process"] = "warm"
    retries: int = 1
    trial_timeout_s: float | None = None
    fuse: Literal["auto", "never", "require"] = "auto"
    compile: Literal["auto", "never", "always"] = "auto"
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = "auto"
    oom: Literal["fail", "accumulate", "halve_batch"] = "fail"
    parallel: Literal["auto", "replicate", "shard"] = "auto"
    finalists: Mapping[str, int] | None = None  # {"top": 5, "seeds": 3}; None: no finalists
    refit: Literal["none", "train+val"] = "none"
    adjust: Literal["none", "calibrate", "thresholds"] = "none"
    ensemble: int | None = None
    pack: Mapping[str, int] | None = None  # {"models": 32, "patience": 40}; None: the winner is one model
    warnings: tuple[str, ...] = ()  # possible mistakes, each as `file:line:column: path: message`
    tree: Mapping[str, Any] = field(
        default_factory=dict, repr=False
    )  # plain data in the grammar of `space.yaml`, with overrides

    def to_json(self) -> dict[str, Any]:
        """The resolved specification as plain data; `automl.specfile.from_json` reads it back."""
        return {
            **self.tree,
            "study": self.name,
            "metric": {"name": self.metric.name, "direction": self.metric.direction},
            "space": self.space.to_json(),
            "strategy": dict(self.strategy),
            "stopper": dict(self.stopper),
            "seed": self.seed,
        }
