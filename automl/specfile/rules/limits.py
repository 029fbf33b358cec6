"""Budgets and stoppers: whether a trial can finish, and entries that have no effect."""

from collections.abc import Mapping
from typing import Any

from automl.specfile.yaml.places import Places

_OURS = {
    "precision": "the computation", "compile": "the model", "oom": "the batches", "fuse": "how trials train together",
}  # fmt: skip
"""Entries for the built-in training -> what they decide there."""


def check(tree: Mapping[str, Any], places: Places) -> None:
    """Warn of a budget in which no trial can finish, and of entries without effect."""
    steps, budget, stopper = tree.get("steps"), tree.get("budget"), tree.get("stopper")
    length = steps.get("number") if isinstance(steps, dict) else tree.get("epochs")
    full = length if isinstance(length, int) and not isinstance(length, bool) else 0
    unit = "steps" if isinstance(steps, dict) else "epochs"
    for key in ("epochs", "steps"):
        limit = budget.get(key) if isinstance(budget, dict) else None
        if isinstance(limit, int) and 0 < limit < full:
            rule = f"no trial can finish: a full one takes {full} {unit}, and all together have {limit}"
            places.warn(("budget", key), f"{rule}; the best unfinished trial will be the winner; give {full} or more")
    least = stopper.get("min_steps") if isinstance(stopper, dict) else None
    if full and isinstance(least, int | float) and least > full:
        places.warn(("stopper", "min_steps"), f"no trial is stopped before step {least:g}, and a full one has {full}")
    for key, what in _OURS.items() if "model" not in tree else ():
        if tree.get(key) not in (None, "auto", "never", "fail"):
            owner = "train" if "train" in tree else "command"
            places.warn((key,), f"has no effect: with {owner}, your own program decides over {what}; remove it")
