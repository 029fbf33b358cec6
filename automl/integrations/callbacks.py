"""Callbacks that report to a trial from the training loops of Lightning and Hugging Face's Trainer.

    from automl import callbacks

    def train(trial):
        trainer = lightning.Trainer(max_epochs=20, callbacks=[callbacks.lightning(trial)])
        trainer.fit(Model(**trial.config), data)

Each reports what the loop has measured on its validation data, once an epoch, and ends the training when the trial is
stopped: `TrialStopped` passes through the loop, which cleans up. Step n is the n-th validation after training began.
Nothing is imported until a callback is made.
"""

from typing import TYPE_CHECKING, Any

from automl.errors import EnvironmentProblem
from automl.worker.trial import plain

if TYPE_CHECKING:
    from automl.worker.trial import Trial


def lightning(trial: "Trial") -> Any:
    """A callback for `lightning.Trainer` (also `pytorch_lightning`): reports all logged scalars after each validation.

        trainer = lightning.Trainer(max_epochs=20, callbacks=[callbacks.lightning(trial)])

    Raises:
        EnvironmentProblem: neither package is installed.
    """
    base = _lightning_base()

    class Report(base):  # type: ignore[misc, valid-type]
        """Reports `trainer.callback_metrics` after each validation, except after the sanity check before training."""

        def on_fit_start(self, trainer: Any, module: Any) -> None:
            trial.horizon = trainer.max_epochs if trainer.check_val_every_n_epoch == 1 else None

        def on_validation_end(self, trainer: Any, module: Any) -> None:
            if trainer.state.fn == "fit" and not trainer.sanity_checking:
                trial.report(_numbers(dict(trainer.callback_metrics)))

    return Report()


def transformers(trial: "Trial") -> Any:
    """A callback for `transformers.Trainer`: reports after each evaluation, under its names (`eval_loss`).

        trainer = transformers.Trainer(..., callbacks=[callbacks.transformers(trial)])

    Raises:
        EnvironmentProblem: transformers is not installed.
    """
    try:
        from transformers import TrainerCallback
    except ImportError as error:
        raise EnvironmentProblem("transformers is not installed: pip install transformers") from error

    class Report(TrainerCallback):  # type: ignore[misc]
        """Reports the numbers of the evaluation."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            trial.horizon = int(args.num_train_epochs) if str(args.eval_strategy.value) == "epoch" else None

        def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:
            trial.report(_numbers(metrics or {}))

    return Report()


def _numbers(metrics: dict[str, Any]) -> dict[str, object]:
    """The scalars among the metrics, as Python numbers."""
    values = {name: plain(value) for name, value in metrics.items()}
    return {name: value for name, value in values.items() if isinstance(value, int | float) and name != "step"}


def _lightning_base() -> Any:
    """The class `Callback` of the installed Lightning."""
    for package in ("lightning.pytorch", "pytorch_lightning"):
        try:
            return __import__(f"{package}.callbacks", fromlist=["Callback"]).Callback
        except ImportError:
            continue
    raise EnvironmentProblem("Lightning is not installed: pip install lightning")
