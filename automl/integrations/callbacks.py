"""Callbacks that report to a trial from inside other people's training loops: Lightning and Hugging Face's Trainer.

    from automl import callbacks

    def train(trial):
        trainer = lightning.Trainer(max_epochs=20, callbacks=[callbacks.lightning(trial)])
        trainer.fit(Model(**trial.config), data)

Each sends what the loop measured on its validation data, once an epoch, and ends the training when the trial is
stopped: `TrialStopped` leaves the loop by way of its own clean-up. Step n is the n-th validation after training began.
Nothing is imported until a callback is made.
"""

from typing import TYPE_CHECKING, Any

from automl.errors import EnvironmentProblem
from automl.worker.trial import plain

if TYPE_CHECKING:
    from automl.worker.trial import Trial


def lightning(trial: "Trial") -> Any:
    """A callback for `lightning.Trainer` (also `pytorch_lightning`): reports all logged scalars after each validation.

    Raises:
        EnvironmentProblem: neither package is installed.
    """
    base = _lightning_base()

    class Report(base):  # type: ignore[misc, valid-type]
        """Sends `trainer.callback_metrics` after each validation epoch; the sanity check before training is no step."""

        def on_fit_start(self, trainer: Any, module: Any) -> None:
            trial.horizon = trainer.max_epochs if trainer.check_val_every_n_epoch == 1 else None

        def on_validation_end(self, trainer: Any, module: Any) -> None:
            if trainer.state.fn == "fit" and not trainer.sanity_checking:
                trial.report(None, **_numbers(dict(trainer.callback_metrics)))

    return Report()


def transformers(trial: "Trial") -> Any:
    """A callback for `transformers.Trainer`: reports after each evaluation, names as there (`eval_loss`).

    Raises:
        EnvironmentProblem: transformers is not installed.
    """
    try:
        from transformers import TrainerCallback
    except ImportError as error:
        raise EnvironmentProblem("transformers is not installed: pip install transformers") from error

    class Report(TrainerCallback):  # type: ignore[misc]
        """Sends the evaluation's numbers, and the training loss logged last."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            trial.horizon = int(args.num_train_epochs) if str(args.eval_strategy.value) == "epoch" else None

        def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:
            trial.report(None, **_numbers(metrics or {}))

    return Report()


def _numbers(metrics: dict[str, Any]) -> dict[str, object]:
    """Scalars alone, as Python numbers."""
    told = {name: plain(value) for name, value in metrics.items()}
    return {name: value for name, value in told.items() if isinstance(value, int | float) and name != "step"}


def _lightning_base() -> Any:
    for package in ("lightning.pytorch", "pytorch_lightning"):
        try:
            return __import__(f"{package}.callbacks", fromlist=["Callback"]).Callback
        except ImportError:
            continue
    raise EnvironmentProblem("Lightning is not installed: pip install lightning")
