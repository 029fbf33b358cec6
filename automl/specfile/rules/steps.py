"""Steps that are no epochs: what they cannot be combined with, and when they hold less than a batch."""

from collections.abc import Mapping
from typing import Any

from automl import models
from automl.core.space import Choice, Float, Int, Space
from automl.specfile.entries.steps import Steps
from automl.specfile.rules import families
from automl.specfile.yaml.places import Places
from automl.training.hyperparameters import Hyperparameters


def check(tree: Mapping[str, Any], places: Places) -> None:
    """Complain about a second unit beside `steps`, and about models that have no such steps."""
    if not isinstance(tree.get("steps"), dict):
        return
    if "epochs" in tree:
        places.complain(("epochs",), "epochs and steps are two units of one length; leave out one of them", key=True)
    budget = tree.get("budget")
    if isinstance(budget, dict) and "epochs" in budget:
        places.complain(("budget", "epochs"), "trials of this search are measured in steps; write steps", key=True)
    if grown := [name for name in families.builtin_names(tree) if models.families()[name].grown]:
        places.complain(("steps",), f"{grown[0]} grow in rounds over all samples; give epochs", key=True)


def fits(tree: Mapping[str, Any], space: Space, places: Places) -> None:
    """Warn of a step that is smaller than a batch; called only if no entry has an error."""
    if not isinstance(tree.get("steps"), dict):
        return
    size = Steps.model_validate(tree["steps"]).samples
    found = space.params.get("batch_size", space.constants.get("batch_size", Hyperparameters.batch_size))
    ends = found.choices if isinstance(found, Choice) else [found.high] if isinstance(found, Int | Float) else [found]
    largest = max((value for value in ends if isinstance(value, int | float)), default=0)
    if size is not None and size < largest:
        rule = f"a step of {size:,} samples is less than a batch of {largest:,}, which it has at least"
        places.warn(("steps", "samples"), f"{rule}; give more samples")


def named(steps: Mapping[str, int]) -> str:
    """`1,000,000 samples`, what one of these steps is; empty for epochs."""
    return next((f"{size:,} {name}" for name, size in steps.items() if name not in ("number", "val_rows")), "")
