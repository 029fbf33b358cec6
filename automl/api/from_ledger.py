"""A study that goes on: from what its ledger keeps, and from what its spec's file says now."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from automl.api import from_spec, provenance
from automl.api import trust as trusted
from automl.api.prepared import Search
from automl.core.files import as_name
from automl.driver.screen import Screen
from automl.errors import SpecError
from automl.study import paths
from automl.study.ledger import kinds
from automl.study.ledger.ledger import Ledger
from automl.study.ledger.schema import REPAIR


def prepare(
    path: Path,
    screen: Screen | None,
    *,
    trials: int | str | None,
    workers: int,
    accept_changes: bool,
    trust: bool = False,
) -> Search:
    """The search of the study in `path`, ready to go on; see `automl.resume`.

    Raises:
        SpecError: it was begun with a Python function, spec or data were changed, or it runs code of another machine.
        LedgerError: there is no study, or it is damaged.
    """
    from automl import specfile

    with closing(Ledger.read_only(path)) as ledger:
        facts, begun = ledger.facts(), len(ledger)
    kinds.require(facts, REPAIR)
    kept = facts.get("spec")
    if not kept:
        again = f"automl.search(..., path={str(path)!r})"
        raise SpecError(f"{path} was started from a Python function: run that program again, with {again}")
    folder, file = paths.project(path, kept)
    tree, notes = provenance.edited(kept, file, accept_changes)
    tree["study"] = as_name(tree.get("study", path.name))  # older ones may have a path
    if trials is not None:
        budget = tree.get("budget")
        tree["budget"] = {**(budget if isinstance(budget, dict) else {}), "trials": _budget(trials, facts, begun)}
    if workers:
        tree["workers"] = workers
    read = specfile.from_json(tree, name=as_name(facts["name"]), folder=folder)
    read = replace(read, text=kept["text"], path=file)
    if not trust:
        trusted.check(path, facts, read)
    digests = {"code": facts.get("code", {}), "data": facts.get("data", {})}
    earlier = from_spec.Earlier(digests, notes, accept_changes, facts.get(trusted.FACT))
    return from_spec.prepare(read, path, screen, deterministic=facts.get("deterministic", False), earlier=earlier)


def _budget(trials: int | str, facts: Mapping[str, Any], begun: int) -> int:
    """`trials`: a new budget, or "+40": 40 more than the old one (or, without one, than have begun)."""
    if isinstance(trials, str) and trials.startswith("+"):
        return (facts["plan"]["trials"] or begun) + int(trials)
    return int(trials)
