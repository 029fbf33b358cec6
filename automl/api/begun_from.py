"""Searches whose trials begin with the weights of an earlier model: these are copied, and what they know is checked."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.errors import LedgerError, SpecError
from automl.study import paths
from automl.study.ledger.ledger import Ledger
from automl.tasks.builtin import BuiltinTask
from automl.worker.worker import Task

if TYPE_CHECKING:
    from automl.specfile import Spec
    from automl.tasks.warm.weights import Weights

FACT = "weights"
"""The entry of the ledger that says whose weights they are."""


@dataclass(frozen=True)
class Begun:
    """A task, the facts for the ledger, and what the user is told."""

    task: Task
    facts: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def begun_from(read: "Spec", task: Task, folder: Path) -> Begun:
    """The task of a specification, with the copy of the weights in the study's folder where trials begin with some.

    Raises:
        SpecError: there are no such weights, they know rows that are held out, or the study was begun with others.
    """
    wanted = task.weights if isinstance(task, BuiltinTask) else None
    recorded, trials = _recorded(folder)
    if recorded is None and wanted is None:
        return Begun(task, {})
    if recorded is None and trials:
        raise SpecError(f"warm.weights: the {trials} trials of this study began with random ones; begin another study")
    asked = None if wanted is None else (wanted.name, wanted.trial)
    if recorded is not None and asked != (recorded["from"], recorded["trial"]):
        raise SpecError(
            f"warm.weights: the trials of this study begin with those of {recorded['from']}, and that cannot change; "
            "begin another study"
        )
    assert wanted is not None
    assert isinstance(task, BuiltinTask)
    if recorded is not None:
        kept = replace(wanted, place=folder / paths.WARM, trial=None)
        if kept.digest != recorded["sha256"]:
            raise SpecError(f"warm.weights: {folder / paths.WARM} is not what was copied when the study was begun")
        return Begun(replace(task, weights=kept), {FACT: recorded})
    learned = _learned(wanted, read)
    kept = wanted.kept_in(folder)
    fact = {"from": wanted.name, "trial": wanted.trial, "sha256": kept.digest, "learned": learned}
    of = wanted.name if wanted.trial is None else f"{wanted.name}, trial {wanted.trial}"
    score = kept.described().get("metrics", {}).get(read.metric.name)
    there = "" if score is None else f" ({read.metric.name} {score:.4g} there)"
    note = f"warm: every trial begins with the weights of {of}{there}; {learned}"
    return Begun(replace(task, weights=kept), {FACT: fact}, (note,))


def _recorded(folder: Path) -> tuple[dict[str, Any] | None, int]:
    """What the ledger says of the weights of a study, and how many trials it has."""
    try:
        with closing(Ledger.read_only(folder)) as ledger:
            return ledger.facts().get(FACT), len(ledger)
    except LedgerError:  # none yet, or one that is refused when it is opened
        return None, 0


def _learned(weights: "Weights", read: "Spec") -> str:
    """What is known of the rows that an earlier model has learned from, as a sentence.

    Raises:
        SpecError: they are among those that this study compares or tests its models by.
    """
    from automl.tasks.warm import learned

    manifest = weights.described()
    spec = manifest.get("spec")
    study = next((place for place in (weights.place, weights.place.parent) if (place / paths.LEDGER).is_file()), None)
    unknown = "whether it has learned from rows that are held out here cannot be checked"
    if study is None or not isinstance(spec, dict) or "data" not in spec:
        return unknown
    with closing(Ledger.read_only(study)) as ledger:
        facts = ledger.facts()
    if not facts.get("spec"):
        return unknown
    before = learned.rows_of(spec, paths.project(study, facts["spec"])[0])
    now = learned.rows_of({**read.tree, "seed": read.seed}, read.folder)
    if before is None or now is None:
        return unknown
    refit = spec.get("refit", "none") != "none" or bool((spec.get("split") or {}).get("folds"))
    shares = learned.shares(before, now, refit=refit)
    for part, share in shares.items():
        if share > learned.MOST:
            raise SpecError(
                f"warm.weights: {weights.name} has learned from {100 * share:.0f} % of the {part} rows of this study, "
                "whose scores would be too good; give files of rows that it has not seen (split: {val: FILE, test: "
                "FILE}), split by time, or keep the seed and the data of that study"
            )
    if facts.get(FACT):
        return f"it had begun with the weights of {facts[FACT]['from']}, whose rows are not known here"
    return "it has learned from none of the rows that are held out here"
