"""The versions of a model: the one that answers, swapped in at once; rollback; what each was made from."""

import ctypes
import ctypes.util
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from automl.bundle import files as bundle_files
from automl.core import files
from automl.study import paths
from automl.updating.journal import Entry, Journal
from automl.updating.place import Place

AT_FDCWD, EXCHANGE = -100, 2
"""Constants of Linux's renameat2, which exchanges two folders at once."""
LINEAGE = "lineage"


def digest(bundle: Path) -> str:
    """By which a bundle is known: the hash of its manifest."""
    return bundle_files.sha256(bundle / bundle_files.MANIFEST)


def settle(place: Place, journal: Journal) -> None:
    """Begin with the first version, finish a swap that a kill interrupted, note a model that somebody put there.

    A new winner of the search is the next version, and answers.
    """
    there = (place.bundle / bundle_files.MANIFEST).is_file()
    found = digest(place.bundle) if there else None
    known = {entry["manifest"]: entry["version"] for entry in journal.versions}
    if found is not None and found not in known:
        _adopt(place, journal, found)
    elif journal.current is not None and known.get(found) != journal.current:
        swap(place, journal.current)


def _adopt(place: Place, journal: Journal, found: str) -> None:
    number = next_number(journal)
    target = place.version(number)
    files.empty(target)
    files.copy(place.bundle, target)
    manifest = bundle_files.read_json(place.bundle / bundle_files.MANIFEST)
    entry = {
        "version": number, "parent": None, "how": "search" if place.study else "given", "rows": None,
        "metrics": {k: v for k, v in manifest.get("metrics", {}).items() if isinstance(v, int | float)},
        "spec": manifest.get("spec_sha256"), "manifest": found,
    }  # fmt: skip
    journal.add_version(entry)
    journal.commit()


def next_number(journal: Journal) -> int:
    """The number of the next version."""
    return max((entry["version"] for entry in journal.versions), default=0) + 1


def describe(bundle: Path, champion: Path, lineage: Mapping[str, Any], metrics: Mapping[str, float]) -> str:
    """Write into a challenger's manifest and card what it was made from, and its scores; returns its digest.

    Args:
        bundle: of the challenger.
        champion: the bundle it was made from; of a study it says to which trial it belongs.
        lineage: version, parent, how, rows.
        metrics: on all rows that were held out.
    """
    manifest = bundle_files.read_json(bundle / bundle_files.MANIFEST)
    manifest["metrics"] = dict(metrics)
    manifest[LINEAGE] = dict(lineage)
    readme = bundle / "README.md"
    files.write(readme, (readme.read_text(encoding="utf-8") + _card(lineage, metrics)).encode())
    manifest["files"][readme.name] = bundle_files.sha256(readme)
    if (champion / paths.WINNER).is_file():
        winner = json.loads((champion / paths.WINNER).read_bytes())
        winner = {**winner, "version": lineage["version"], "pack": False}  # from now on this model answers, no pack
        files.write(bundle / paths.WINNER, json.dumps(winner, indent=1).encode())
    bundle_files.write_json(bundle / bundle_files.MANIFEST, manifest)
    return digest(bundle)


def _card(lineage: Mapping[str, Any], metrics: Mapping[str, float]) -> str:
    rows, parent = lineage["rows"], lineage["parent"]
    lines = [
        "", "## Where it comes from", "",
        f"- Version {lineage['version']}, made from version {parent['version']} by `{lineage['how']}`.",
        f"- New rows: {rows['file']} (sha256 begins with {rows['digest']}), {rows['learned']} learned from, "
        f"{rows['held']} held out.",
        *(f"- {name} {value:.6g} on rows that were held out." for name, value in metrics.items()), "",
    ]  # fmt: skip
    return "\n".join(lines)


def swap(place: Place, number: int) -> None:
    """Let a version answer: its copy takes the place of the bundle at once (Linux), or in two renames."""
    new = place.bundle.with_name(f".{place.bundle.name}.new")
    files.empty(new)
    files.copy(place.version(number), new)
    if place.bundle.is_dir() and not place.bundle.is_symlink() and _exchanged(new, place.bundle):
        files.delete(new)
        return
    old = place.bundle.with_name(f".{place.bundle.name}.old")
    files.delete(old)
    if place.bundle.exists() or place.bundle.is_symlink():
        os.rename(place.bundle, old)
    os.rename(new, place.bundle)
    files.delete(old)


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two folders of one file system at once; False where the system cannot."""
    try:
        call = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    return bool(call(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), EXCHANGE) == 0)


def roll_back(place: Place, journal: Journal, number: int) -> Entry:
    """Let an earlier (or later) version answer again; later updates begin with it.

    Raises:
        SpecError: there is none of that number.
    """
    entry = journal.version(number)
    if journal.current != number:
        journal.content["current"] = number
        journal.content.setdefault("rollbacks", []).append(number)
        journal.commit()
    settle(place, journal)
    return entry
