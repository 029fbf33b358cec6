"""The grammar of `space.yaml`, as pydantic models: which keys there are and what each may hold.

Short forms (`strategy: random`, `budget: {time: 10m}`) are brought to their long form by the validators here, so that
what comes out has one shape. `space` is checked by `spaces.py`, where a complaint can name the parameter.
"""

import math
import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

_PARTS = re.compile(r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")
_REFERENCE = re.compile(r"[^:\s]+:[^\W\d]\w*(\.[^\W\d]\w*)*")


def wrong(message: str, hint: str = "") -> PydanticCustomError:
    """A complaint in our own words; braces in `message` are safe."""
    return PydanticCustomError("told", "{message}", {"message": message, "hint": hint})


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


def _words(value: Any) -> Any:
    if isinstance(value, str):
        raise wrong(f"needs a list of words, got {value!r}", f"; write [{', '.join(value.split())}]")
    return value


def _compile(value: Any) -> Any:
    return {True: "always", False: "never"}[value] if isinstance(value, bool) else value


def _reference(value: Any) -> Any:
    if isinstance(value, str) and not _REFERENCE.fullmatch(value):
        raise wrong(f"takes package.module:function, got {value!r}")
    return value


def _word(value: Any) -> Any:
    if isinstance(value, str) and not value.strip():
        raise wrong("needs a text, got an empty one")
    return value


def _text(value: Any) -> Any:
    return value if isinstance(value, str) else str(value) if type(value) in (int, float) else value


def _scalar(value: Any) -> Any:
    if not isinstance(value, str | int | float | bool | None):
        kind = "a mapping" if isinstance(value, dict) else "a list"
        raise wrong(f"needs text, a number, true, false or null, got {kind}")
    return value


_NAMED_SCHEMA = {
    "anyOf": [
        {"type": "string"},
        {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
    ]
}
Duration = Annotated[
    float, BeforeValidator(seconds), WithJsonSchema({"type": ["string", "number"], "examples": ["10m", "1h30m"]})
]
Scalar = Annotated[Any, BeforeValidator(_scalar), WithJsonSchema({"type": ["string", "number", "boolean", "null"]})]
Positive = Annotated[int, Field(ge=1, le=10**9)]
Text = Annotated[str, BeforeValidator(_text), WithJsonSchema({"type": ["string", "number"]})]
Word = Annotated[str, BeforeValidator(_word)]
Reference = Annotated[str, BeforeValidator(_reference)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, populate_by_name=True)


class FloatParameter(Strict):
    """A real number between two ends."""

    range: list[float] = Field(alias="float", min_length=2, max_length=2, description="[low, high]")
    log: bool = Field(False, description="search the logarithm; needs low > 0")
    step: float | None = Field(None, gt=0, description="only low + k * step")
    default: float | None = Field(None, description="tried first")
    when: dict[str, Any] | None = Field(None, description="{parameter: value or list}: only then part of a config")


class IntParameter(Strict):
    """A whole number between two ends, both included."""

    range: list[int] = Field(alias="int", min_length=2, max_length=2, description="[low, high]")
    log: bool = Field(False, description="search the logarithm; needs low > 0")
    step: int | None = Field(None, ge=1, description="only low + k * step")
    default: int | None = Field(None, description="tried first")
    when: dict[str, Any] | None = Field(None, description="{parameter: value or list}: only then part of a config")


class ChoiceParameter(Strict):
    """One of several values; `ordered` when neighbours are alike."""

    choice: list[Scalar] = Field(min_length=1, description="the values")
    ordered: bool = Field(False, description="neighbours are alike, as in [32, 64, 128]")
    default: Scalar = Field(None, description="tried first")
    when: dict[str, Any] | None = Field(None, description="{parameter: value or list}: only then part of a config")


PARAMETERS: dict[str, type[Strict]] = {"float": FloatParameter, "int": IntParameter, "choice": ChoiceParameter}


class MetricModel(Strict):
    """What trials are ranked on."""

    name: Word = Field(description="as reported, or val_accuracy, val_loss, ...")
    direction: Literal["minimize", "maximize"] | None = Field(None, description="needed for names of your own")


class Plugin(BaseModel):
    """A strategy, stopper or executor by name, with its options."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, allow_inf_nan=False)
    name: Word


class Budget(Strict):
    """Whichever ends first ends the search."""

    trials: Positive | None = Field(None, description="trials to start")
    time: Duration | None = Field(None, description="wall time, e.g. 10m")
    epochs: Positive | None = Field(None, description="epochs (steps) of all trials together")
    steps: Positive | None = Field(None, description="the same as epochs, for training functions that count otherwise")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.epochs is not None and self.steps is not None:
            raise wrong("epochs and steps are two names of one limit; give one of them")
        if self.trials is None and self.time is None and self.epochs is None and self.steps is None:
            raise wrong("needs at least one of trials, time, epochs")
        return self


class Split(Strict):
    """Shares of the three parts; stratified for classes, or by group, or by time."""

    train: float = Field(0.5, gt=0, lt=1, description="share of the rows that models learn from")
    val: float = Field(0.25, gt=0, lt=1, description="share that the search ranks on")
    test: float = Field(0.25, ge=0, lt=1, description="share that only the winner sees")
    group: Word | None = Field(None, description="column whose values stay together")
    time: Word | None = Field(None, description="column to order by; the newest rows are the test part")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-6:
            raise wrong(f"train, val and test must add up to 1, got {total:.4g}")
        if self.group is not None and self.time is not None:
            raise wrong("group and time cannot be combined")
        return self


class Finalists(Strict):
    """The best `top` trials are trained again on `seeds` fresh seeds before the winner is named."""

    top: int = Field(5, ge=1, le=100, description="how many of the best trials")
    seeds: int = Field(3, ge=1, le=100, description="how often each")


class Resources(Strict):
    """What one trial needs."""

    gpus: float | None = Field(None, ge=0, le=1024, description="GPUs; 0.5: two trials share one")
    cpus: float | None = Field(None, gt=0, le=4096, description="CPU cores")


class SpecModel(Strict):
    """A whole search."""

    study: Word | None = Field(None, description="name; the folder is studies/NAME")
    model: Word | None = Field(None, description="built-in family, or package.module:build")
    data: Word | None = Field(None, description="built-in name, a file, or package.module:load")
    target: Word | None = Field(None, description="the column to predict, for tables")
    split: Split | None = Field(None, description="shares of training, validation and test rows")
    prepare: dict[str, Any] | None = Field(None, description="how the data is prepared, see below")
    augment: dict[str, Any] | None = Field(None, description="how training batches are varied, see below")
    sample_weight: Word | None = Field(None, description="column of weights, for loss and metrics")
    class_weight: Literal["balanced", "none"] | None = Field(
        None, description="balanced: rare classes count as much as common ones"
    )
    train: Reference | None = Field(None, description="package.module:function, your own training loop")
    command: Annotated[list[Text] | None, BeforeValidator(_words)] = Field(
        None, min_length=1, description="program and arguments; {name} is replaced by the parameter's value"
    )
    metric: Annotated[MetricModel, BeforeValidator(_named), WithJsonSchema({
        "anyOf": [{"type": "string"}, {"type": "object", "required": ["name"], "additionalProperties": False,
                  "properties": {"name": {"type": "string"}, "direction": {"enum": ["minimize", "maximize"]}}}]
    })] = Field(description="what trials are ranked on")  # fmt: skip
    value: Literal["last", "best"] | None = Field(
        None, description="a trial counts by its last report, or by its best (the default with patience)"
    )
    epochs: Positive | None = Field(None, description="steps of a full trial")
    patience: Positive | None = Field(None, description="end a trial after so many epochs without a better one")
    space: dict[str, Any] = Field(description="groups of parameters")
    first: list[dict[str, Scalar]] | None = Field(None, max_length=1000, description="configs to try first")
    constraints: list[str] | None = Field(None, max_length=100, description='e.g. "width % heads == 0"')
    fidelity: dict[str, Annotated[list[int | float], Field(min_length=2, max_length=2)]] | None = Field(
        None, description="{width: [128, 1024]}: search at the low end, train the finalists at the high end"
    )
    parametrization: Literal["standard", "mup"] = Field(
        "standard", description="mup: what is best for a narrow model is best for a wide one"
    )
    strategy: Annotated[Plugin, BeforeValidator(_named), WithJsonSchema(_NAMED_SCHEMA)] | None = Field(
        None, description="what is tried next (default auto); `automl strategies` lists them"
    )
    stopper: Annotated[Plugin, BeforeValidator(_named), WithJsonSchema(_NAMED_SCHEMA)] | None = Field(
        None, description="which trials end early"
    )
    executor: Annotated[Plugin, BeforeValidator(_named), WithJsonSchema(_NAMED_SCHEMA)] | None = Field(
        None, description="where trials run: local (the default), inline, ray"
    )
    budget: Budget = Field(description="whichever ends first; at least one is required")
    seed: int = Field(0, ge=0, le=2**63 - 1, description="of everything random")
    workers: int | None = Field(
        None, ge=1, le=100_000, description="processes that train (default: one for each GPU, or each core)"
    )
    resources: Resources | None = Field(None, description="what one trial needs, for executors that place trials")
    isolation: Literal["warm", "process"] = Field("warm", description="process: a fresh process for every trial")
    retries: int = Field(1, ge=0, le=100, description="further attempts after a loss of the worker")
    trial_timeout: Duration | None = Field(None, description="a trial that takes longer fails")
    fuse: Literal["auto", "never", "require"] = Field("auto", description="train many trials as one batched model")
    compile: Annotated[Literal["auto", "never", "always"], BeforeValidator(_compile)] = Field(
        "auto", description="torch.compile: where it pays for itself"
    )
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = Field(
        "auto", description="auto: bf16 on a GPU that has it, else fp16; fp32 on a CPU"
    )
    oom: Literal["fail", "accumulate", "halve_batch"] = Field("fail", description="what to do when memory runs out")
    parallel: Literal["auto", "replicate", "shard"] = Field(
        "auto",
        description="a trial on several devices: the whole model on each (replicate), or a share of it (shard: FSDP2); "
        "auto shards what does not fit a GPU",
    )
    finalists: Annotated[Finalists | None, BeforeValidator(_finalists), WithJsonSchema({
        "anyOf": [{"const": "none"}, {"type": "object", "additionalProperties": False,
                  "properties": {"top": {"type": "integer"}, "seeds": {"type": "integer"}}}]
    })] = Field(
        Finalists(top=5, seeds=3), description="the best trials are trained again on fresh seeds; none: they are not"
    )  # fmt: skip
    refit: Literal["none", "train+val"] = Field("none", description="train the winner on the validation rows too")
    ensemble: int | None = Field(None, ge=1, le=1000, description="size of a greedy ensemble of trials")

    @classmethod
    def names(cls) -> list[str]:
        return list(cls.model_fields)
