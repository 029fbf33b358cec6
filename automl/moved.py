"""Names of version 0.1 that have moved: for one release they are found at their old places, with a warning.

Old modules that are gone are found by an importer behind all others (`install`), old names of modules that are packages
now by the package's `__getattr__` (`names_of`). Neither costs anything where no old name is used.
"""

import importlib
import sys
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

MODULES = {  # a module that is gone: where its names are now
    "automl.checkpoint": "automl.study.checkpoint",
    "automl.data.options": "automl.data.preparing.options",
    "automl.data.prepare": "automl.data.preparing.tables automl.data.preparing.transform",
    "automl.data.raw": "automl.data.reading.raw",
    "automl.data.series": "automl.data.preparing.series",
    "automl.data.sources": "automl.data.reading.sources automl.data.reading.readers",
    "automl.data.text": "automl.data.preparing.text",
    "automl.ensemble": "automl.bundle.ensemble automl.bundle.outputs automl.evaluation.ensemble_selection",
    "automl.finalists": "automl.evaluation.finalists automl.evaluation.candidates",
    "automl.formats": "automl.bundle.export",
    "automl.holdout": "automl.evaluation.holdout",
    "automl.honest": "automl.metrics.intervals",
    "automl.hyperparameters": "automl.training.hyperparameters",
    "automl.ledger": "automl.study.ledger.ledger",
    "automl.lock": "automl.study.ledger.lock",
    "automl.loggers": "automl.integrations.loggers",
    "automl.loggers.mlflow_runs": "automl.integrations.mlflow_runs",
    "automl.loggers.tensorboard_events": "automl.integrations.tensorboard_events",
    "automl.loggers.wandb_runs": "automl.integrations.wandb_runs",
    "automl.messages": "automl.core.messages",
    "automl.parameters": "automl.core.parameters automl.core.notation",
    "automl.plugins": "automl.core.plugins",
    "automl.provenance": "automl.api.provenance",
    "automl.reading": "automl.study.reader",
    "automl.repair": "automl.study.ledger.repair",
    "automl.samples": "automl.metrics.rows",
    "automl.scores": "automl.metrics.scores",
    "automl.screen": "automl.driver.screen",
    "automl.seeds": "automl.core.seeds",
    "automl.signals": "automl.driver.signals",
    "automl.space": "automl.core.space automl.core.parameters automl.core.notation",
    "automl.spec": "automl.specfile",
    "automl.strategy": "automl.core.strategy",
    "automl.tasks.described": "automl.tasks.builtin automl.tasks.fusing automl.tasks.session",
    "automl.tilting": "automl.metrics.tilting",
    "automl.trial": "automl.core.trial automl.core.history",
    "automl.watch": "automl.driver.watchdog",
    "automl.winner": "automl.study.winner",
    **{f"automl.testing.{name}": f"automl.testing.stress.{name}" for name in ("chaos", "faults", "fuzz", "replay")},
}
NAMES = {  # of packages that were modules: where their names are now
    "automl.api": {"automl.api.doors": "search resume"},
    "automl.bundle": {
        "automl.bundle.loading": "load",
        "automl.bundle.model": "Model",
        "automl.bundle.io": "save schema",
        "automl.bundle.files": "verify sha256",
    },
    "automl.driver": {"automl.driver.driver": "Driver"},
    "automl.executors": {"automl.driver.executor": "Executor Handle"},
    "automl.leaderboard": {
        "automl.leaderboard.board": "Leaderboard frame",
        "automl.leaderboard.rows": "Row row full_length saved_share",
    },
    "automl.stopping": {"automl.core.stopper": "CONTINUE Kind Stopper Verdict"},
    "automl.study": {"automl.study.study": "Study"},
    "automl.tasks": {"automl.worker.worker": "Session Task OneByOne"},
    "automl.worker": {
        "automl.worker.worker": "Capture Worker no_capture run_trial",
        "automl.worker.link": "Link Place Recorder exchange",
        "automl.worker.trial": "Trial TrialPaused TrialStopped plain",
        "automl.worker.failures": "failure_of in_words kind_of sendable",
    },
}
RENAMED = {  # old name: new name, where that has changed too
    "automl.finalists.Again": "Repeat",
    "automl.finalists.Plan": "FinalistOptions",
    "automl.loggers.Logged": "LoggingScreen",
    "automl.screen.Blank": "NullScreen",
    "automl.screen.Held": "DeferredScreen",
    "automl.strategy.Note": "Strategy",
    "automl.strategy.Prepare": "Strategy",
    "automl.tasks.OneByOne": "Session",
    "automl.tasks.described.DescribedSession": "TrainingSession",
    "automl.tasks.described.DescribedTask": "BuiltinTask",
    "automl.tasks.described.unfusable": "why_alone",
    "automl.watch.Patience": "Watchdog",
}


def names_of(package: str) -> "Callable[[str], Any]":
    """The `__getattr__` of a package that was a module."""
    homes = {name: home for home, names in NAMES[package].items() for name in names.split()}

    def attribute(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return _found(package, name, [homes[name]])

    return attribute


def install() -> None:
    """Have old modules found from now on."""
    if _Finder not in sys.meta_path:
        sys.meta_path.append(_Finder)


class _Finder:
    """Finds and loads modules that look their names up where they are now."""

    @classmethod
    def find_spec(cls, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name not in MODULES:
            return None
        package = any(other.startswith(f"{name}.") for other in MODULES)
        return ModuleSpec(name, cls, is_package=package)  # type: ignore[arg-type]

    @staticmethod
    def create_module(spec: ModuleSpec) -> "ModuleType | None":
        return None

    @staticmethod
    def exec_module(module: "ModuleType") -> None:
        old, homes = module.__name__, MODULES[module.__name__].split()

        def attribute(name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(f"module {old!r} has no attribute {name!r}")
            return _found(old, name, homes)

        module.__getattr__ = attribute  # type: ignore[method-assign]


def _found(old: str, name: str, homes: "Sequence[str]") -> Any:
    """The object that was `old.name`; whoever uses that name is warned."""
    import warnings

    new, public = RENAMED.get(f"{old}.{name}", name), sys.modules["automl"]
    for home in homes:
        module = importlib.import_module(home)
        if hasattr(module, new):
            place = "automl" if public._HOMES.get(new) == home else home
            message = f"{old}.{name} has moved to {place}.{new}; the old name goes with the next release"
            warnings.warn(message, DeprecationWarning, stacklevel=3)
            return getattr(module, new)
    raise AttributeError(f"module {old!r} has no attribute {name!r}")
