"""automl: hyperparameter search for PyTorch.

    study = automl.search("space.yaml")
    study = automl.search(train, space={"lr": automl.Float(1e-4, 1, log=True)}, metric="val_loss", trials=50)
    study = automl.Study(space, metric="val_loss", trials=500)       # ask and tell inside your own program
    model = automl.load("studies/digits")                            # the winner, ready to predict
    model = automl.fit("customers.csv", "churned", time_s=120)       # a table is enough
    automl.judge("a.yaml", "b.yaml").better                          # on paired fresh seeds

Names are imported when first used: `import automl` loads neither torch nor anything else that is heavy.
"""

import importlib
from typing import TYPE_CHECKING, Any

from automl import moved
from automl.version import __version__ as __version__

if TYPE_CHECKING:
    from automl.api.compressing import compress as compress
    from automl.api.doors import resume as resume
    from automl.api.doors import search as search
    from automl.bundle.loading import load as load
    from automl.core.objectives.goals import Objectives as Objectives
    from automl.core.space import Choice as Choice
    from automl.core.space import Float as Float
    from automl.core.space import Int as Int
    from automl.core.space import Space as Space
    from automl.errors import AutoMLError as AutoMLError
    from automl.estimators.estimator import AutoMLClassifier as AutoMLClassifier
    from automl.estimators.estimator import AutoMLRegressor as AutoMLRegressor
    from automl.estimators.fitting import fit as fit
    from automl.integrations.define_by_run import TrialPruned as TrialPruned
    from automl.integrations.define_by_run import optimize as optimize
    from automl.judging.judge import judge as judge
    from automl.study.study import Study as Study
    from automl.updating.update import update as update
    from automl.worker.current import current_trial as current_trial
    from automl.worker.current import report as report
    from automl.worker.trial import Trial as Trial

_HOMES = {
    "AutoMLClassifier": "automl.estimators.estimator",
    "AutoMLError": "automl.errors",
    "AutoMLRegressor": "automl.estimators.estimator",
    "Choice": "automl.core.space",
    "Float": "automl.core.space",
    "Int": "automl.core.space",
    "Objectives": "automl.core.objectives.goals",
    "Space": "automl.core.space",
    "Study": "automl.study.study",
    "Trial": "automl.worker.trial",
    "TrialPruned": "automl.integrations.define_by_run",
    "compress": "automl.api.compressing",
    "current_trial": "automl.worker.current",
    "fit": "automl.estimators.fitting",
    "judge": "automl.judging.judge",
    "load": "automl.bundle.loading",
    "optimize": "automl.integrations.define_by_run",
    "report": "automl.worker.current",
    "resume": "automl.api.doors",
    "search": "automl.api.doors",
    "update": "automl.updating.update",
}
moved.install()
__all__ = [
    "AutoMLClassifier",
    "AutoMLError",
    "AutoMLRegressor",
    "Choice",
    "Float",
    "Int",
    "Objectives",
    "Space",
    "Study",
    "Trial",
    "TrialPruned",
    "compress",
    "current_trial",
    "fit",
    "judge",
    "load",
    "optimize",
    "report",
    "resume",
    "search",
    "update",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'automl' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
