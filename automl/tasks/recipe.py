"""`Recipe`: what a built-in task trains, as plain data that can be sent to any process."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from automl import metrics
from automl.core.trial import Metric
from automl.core.user_code import import_object
from automl.data.preparing import options
from automl.errors import SpecError, did_you_mean
from automl.metrics.defined import undefined
from automl.metrics.intervals import wilson
from automl.metrics.kinds.kind import kind_of
from automl.tasks.warm.weights import Weights
from automl.training.samples.units import EPOCH, Unit

if TYPE_CHECKING:
    from automl.data.prepared import Prepared
    from automl.data.shapes import Inputs, Outputs
    from automl.models import Build
    from automl.training.samples.validation import Validation

KEPT = 4
"""So many preparations of the data are kept in memory, where they are searched."""


@dataclass(frozen=True)
class Recipe:
    """A model, its data, and how it is trained; the hyperparameters come with each trial.

    Attributes:
        model: a family's name, several of them ("mlp, trees": each config says which), or `package.module:build`.
        data: see `automl.data.load`, as are `target`, `split` and `prepare`.
        epochs: of a full trial, or what `unit` says in their place; schedules are planned for them.
        unit: what a trial trains on between two reports.
        val_rows: number of validation rows that a report is measured on (the last report, where it counts, on all);
            0: every report on all rows; None: the default number, see `training.samples.validation`.
        metric: the study's.
        further: names of further metrics that the study ranks on or limits, with those of `metrics.COSTS`.
        folder: what relative names of files and modules refer to.
        seed: of the split into training, validation and test rows.
        spec: the specification, which is saved with each model.
        keep: which trials save their model at their end: those that would then be among the best, or all.
        refit: whether the validation rows are training rows too.
        outputs: whether a model's outputs on the validation rows are saved with it, for an ensemble.
        patience: a trial ends after this number of epochs without a better one; 0: never.
        adjust: how the logits of saved models are adjusted on the validation rows, see `models.adjusting`.
        until: the epoch after which training ends; None: the last one.
        fuse: whether trials train together as one batched model; "require" makes it an error where they cannot.
        mixes: hyperparameters that shape the model and may yet differ among such trials (see `tasks.fusing.mixes`).
        settings: of `training.Settings`: precision, compile, ...
        checkpoint_s: seconds of training between two checkpoints of a trial, at least.
        sent: the data themselves, for workers on machines that do not have the files.
        weights: with which every trial begins; None: with random ones.
    """

    model: str
    data: str
    epochs: int
    metric: Metric
    target: str | list[str] | None = None
    split: Mapping[str, Any] | None = None
    prepare: Mapping[str, Any] | None = None
    folder: Path = Path()
    seed: int = 0
    spec: Mapping[str, Any] = field(default_factory=dict)
    further: tuple[str, ...] = ()
    keep: Literal["leader", "all"] = "leader"
    refit: bool = False
    outputs: bool = False
    patience: int = 0
    adjust: Literal["none", "calibrate", "thresholds"] = "none"
    until: int | None = None
    fuse: Literal["auto", "never", "require"] = "auto"
    mixes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    checkpoint_s: float = 10.0
    sent: "Prepared | None" = None
    unit: Unit = EPOCH
    val_rows: int | None = 0
    weights: Weights | None = None

    @property
    def runs_user_code(self) -> bool:
        """Whether model or data are functions of the user's."""
        return ":" in self.model or ":" in self.data

    @property
    def own_factory(self) -> bool:
        """Whether the model is a user's; its factory may leave a dropout layer out where the probability is 0."""
        return ":" in self.model

    def builder(self) -> "Build":
        """The function `build(config, inputs, outputs)` that makes the model, with its first weights."""
        return self._builder if self.weights is None else self.weights.begun(self._builder)

    @property
    def _builder(self) -> "Build":
        from automl import models

        if ":" in self.model:
            build: Build = import_object(self.model, self.folder)
            return build
        return models.build_any(self.model) if ", " in self.model else models.build(self.model)

    def family(self, config: Mapping[str, Any]) -> str:
        """The model of a trial with this config, see `models.family_of`."""
        from automl import models

        return models.family_of(self.model, config)

    def is_grown(self, config: Mapping[str, Any]) -> bool:
        """Whether the model of a trial with this config is grown, see `models.Family`."""
        from automl import models

        return models.is_grown(self.model, config)

    def load(self, config: Mapping[str, Any] | None = None) -> "Prepared":
        """The data, split and prepared as `config` wants it; with `refit` validation rows are training rows too."""
        chosen = options.chosen(config or {})
        if self.sent is not None and not chosen:
            return self.sent
        from automl import data
        from automl.data.prepared import as_learned

        prepare = {**(self.prepare or {}), **chosen}
        prepared = data.load(
            self.data, target=self.target, split=self.split, seed=self.seed, prepare=prepare, base=self.folder
        )
        name, tested = self.metric.name.removeprefix("val_"), len(prepared.test)
        if tested and (reason := undefined(name, prepared.kind, prepared.test.y)):
            prepared.notes.append(f"test_{name} is not defined on the test set: {reason}")
        if not self.refit:
            return prepared
        if prepared.folds is not None:  # all rows but those of the test part are training rows
            return replace(prepared, train=replace(prepared.train, folds=None))
        return replace(prepared, train=prepared.train + as_learned(prepared.val, prepared))

    def unit_for(self, prepared: "Prepared") -> Unit:
        """The unit for these data; for texts it is counted in samples instead of tokens."""
        return self.unit.of_sequences(int(prepared.inputs.shape[0]) if prepared.kind == "next_token" else 1)

    def validation(self, prepared: "Prepared") -> "Validation":
        """By which rows a trial on these data is measured."""
        from automl.training.samples import validation

        val = prepared.val
        rows = validation.usual_rows(val) if self.val_rows is None else self.val_rows or len(val)
        rows = len(val) if prepared.folds is not None else rows  # each row is one fold's
        some = validation.sample(val, rows, self.seed)
        return validation.Validation(val, some, at_end=self.metric.count == "last")

    def measured_by(self, rows: "Validation") -> str:
        """What the user is told where a sample of the validation rows measures a step; else empty."""
        if rows.sample is None:
            return ""
        n, name = len(rows.sample), self.metric.name.removeprefix("val_")
        low, high = wilson(0.5, n)  # the widest of all
        near = f", which tells a share to within {(high - low) / 2:.2g} (95 %)" if name == "accuracy" else ""
        then = "; the last step of a full trial on all" if rows.at_end else "; finalists on all"
        return f"each step is measured on the same {n:,} of {len(rows.whole):,} validation rows{near}{then}"

    def check(self, prepared: "Prepared") -> None:
        """Check before the first epoch that the study's metric is measured, and has a value, on data of this kind.

        Raises:
            SpecError: it is not; the message lists those that are. Or it has no value on the validation rows.
        """
        cut = kind_of(prepared.kind).variant == "labels" and self.adjust == "thresholds"
        if self.adjust != "none" and prepared.kind != "classification" and not cut:
            raise SpecError(f"adjust: {self.adjust} is for classes; this task is {prepared.kind}: leave it out")
        if prepared.outputs.curve is not None and self.own_factory:
            raise SpecError(
                "prepare.target_scale: it is for built-in families; a model of your own has curves of its own"
            )
        if prepared.outputs.link is not None and self.own_factory:
            raise SpecError(
                f"prepare: {kind_of(prepared.kind).words} are for built-in families; for a model of your own leave "
                "that out and write a loss of your own (loss: module:name)"
            )
        measured = ["train_loss", *(f"val_{name}" for name in metrics.ranking(prepared.kind))]
        for wanted in (self.metric.name, *(name for name in self.further if name not in metrics.COSTS)):
            if wanted not in measured:
                near = did_you_mean(wanted, measured)
                task = kind_of(prepared.kind).words
                reason = f"metric: {wanted!r} is not measured for {task}{near}"
                raise SpecError(f"{reason} (measured: {', '.join(measured)})")
        if self.unit.name == "tokens" and prepared.kind != "next_token":
            raise SpecError(f"steps: tokens are for language models; this task is {prepared.kind}: give samples")
        if self.metric.name.startswith("val_"):
            self._check_defined(prepared)
        if self.weights is not None:
            self._check_weights(self.weights, prepared)

    def _check_weights(self, weights: Weights, prepared: "Prepared") -> None:
        """Check that the weights with which trials begin fit their models, and that nothing they know is held out."""
        if prepared.folds is not None:
            raise SpecError(
                "warm.weights: has no folds: a model that has learned from all folds would be tested on them"
            )

        def units(config: Mapping[str, Any]) -> tuple["Inputs", "Outputs"]:
            data = self.load(config) if options.chosen(config) else prepared
            return data.inputs, data.outputs

        weights.check(self._builder, units)

    def _check_defined(self, prepared: "Prepared") -> None:
        """Check that the study's metric has a value on the validation rows, and on those that measure a report."""
        name, sampled = self.metric.name.removeprefix("val_"), self.validation(prepared).sample
        if reason := undefined(name, prepared.kind, prepared.val.y):
            raise SpecError(
                f"metric: {self.metric.name} is not defined on the validation set: {reason}; split differently or"
                " choose another metric"
            )
        if sampled is not None and (reason := undefined(name, prepared.kind, sampled.y)):
            raise SpecError(
                f"steps: {self.metric.name} is not defined on the {len(sampled):,} validation rows that measure a step:"
                f" {reason}; give more val_rows"
            )


class PreparedData:
    """The data of a recipe in memory, as configs want them prepared.

    Attributes:
        default: the data as prepared for a config without data hyperparameters.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.default = recipe.load()
        self._recipe = recipe
        self._others: dict[str, Prepared] = {}  # by the options that were chosen, the last one used last

    def of(self, config: Mapping[str, Any]) -> "Prepared":
        """The data as `config` wants them prepared; the last `KEPT` preparations are kept."""
        chosen = options.chosen(config)
        if not chosen:
            return self.default
        key = json.dumps(chosen, sort_keys=True)
        prepared = self._others.pop(key, None) or self._recipe.load(config)
        self._others[key] = prepared
        if len(self._others) > KEPT:
            self._others.pop(next(iter(self._others)))
        return prepared
