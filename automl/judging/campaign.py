"""Campaigns: judgements that belong together are counted, for the correction for multiple comparisons.

    studies/judgements/CAMPAIGN/0001/judgement.json     one judgement, with the ledgers of its runs beside it

Whoever tries many candidates finds one that is "better" by chance: after k judgements of equal sides at level 0.05 with
probability 1 - 0.95 ** k (the family-wise error level, Sidak 1967; for judgements that depend on one another at most
k * 0.05, Bonferroni).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.core import files
from automl.errors import EnvironmentProblem, SpecError

FOLDER = "judgements"
FILE = "judgement.json"


@dataclass(frozen=True)
class Campaign:
    """Judgements under one name, in a folder of their own.

    Raises:
        SpecError: the name is none.
    """

    dir: Path
    name: str = "default"

    def __post_init__(self) -> None:
        if why := files.why_no_name(self.name):
            raise SpecError(f"campaign: {self.name[:50]!r} {why}")

    @property
    def folder(self) -> Path:
        """Where its judgements are."""
        return self.dir / FOLDER / self.name

    def begin(self) -> tuple[int, Path]:
        """The number of a new judgement, from 1, and its folder; two that begin at once get two.

        Raises:
            EnvironmentProblem: the folder cannot be made.
        """
        number = 1 + max((int(p.name) for p in self.folder.glob("[0-9]*") if p.name.isdecimal()), default=0)
        while True:
            path = self.folder / f"{number:04d}"
            try:
                path.mkdir(parents=True)
                return number, path
            except FileExistsError:
                number += 1
            except OSError as error:
                raise EnvironmentProblem(f"{path}: cannot be made: {error.strerror}") from error

    def looks(self) -> list[dict[str, Any]]:
        """All judgements that have ended, in their order."""
        found = []
        for path in sorted(self.folder.glob(f"[0-9]*/{FILE}")):
            try:
                read = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
            found += [read] if isinstance(read, dict) else []
        return found

    def standing(self, level: float, p: float | None) -> dict[str, Any]:
        """How sure an answer is among all answers of the campaign; the present one is not among its files yet.

        Args:
            level: of one judgement.
            p: of the present judgement.
        """
        before = self.looks()
        looks = len(before) + 1
        return {
            "name": self.name,
            "looks": looks,
            "better": sum(one.get("better") is True for one in before),
            "family_wise_level": 1 - (1 - level) ** looks,
            "adjusted_p": None if p is None else min(1.0, p * looks),
        }


def keep(folder: Path, document: dict[str, Any]) -> None:
    """Write a judgement down, which makes it count."""
    files.write(folder / FILE, (json.dumps(document, indent=1) + "\n").encode())
