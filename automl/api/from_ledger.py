"""A study that goes on: from what its ledger keeps, and from what its spec's file says now."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from automl.api import from_spec, provenance
from automl.api.prepared import Search
from automl.driver.screen import Screen
from automl.errors import SpecError
from automl.study.ledger import Ledger


def prepare(
    path: Path, screen: Screen | None, *, trials: int | str | None, workers: int, accept_changes: bool
) -> Search:
    """The search of the study in `path`, ready to go on; see `automl.resume`.

    Raises:
        SpecError: it was begun with a Python function, or spec or data were changed.
        LedgerError: there is no study, or it is damaged.
    """
    from automl import specfile

    with closing(Ledger.read_only(path)) as ledger:
        facts, begun = ledger.facts(), len(ledger)
    kept = facts.get("spec")
    if not kept:
        again = f"automl.search(..., path={str(path)!r})"
        raise SpecError(f"{path} was started from a Python function: run that program again, with {again}")
    tree, notes = provenance.edited(kept, accept_changes)
    if trials is not None:
        tree["budget"]["trials"] = _budget(trials, facts, begun)
    if workers:
        tree["workers"] = workers
    read = specfile.from_json(tree, name=facts["name"], folder=Path(kept["folder"]))
    read = replace(read, text=kept["text"], path=Path(kept["path"]) if kept.get("path") else None)
    digests = {"code": facts.get("code", {}), "data": facts.get("data", {})}
    earlier = from_spec.Earlier(digests, notes, accept_changes)
    return from_spec.prepare(read, path, screen, deterministic=facts.get("deterministic", False), earlier=earlier)


def _budget(trials: int | str, facts: Mapping[str, Any], begun: int) -> int:
    """`trials`: a new budget, or "+40": so many more than the old one (or, without one, than have begun)."""
    if isinstance(trials, str) and trials.startswith("+"):
        return (facts["plan"]["trials"] or begun) + int(trials)
    return int(trials)
