"""The grammar of `space.yaml` as pydantic models: the keys, and what each may contain.

Validators turn short forms (`strategy: random`, `budget: {time: 10m}`) into their long form, so that the result has one
shape. `space` is checked in `spaces.py`, where a complaint can name the parameter.
"""

import math
import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from automl.core.files import why_no_name
from automl.data.splits import FEWEST_FOLDS, MOST_FOLDS
from automl.specfile.entries.basics import Item, Strict, Word, Words, wrong
from automl.specfile.entries.objectives import CHOOSE_SCHEMA, SCHEMA, ChooseModel, ObjectiveModel, chosen, listed
from automl.specfile.entries.resources import Resources
from automl.specfile.entries.steps import Steps
from automl.specfile.entries.warm import Warm
from automl.specfile.entries.warm import listed as listed_warm

_PARTS = re.compile(r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")
_REFERENCE = re.compile(r"[^:\s]+:[^\W\d]\w*(\.[^\W\d]\w*)*")


def seconds(value: Any) -> float:
    """`90`, `90s`, `10m`, `1h30m`, `2d` -> seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        found = float(value)
    elif isinstance(value, str) and len(value) < 40 and (parts := _PARTS.fullmatch(value.replace(" ", ""))) and value:
        units = zip(parts.groups(), (86400, 3600, 60, 1), strict=True)
        found = math.fsum(float(n) * unit for n, unit in units if n)
    else:
        raise wrong(f"needs a duration such as 90s, 10m or 1h30m, got {value!r}")
    if not 0 < found < 1e10:
        raise wrong(f"needs a duration above 0, got {value!r}")
    return found


def _named(value: Any) -> Any:
    if value is not None and not isinstance(value, str | dict):
        raise wrong(f"needs a name, or {{name: ...}}, got {value!r}")
    return {"name": value} if isinstance(value, str) else value


def _finalists(value: Any) -> Any:
    if value != "none" and not isinstance(value, dict):
        raise wrong(f"needs none or {{top: 5, seeds: 3}}, got {value!r}")
    return None if value == "none" else value


def _pack(value: Any) -> Any:
    if value is not True and not isinstance(value, dict):
        raise wrong(f"needs true or {{models: 32, patience: 40}}, got {value!r}")
    return {} if value is True else value


def _words(value: Any) -> Any:
    if isinstance(value, str):
        raise wrong(f"needs a list of words, got {value!r}", f"; write [{', '.join(value.split())}]")
    return value


def _share(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str) or value == "":
        raise wrong(f"needs a share of the rows, or a file, got {value!r}")
    if not isinstance(value, str) and not 0 <= value < 1:
        raise wrong(f"must be below 1 and not below 0, got {value!r}")
    return value


def _compile(value: Any) -> Any:
    return {True: "always", False: "never"}[value] if isinstance(value, bool) else value


def _reference(value: Any) -> Any:
    if isinstance(value, str) and not _REFERENCE.fullmatch(value):
        raise wrong(f"must be package.module:function, got {value!r}")
    return value


def _model(value: Any) -> Any:
    names = value if isinstance(value, list) else [value]
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise wrong(f"needs a family, package.module:build, or a list of families, got {value!r}")
    if len(set(names)) < len(names):
        raise wrong(f"needs each family once, got {value!r}")
    return ", ".join(names)


def _name(value: Any) -> Any:
    if isinstance(value, str) and (why := why_no_name(value)):
        shown = value if len(value) < 60 else f"{value[:50]}..."
        raise wrong(f"{shown!r} {why}", "; it is the folder's name, and --dir says where that lies")
    return value


def _text(value: Any) -> Any:
    return value if isinstance(value, str) else str(value) if type(value) in (int, float) else value


_NAMED_SCHEMA = {
    "anyOf": [
        {"type": "string"},
        {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
    ]
}
Duration = Annotated[
    float, BeforeValidator(seconds), WithJsonSchema({"type": ["string", "number"], "examples": ["10m", "1h30m"]})
]
Positive = Annotated[int, Field(ge=1, le=10**9)]
Text = Annotated[str, BeforeValidator(_text), WithJsonSchema({"type": ["string", "number"]})]
Name = Annotated[str, BeforeValidator(_name)]
Reference = Annotated[str, BeforeValidator(_reference)]


class MetricModel(Strict):
    """The metric by which trials are ranked."""

    name: Word = Field(description="the name under which it is reported, e.g. val_accuracy or val_loss")
    direction: Literal["minimize", "maximize"] | None = Field(None, description="required for a metric of your own")


class Plugin(BaseModel):
    """A strategy, stopper or executor by name, with its options."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, allow_inf_nan=False)
    name: Word


class Budget(Strict):
    """The limits of a search; the first one that is reached ends it."""

    trials: Positive | None = Field(None, description="number of trials")
    time: Duration | None = Field(None, description="wall-clock time, e.g. 10m")
    epochs: Positive | None = Field(None, description="epochs (steps) of all trials together")
    steps: Positive | None = Field(
        None, description="the same as epochs, for training functions that count other steps"
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.epochs is not None and self.steps is not None:
            raise wrong("epochs and steps are the same limit; give only one of them")
        if self.trials is None and self.time is None and self.epochs is None and self.steps is None:
            raise wrong("needs at least one of trials, time, epochs")
        return self


class Split(Strict):
    """Shares of the training, validation and test rows; stratified by class, or split by group or by time."""

    train: float | None = Field(0.5, gt=0, lt=1, description="share of the rows that models are trained on")
    val: Annotated[float | str | None, BeforeValidator(_share)] = Field(
        0.25, description="share by which trials are ranked, or a file with these rows"
    )
    test: Annotated[float | str, BeforeValidator(_share)] = Field(
        0.25, description="share for the final evaluation of the winner, or a file with these rows"
    )
    folds: int | None = Field(
        None, ge=FEWEST_FOLDS, le=MOST_FOLDS,
        description="in the place of train and val: each trial has so many models, and all rows but the test rows are "
        "trained on by the others and held out from one, by which trials are ranked",
    )  # fmt: skip
    group: Word | None = Field(None, description="column; rows with equal values stay in the same part")
    time: Word | None = Field(None, description="column to order rows by; the newest rows are the test rows")

    @model_validator(mode="before")
    @classmethod
    def _folded(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("folds") is None:
            return given
        if shares := [name for name in ("train", "val") if given.get(name) is not None]:
            raise wrong(f"folds take the place of train and val; leave out {shares[0]}")
        return {**given, "train": None, "val": None}

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.val == 0:
            raise wrong("val must be above 0: trials are ranked by these rows")
        if isinstance(self.val, str) or isinstance(self.test, str):
            others = ("train", "group", "time", "folds")
            if given := [name for name in others if name in self.model_fields_set and getattr(self, name) is not None]:
                raise wrong(f"with a file for val or test, `data` is for training: leave out {given[0]}")
            return self
        total = (self.train or 0) + (self.val or 0) + self.test
        if self.folds is None and abs(total - 1) > 1e-6:
            raise wrong(f"train, val and test must add up to 1, got {total:.4g}")
        if self.group is not None and self.time is not None:
            raise wrong("group and time cannot be combined")
        return self


class Finalists(Strict):
    """The best `top` trials are retrained on `seeds` fresh seeds before the winner is chosen."""

    top: int = Field(5, ge=1, le=100, description="number of trials to retrain")
    seeds: int = Field(3, ge=1, le=100, description="fresh seeds for each of them")


class Pack(Strict):
    """The models of a search that are best together are its result; there are no finalists."""

    models: int = Field(32, ge=1, le=1000, description="largest number of models in the ensemble")
    patience: int = Field(
        40, ge=1, le=10**6, description="trials without a better ensemble after which the search ends"
    )


class SpecModel(Strict):
    """A complete search."""

    study: Name | None = Field(None, description="name of the study, no path; its folder is studies/NAME")
    model: Annotated[
        str | None,
        BeforeValidator(_model),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
    ] = Field(None, description="built-in family, a list of families to search over, or package.module:build")
    data: Word | None = Field(None, description="built-in name, a file, or package.module:load")
    target: Words | None = Field(None, description="the column to predict, for tables; or several, of numbers")
    split: Split | None = Field(None, description="shares of training, validation and test rows")
    prepare: dict[str, Any] | None = Field(None, description="preparation of the data, see below")
    augment: dict[str, Any] | None = Field(None, description="augmentation of training batches, see below")
    sample_weight: Word | None = Field(None, description="column of row weights, for the loss and the metrics")
    class_weight: Literal["balanced", "none"] | None = Field(
        None, description="balanced: all classes have the same total weight"
    )
    train: Reference | None = Field(None, description="package.module:function, your own training loop")
    command: Annotated[list[Text] | None, BeforeValidator(_words)] = Field(
        None, min_length=1, description="program and arguments; {name} is replaced by the value of that parameter"
    )
    report: Text | None = Field(
        None,
        description="for commands that print text: a regular expression whose named groups are metrics, such as "
        "'val_acc=(?P<val_acc>[0-9.]+)'",
    )
    metric: Annotated[MetricModel, BeforeValidator(_named), WithJsonSchema({
        "anyOf": [{"type": "string"}, {"type": "object", "required": ["name"], "additionalProperties": False,
                  "properties": {"name": {"type": "string"}, "direction": {"enum": ["minimize", "maximize"]}}}]
    })] = Field(description="the metric by which trials are ranked")  # fmt: skip
    objectives: Annotated[list[ObjectiveModel] | None, BeforeValidator(listed), WithJsonSchema(SCHEMA)] = Field(
        None,
        min_length=1,
        description="further metrics that are optimized, and limits; the first one is `metric` if that is missing",
    )
    choose: Annotated[ChooseModel | None, BeforeValidator(chosen), WithJsonSchema(CHOOSE_SCHEMA)] = Field(
        None, description="the winner of several objectives: knee (the default), or {at_most: {parameters: 100000}}"
    )
    value: Literal["last", "best"] | None = Field(
        None, description="rank a trial by its last report, or by its best one (the default with patience)"
    )
    epochs: Positive | None = Field(None, description="length of a full trial")
    steps: Steps | None = Field(
        None,
        description="in the place of epochs: {samples: 1M, number: 50}, evaluated every 1M samples",
    )
    patience: Positive | None = Field(
        None, description="end a trial after this many epochs (or steps) without improvement"
    )
    space: dict[str, Any] = Field(description="the parameters, in groups or not")
    first: list[dict[str, Item]] | None = Field(None, max_length=1000, description="configs to try first")
    warm: Annotated[list[Warm], BeforeValidator(listed_warm)] | None = Field(
        None, max_length=20, description="earlier studies to start from: [studies/last_week], {weights: studies/old}"
    )
    constraints: list[str] | None = Field(
        None, max_length=100, description='conditions that every config fulfils, e.g. "width % heads == 0"'
    )
    fidelity: dict[str, Annotated[list[int | float], Field(min_length=2, max_length=2)]] | None = Field(
        None, description="{width: [128, 1024]}: search with the low value, retrain the finalists with the high one"
    )
    parametrization: Literal["standard", "mup"] = Field(
        "standard", description="mup: the best hyperparameters of a narrow model are also the best of a wide one"
    )
    strategy: Annotated[Plugin, BeforeValidator(_named), WithJsonSchema(_NAMED_SCHEMA)] | None = Field(
        None, description="suggests configs (default auto); `automl strategies` lists all"
    )
    stopper: Annotated[Plugin, BeforeValidator(_named), WithJsonSchema(_NAMED_SCHEMA)] | None = Field(
        None, description="ends bad trials early (default halving; asha with train or command)"
    )
    executor: Annotated[Plugin, BeforeValidator(_named), WithJsonSchema(_NAMED_SCHEMA)] | None = Field(
        None, description="where trials run: local (the default), inline, ray"
    )
    budget: Budget = Field(description="the limits of the search; at least one is required")
    seed: int = Field(0, ge=0, le=2**63 - 1, description="seed of all random numbers")
    workers: int | None = Field(
        None, ge=1, le=100_000, description="worker processes (default: one per GPU, or one per core)"
    )
    price: float | None = Field(
        None, ge=0, description="of an hour of one worker; screens then say what a search has cost"
    )
    resources: Resources | None = Field(None, description="what one trial needs")
    isolation: Literal["warm", "process"] = Field("warm", description="process: a new process for every trial")
    retries: int = Field(1, ge=0, le=100, description="further attempts after a worker was lost")
    trial_timeout: Duration | None = Field(None, description="a trial that takes longer has failed")
    fuse: Literal["auto", "never", "require"] = Field("auto", description="train many trials as one batched model")
    compile: Annotated[Literal["auto", "never", "always"], BeforeValidator(_compile)] = Field(
        "auto", description="whether to use torch.compile; auto: where it saves time"
    )
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = Field(
        "auto", description="auto: fp32 on a CPU; on a GPU TF32 for lanes, bf16 for a large model, which trains alone"
    )
    oom: Literal["fail", "accumulate", "halve_batch"] = Field(
        "fail", description="when memory runs out: fail the trial, accumulate gradients, or halve the batch"
    )
    parallel: Literal["auto", "replicate", "shard"] = Field(
        "auto",
        description="a trial on several devices: the whole model on each (replicate), or a part of it (shard: FSDP2); "
        "auto: shard models that do not fit on one GPU",
    )
    finalists: Annotated[Finalists | None, BeforeValidator(_finalists), WithJsonSchema({
        "anyOf": [{"const": "none"}, {"type": "object", "additionalProperties": False,
                  "properties": {"top": {"type": "integer"}, "seeds": {"type": "integer"}}}]
    })] = Field(
        Finalists(top=5, seeds=3), description="the best trials are retrained on fresh seeds; none: no retraining"
    )  # fmt: skip
    adjust: Literal["none", "calibrate", "thresholds"] = Field(
        "none",
        description="of saved models of classes, by the validation rows: calibrate the probabilities, or "
        "choose thresholds of the classes for the metric",
    )
    refit: Literal["none", "train+val"] = Field(
        "none", description="train+val: train the winner once more, on the validation rows too"
    )
    ensemble: int | None = Field(
        None, ge=1, le=1000, description="largest number of models in a greedy ensemble of trials"
    )
    pack: Annotated[Pack | None, BeforeValidator(_pack), WithJsonSchema(
        {"anyOf": [{"const": True}, Pack.model_json_schema()]}
    )] = Field(None, description="true: the winner is an ensemble of trials, which grows while they train")  # fmt: skip

    @classmethod
    def names(cls) -> list[str]:
        """The keys of a specification, as they are written in the file."""
        return list(cls.model_fields)
