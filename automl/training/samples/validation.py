"""By which rows a step is measured: all validation rows, or a fixed sample of them until the end."""

from dataclasses import dataclass

import torch

from automl.core import seeds
from automl.data.prepared import Part

USUAL_ROWS, MOST_BYTES = 100_000, 64 * 2**20
"""Rows of a sample where nothing else is asked for, and what its inputs may take in memory."""


@dataclass(frozen=True)
class Validation:
    """The validation rows of a trial.

    Attributes:
        whole: all of them.
        sample: some of them, for all steps but those that are measured on all; None: there is no sample.
        at_end: whether the last step of a full trial is measured on all.
    """

    whole: Part
    sample: Part | None = None
    at_end: bool = True

    def part(self, *, last: bool) -> Part:
        """What a step is measured on; `last`: it is the last one of a full trial."""
        return self.whole if self.sample is None or (last and self.at_end) else self.sample


def usual_rows(part: Part) -> int:
    """How many rows a sample of `part` has where nothing else is asked for."""
    each = part.x[:1].nbytes
    return max(1, min(USUAL_ROWS, MOST_BYTES // max(1, each)))


def sample(part: Part, rows: int, seed: int) -> Part | None:
    """The same `rows` rows of `part` for every trial of a study, in memory; None where there are no more than these.

    Drawn without replacement, in the order in which they lie in `part`.
    """
    if rows >= len(part):
        return None
    generator = torch.Generator().manual_seed(seeds.derive(seed, "validation"))
    if rows * 4 < len(part):  # numbers of all rows would take more memory than the sample
        chosen: set[int] = set()
        while len(chosen) < rows:
            chosen.update(torch.randint(len(part), (rows - len(chosen),), generator=generator).tolist())
        at = torch.tensor(sorted(chosen))
    else:
        at = torch.randperm(len(part), generator=generator)[:rows].sort().values
    return part.at(at.to(part.y.device))
