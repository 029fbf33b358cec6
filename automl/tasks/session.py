"""`TrainingSession`: a recipe with its data in memory, inside one worker; trains single trials and saves models."""

import time
from collections.abc import Callable, Mapping
from contextlib import closing, nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from automl import metrics
from automl.core.user_code import make_importable
from automl.data.summary.facts import FACT
from automl.errors import SpecError, TaskError
from automl.fused import signature
from automl.study import paths
from automl.tasks import fusing
from automl.tasks.ranks import RankGroup
from automl.tasks.recipe import KEPT, PreparedData, Recipe
from automl.training.loop.best_epoch import BestEpoch
from automl.worker.trial import TrialStopped
from automl.worker.worker import Session

if TYPE_CHECKING:
    from automl.data.prepared import Prepared
    from automl.training import Trainer
    from automl.training.distributed.ddp import Rank
    from automl.training.loop.folded import FoldedTrainer
    from automl.training.samples.validation import Validation
    from automl.training.trees.trainer import TreeTrainer
    from automl.worker.trial import Trial
    from automl.worker.worker import Worker

    TrialTrainer = Trainer | FoldedTrainer | TreeTrainer


FILLING = 1e11
"""Operations of a training step that keep a GPU busy: a millisecond at 100 TFLOP/s, longer than its calls take."""


class TrainingSession(Session):
    """Trains the trials of a worker.

    Args:
        recipe: what is trained.
        device: where, as torch names it.
        ranks: the processes on further devices, where a trial has several.
        loop: pulls the worker's trials and trains them; None: one after another.

    Raises:
        AutoMLError: torch cannot use the device, model or data cannot be loaded, or the metric is not measured.
    """

    def __init__(
        self,
        recipe: Recipe,
        device: str,
        ranks: RankGroup | None = None,
        loop: "Callable[[TrainingSession, Worker], None] | None" = None,
    ) -> None:
        from automl.training.gpu import require

        require(device)
        self.recipe, self.device, self.ranks = recipe, device, ranks
        make_importable(recipe.folder)  # an optimizer or a loss of the user's is named in a trial's config
        self.build, self.data = recipe.builder(), PreparedData(recipe)
        self._loop = loop
        self._resident: dict[str, Prepared] = {}
        self._fills: dict[str, bool] = {}
        self._validation: dict[str, Validation] = {}
        recipe.check(self.data.default)
        if ranks is not None and self.data.default.folds is not None:
            raise SpecError("split.folds: a trial on several devices has no folds; give each trial one device")

    @property
    def prepared(self) -> "Prepared":
        """The data as prepared for a config without data hyperparameters."""
        return self.data.default

    @property
    def facts(self) -> Mapping[str, object]:
        """What was decided about the data."""
        summary = self.prepared.summary
        return {} if summary is None else {FACT: summary.shortened().to_json()}

    def serve(self, worker: "Worker") -> None:
        """Train the worker's trials until there are no more."""
        from automl.adapting.threads import one_thread  # imports torch

        if note := self.recipe.measured_by(self.validation({})):
            worker.report((), advice=(note,))
        if "order" in self.prepared.preparation:  # of a series; how the rows of one are read has changed
            worker = replace(worker, place=replace(worker.place, data=self.prepared.fingerprint))
        with closing(self.ranks) if self.ranks else nullcontext(), one_thread(self.device):
            if self._loop is None:
                super().serve(worker)
            else:
                self._loop(self, worker)

    @property
    def bf16(self) -> bool:
        """Whether forward passes are asked for in bfloat16."""
        return bool(self.recipe.settings.get("precision") == "bf16")

    @property
    def tf32(self) -> bool:
        """Whether matrix products of trials that train together on a GPU use TF32."""
        return self.device.startswith("cuda") and self.recipe.settings.get("precision", "auto") != "fp32"

    def fills_gpu(self, config: Mapping[str, Any]) -> bool:
        """Whether one trial keeps the GPU busy: then it trains alone, in the trainer, in bf16 and compiled if it pays.

        By the operations of a step, which depend on the config alone: what trains a trial, and with which random
        numbers, must not depend on how many others happen to wait.
        """
        if not self.device.startswith("cuda"):
            return False
        from automl.training import hyperparameters
        from automl.training.throughput import operations

        key = signature.signature(config)
        if key not in self._fills:
            data = self.data.of(config)
            batch = min(hyperparameters.read(config).batch_size, len(data.train))
            each = operations(self.build, config, data.inputs, data.outputs)
            self._fills[key] = each is not None and each * batch >= FILLING
        return self._fills[key]

    def resident(self, config: Mapping[str, Any]) -> "Prepared":
        """The data as `config` wants them prepared, on the device: once, for all trials and whatever trains them.

        Raises:
            EnvironmentProblem: they do not fit into the memory of the GPU.
        """
        prepared = self.data.of(config)
        if not self.device.startswith("cuda"):
            return prepared
        import torch

        from automl.training.gpu import require_room

        if (found := self._resident.pop(prepared.fingerprint, None)) is None:
            require_room(torch.device(self.device), prepared.train, prepared.val)
            train, val = prepared.train.to(self.device), prepared.val.to(self.device)
            found = replace(prepared, train=train, val=val)
        self._resident[prepared.fingerprint] = found
        if len(self._resident) > KEPT:
            self._resident.pop(next(iter(self._resident)))
        return found

    def validation(self, config: Mapping[str, Any]) -> "Validation":
        """By which rows trials like `config` are measured: the same for all that have their data prepared alike."""
        prepared = self.resident(config)
        if (found := self._validation.pop(prepared.fingerprint, None)) is None or found.whole is not prepared.val:
            found = self.recipe.validation(prepared)
        self._validation[prepared.fingerprint] = found
        if len(self._validation) > KEPT:
            self._validation.pop(next(iter(self._validation)))
        return found

    def why_alone(self, config: Mapping[str, Any]) -> str:
        """See `fusing.why_alone`."""
        reason = fusing.why_alone(config, self.recipe.settings, grown=self.recipe.is_grown(config))
        if not reason and self.recipe.fuse != "require" and self.fills_gpu(config):
            return "trials run one at a time: a step of one of them keeps the GPU busy by itself"
        return reason

    def costs(self, config: Mapping[str, Any]) -> dict[str, float]:
        """What the model of a config costs, as far as the study asks for it."""
        names = [name for name in self.recipe.further if name in metrics.COSTS]
        if not names:
            return {}
        from automl.models.combined import bagged
        from automl.training.costs.measuring import measure

        data = self.data.of(config)
        saved = dict(config) if data.folds is None else {**config, bagged.FOLDS: data.folds.count}
        return measure(names, partial(bagged.build_saved, self.build), saved, data.inputs, data.outputs, self.device)

    def best_epoch(self) -> BestEpoch:
        """Keeps the weights of a trial that begins, and says when it is over."""
        return BestEpoch(self.recipe.metric, self.recipe.until or self.recipe.epochs, self.recipe.patience)

    def run(self, trial: "Trial") -> None:
        """Train one trial alone, in the trainer that knows every option; from its checkpoint, where it has one."""
        trial.known = trial.known or self.costs(trial.config)
        saved = trial.load()
        if saved is not None and "solo" not in saved:  # it was trained together with others: begins again
            if trial.inherited:
                raise TaskError("the state with which it begins is that of a trial which trained together with others")
            saved = None
        ranks = None if self.recipe.is_grown(trial.config) else self.ranks
        trainer, best = self._trainer(trial, saved["solo"] if saved else None, ranks), self.best_epoch()
        weights, state = _readers(trainer, ranks)
        if saved and not trial.inherited:
            best.load(saved["best"])
        saved_at, epochs, seconds = time.monotonic(), 0, 0.0
        try:
            for step in trial.steps(self.recipe.epochs):
                if best.is_over(step - 1) or trainer.finished:
                    break
                begun = time.perf_counter()
                measured = trainer.epoch() if ranks is None else ranks.epoch(cast("Trainer", trainer))
                epochs, seconds = epochs + 1, seconds + time.perf_counter() - begun
                best.update(step, measured, weights)
                if trainer.finished and best.metric.count == "last":
                    best.weights = weights()
                over = best.is_over(step) or trainer.finished
                trial.horizon = step if over else self.recipe.epochs
                try:
                    trial.report(step, measured)
                except TrialStopped:
                    if trial.model_wanted:
                        self.save_partial(trial, best, weights)
                    raise
                finally:  # a paused trial leaves from `report`, and goes on from here
                    if time.monotonic() - saved_at > self.recipe.checkpoint_s or trial.paused:
                        trial.save({"solo": state(), "best": best.state()})
                        saved_at = time.monotonic()
        finally:
            trial.details = self.rates(trial.config, epochs, seconds, trainer)
        self.save_if_wanted(trial, best)

    def rates(
        self, config: Mapping[str, Any], epochs: int, seconds: float, trainer: "TrialTrainer | None" = None
    ) -> dict[str, object]:
        """How fast a trial trained, see `automl.training.throughput`; `trainer`: the one that trained it alone."""
        import torch

        from automl.training import hyperparameters
        from automl.training.throughput import rates

        data = self.data.of(config) if trainer is None else trainer.prepared
        lanes = torch.bfloat16 if self.bf16 else torch.float32
        format = lanes if trainer is None else trainer.format
        tf32 = self.tf32 and format is torch.float32
        devices = 1 if self.ranks is None else len(self.ranks.devices)
        batch, rows = hyperparameters.read(config).batch_size, data.train.epoch_rows
        samples = epochs * self.recipe.unit_for(data).samples(rows, min(batch, rows))
        samples *= 1 if data.folds is None else data.folds.count
        return dict(rates(self.build, config, data.inputs, data.outputs, samples=samples,
                          seconds=seconds, device=self.device, format=format, devices=devices, tf32=tf32))  # fmt: skip

    def _trainer(self, trial: "Trial", state: dict[str, Any] | None, ranks: RankGroup | None) -> "TrialTrainer":
        """The trial's trainer; as it was when `state` was saved, where there is one. `ranks`: on further devices."""
        from automl.training import Settings, Trainer
        from automl.training.loop.folded import FoldedTrainer
        from automl.training.trees.trainer import TreeTrainer

        epochs = self.recipe.epochs
        if self.recipe.is_grown(trial.config):
            grower = TreeTrainer(self.data.of(trial.config), trial.config, epochs, trial.seed)
            grower.load(state or grower.state())
            return grower

        def make(rank: "Rank | None" = None) -> Trainer:
            return one(self.resident(trial.config), trial.seed, rank)

        def one(prepared: "Prepared", seed: int, rank: "Rank | None" = None) -> Trainer:
            settings = Settings(**self.recipe.settings)
            whole = None if self.data.default.folds is not None else self.validation(trial.config)
            return Trainer(self.build, prepared, trial.config, epochs, seed, trial.device, settings, rank=rank,
                           unit=self.recipe.unit_for(prepared), validation=whole)  # fmt: skip

        if self.data.default.folds is not None:
            folded = FoldedTrainer(self.resident(trial.config), one, trial.seed)
            if state is not None:
                folded.load(state)
            return folded
        if ranks is not None:
            return ranks.begin(make, trial.config, epochs, trial.seed, state)
        trainer = make()
        if state is not None:
            trainer.load(state)
        return trainer

    def save_if_wanted(self, trial: "Trial", best: BestEpoch) -> None:
        """Save the model of a trial that has run its full length, if it may be wanted."""
        if trial.model_wanted or self.recipe.keep == "all":
            self.save(trial, best)

    def save_partial(self, trial: "Trial", best: BestEpoch, weights: "Callable[[], dict[str, Any]]") -> None:
        """Save the model of a trial that leaves before its full length; `weights()` returns the current weights."""
        if best.metric.count == "last":
            best.weights = weights()
        self.save(trial, best)

    def save(self, trial: "Trial", best: BestEpoch) -> None:
        """Save the trial's model in its folder."""
        if trial.folder is None:
            return
        from automl.bundle import io, outputs, restore
        from automl.models import adjusting
        from automl.models.combined import bagged

        prepared, config = self.data.of(trial.config), dict(trial.config)
        weights, units = best.weights, (prepared.inputs, prepared.outputs)
        if prepared.folds is not None:
            config[bagged.FOLDS] = prepared.folds.count
        if self.recipe.adjust != "none":
            module = restore.restore(self.build, config, *units, weights)
            logits, name = outputs.of_validation(module, prepared, self.device), self.recipe.metric.name
            y, share, way = prepared.val.y, prepared.val.weight, self.recipe.adjust
            weights |= adjusting.fit(way, name.removeprefix("val_"), logits, y, share, prepared.kind)
        if self.recipe.outputs and prepared.kind != "next_token":
            module = restore.restore(self.build, config, *units, weights)
            outputs.store(trial.folder / paths.OUTPUTS, outputs.of_validation(module, prepared, self.device))
        io.save(
            trial.folder / paths.BUNDLE,
            model=self.recipe.family(trial.config),
            config=config,
            prepared=prepared,
            state_dict=weights,
            metrics=best.metrics,
            spec=self.recipe.spec,
            build=self.build,
        )


def _readers(
    trainer: "TrialTrainer", ranks: RankGroup | None
) -> tuple[Callable[[], dict[str, Any]], Callable[[], dict[str, Any]]]:
    """Functions that give the trainer's weights and its state, gathered from all ranks."""
    if ranks is None:
        return trainer.weights, trainer.state
    network = cast("Trainer", trainer)
    return partial(ranks.weights, network), partial(ranks.state, network)
