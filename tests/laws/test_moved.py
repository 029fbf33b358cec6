"""Names that plugin authors imported from version 0.1 are found at their old places, with a warning."""

import importlib
import subprocess
import sys
import warnings

import pytest

from automl import moved

OLD = {
    "automl.api": "search resume",
    "automl.bundle": "load Model save verify",
    "automl.checkpoint": "Checkpoint save load clear",
    "automl.driver": "Driver",
    "automl.ensemble": "Ensemble",
    "automl.executors": "Executor Handle",
    "automl.finalists": "run candidates Plan",
    "automl.formats": "to_onnx to_pt2",
    "automl.holdout": "Holdout",
    "automl.honest": "Interval interval bootstrap wilson mean_interval better",
    "automl.hyperparameters": "Hyperparameters read",
    "automl.leaderboard": "Row Leaderboard frame saved_share",
    "automl.ledger": "Ledger",
    "automl.lock": "DriverLock",
    "automl.loggers": "Logger Logged finalist_values",
    "automl.loggers.mlflow_runs": "Mlflow",
    "automl.loggers.tensorboard_events": "TensorBoard",
    "automl.loggers.wandb_runs": "Wandb",
    "automl.messages": "Assign Assignment Broken Ended Event Lost Measured Order Outcome Ready Reported Verdicts",
    "automl.parameters": "Float Int Choice Parameter Config Value",
    "automl.plugins": "make load names target",
    "automl.provenance": "digest",
    "automl.reading": "Readable StudyView",
    "automl.repair": "repair",
    "automl.samples": "Sample",
    "automl.scores": "compute auroc",
    "automl.screen": "Screen Blank Held",
    "automl.seeds": "derive",
    "automl.signals": "Interrupted Stopping",
    "automl.space": "Space Float Int Choice Parameter Config Value",
    "automl.spec": "read parse from_json schema",
    "automl.stopping": "Kind Verdict CONTINUE Stopper",
    "automl.strategy": "Strategy Note Prepare",
    "automl.study": "Study",
    "automl.tasks": "Session Task OneByOne",
    "automl.tasks.described": "DescribedTask DescribedSession mixes unfusable",
    "automl.testing.chaos": "board",
    "automl.tilting": "interval",
    "automl.trial": "State Metric Plan Failure TrialRecord History Counts",
    "automl.watch": "Patience",
    "automl.winner": "POOL_BYTES",
    "automl.worker": "Trial TrialStopped TrialPaused Worker Place Link Recorder run_trial",
}


@pytest.mark.parametrize("module", OLD)
def test_old_names_are_found_and_say_where_they_are_now(module: str) -> None:
    place = importlib.import_module(module)
    for name in OLD[module].split():
        with pytest.warns(DeprecationWarning, match=rf"{module}\.{name} has moved to automl\.") as caught:
            found = getattr(place, name)
        new, _, attribute = str(caught[0].message).split()[4].removesuffix(";").rpartition(".")
        assert getattr(importlib.import_module(new), attribute) is found


def test_the_table_names_modules_that_exist() -> None:
    homes = {home for homes in moved.MODULES.values() for home in homes.split()}
    homes |= {home for names in moved.NAMES.values() for home in names}
    for home in homes:
        importlib.import_module(home)


def test_a_name_that_never_was_is_an_error() -> None:
    with pytest.raises(ImportError, match="cannot import name 'Nonsense'"):
        exec("from automl.trial import Nonsense")
    with pytest.raises(ImportError, match="cannot import name 'Nonsense'"):
        exec("from automl.worker import Nonsense")
    with pytest.raises(ModuleNotFoundError, match=r"automl\.nonsense"):
        exec("import automl.nonsense")


def test_the_warning_is_of_the_line_that_uses_the_name() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        from automl.trial import State  # type: ignore[import-not-found]  # noqa: F401
    assert [warning.filename for warning in caught] == [__file__]


def test_public_names_stay_without_a_warning() -> None:
    import automl.callbacks
    from automl import callbacks
    from automl.callbacks import lightning, transformers

    assert callbacks is automl.callbacks
    assert (callbacks.lightning, callbacks.transformers) == (lightning, transformers)
    assert all(hasattr(automl, name) for name in automl.__all__)


def test_old_names_cost_nothing_at_import() -> None:
    code = "import sys, automl; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {name for name in loaded if name.startswith("automl")} == {"automl", "automl.moved", "automl.version"}
