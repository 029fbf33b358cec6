"""What is known of a study's compression so far, kept in its ledger: a run that was killed goes on from there.

The fact `compression`:

of           what the measurements depend on: the model, its metric, epochs
sensitivity  {way: {group: {level: [loss, parameters]}}}, see `automl.compression.ways.cuts`
variants     {name: what was measured, with the digest of its bundle's manifest}; the bundles are in `variants/NAME`
tests        {name: scores on the test set}
chosen       the name of the chosen variant, or None; `asked`: by what it was chosen
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from automl.bundle import files
from automl.compression.measuring import Variant
from automl.compression.ways.cuts import Sensitivity
from automl.core import files as plain
from automl.study import paths
from automl.study.study import Study

FACT = "compression"
"""Its name in the ledger."""
SCHEMA = 1
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class CompressionRecord:
    """The results of a study's compression, in its ledger and its folder.

    Args:
        study: open.
        of: what the measurements depend on; where it has changed, what was known before is dropped.
    """

    def __init__(self, study: Study, of: Mapping[str, Any]) -> None:
        assert study.path is not None
        self._study, self.folder = study, paths.compressed(study.path)
        known: dict[str, Any] = study.ledger.facts().get(FACT) or {}
        same = bool(known) and known["schema"] == SCHEMA and known["of"] == dict(of)
        same = same and all(map(_NAME.fullmatch, known["variants"]))  # a stranger's ledger may name other folders
        self.fact: dict[str, Any] = known if same else {
            "schema": SCHEMA, "of": dict(of), "sensitivity": {}, "variants": {}, "tests": {},
        }  # fmt: skip
        if not same:
            plain.delete(self.folder)

    def _write(self) -> None:
        self._study.ledger.describe(**{FACT: self.fact})

    def bundle(self, name: str) -> Path:
        """Where the bundle of the variant `name` is, or is going to be."""
        return self.folder / "variants" / name

    def scored(self, name: str) -> Path:
        """What is scored on the validation rows in the place of a variant that has learned from them; else itself."""
        siblings = self.siblings(name)
        return siblings if (siblings / files.MANIFEST).is_file() else self.bundle(name)

    def siblings(self, name: str) -> Path:
        """Where the models of folds are, or are going to be, that are scored in the place of a variant."""
        return self.folder / "siblings" / name

    def variant(self, name: str) -> Variant | None:
        """The variant `name`, where it was measured and its bundle is still there."""
        entry = self.fact["variants"].get(name)
        if entry is None:
            return None
        manifest = self.bundle(name) / files.MANIFEST
        if entry["digest"] and not (manifest.is_file() and files.sha256(manifest) == entry["digest"]):
            return None
        return Variant(**{key: value for key, value in entry.items() if key != "digest"})

    def add(self, variant: Variant) -> None:
        """Write down what was measured; the bundle is there already."""
        manifest = self.bundle(variant.name) / files.MANIFEST
        digest = files.sha256(manifest) if variant.way and not variant.failed else ""
        self.fact["variants"][variant.name] = {**variant.to_json(), "digest": digest}
        self._write()

    def forget(self, name: str) -> None:
        """Delete the results of a variant, if there are any."""
        self.fact["variants"].pop(name, None)

    @property
    def variants(self) -> list[Variant]:
        """All that are known, in the order in which they were made."""
        found = (self.variant(name) for name in self.fact["variants"])
        return [variant for variant in found if variant is not None]

    def sensitivity(self, way: str) -> dict[str, dict[float, Sensitivity]] | None:
        """What cutting single groups does, where that was measured."""
        known = self.fact["sensitivity"].get(way)
        if known is None:
            return None
        return {
            group: {float(level): Sensitivity(loss, int(saved)) for level, (loss, saved) in levels.items()}
            for group, levels in known.items()
        }

    def add_sensitivity(self, way: str, found: Mapping[str, Mapping[float, Sensitivity]]) -> None:
        """Write down what cutting single groups does."""
        self.fact["sensitivity"][way] = {
            group: {str(level): [one.loss, one.parameters] for level, one in levels.items()}
            for group, levels in found.items()
        }
        self._write()

    def test(self, name: str) -> dict[str, Any] | None:
        """The scores of a variant on the test set; None where it was not evaluated there."""
        found: dict[str, Any] | None = self.fact["tests"].get(name)
        return found

    def add_test(self, name: str, found: Mapping[str, Any]) -> None:
        """Write down the scores of a variant on the test set."""
        self.fact["tests"][name] = dict(found)
        self._write()

    def choose(self, name: str | None, asked: Mapping[str, Any]) -> None:
        """Write down which variant was chosen, and by what."""
        self.fact |= {"chosen": name, "asked": dict(asked)}
        self._write()
