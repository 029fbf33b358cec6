"""Which rows of a table are used, and their targets, parts and weights, in files: nothing of them stays in memory.
They are decided by `automl.data.streaming.passes.choosing`.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl.data import targets
from automl.data.shapes import Outputs
from automl.data.streaming.passes.scan import Scan

AT_ONCE = 2**18
"""Rows of the files that are handled at once."""


@dataclass
class Chosen:
    """What was decided about targets and parts of all rows; N: rows of the table.

    Attributes:
        folder: of the files `part` ([N] int8: 0 train, 1 val, 2 test, -1 not used), `y` ([N] int64 codes or [N, D]
            float32 in standard units) and perhaps `weight` ([N] float32, mean 1 over the training rows).
        rows: N.
        kind: of the task.
        classes: the label of each code.
        entry: what `preparation["target"]` holds.
        outputs: as JSON.
        weighted: whether rows have weights.
        left_out: rows without a target.
        notes: a line for each decision.
    """

    folder: Path
    rows: int
    kind: str
    classes: list[Any]
    entry: dict[str, Any]
    outputs: dict[str, Any]
    weighted: bool
    left_out: int
    notes: list[str] = field(default_factory=list)

    @property
    def columns(self) -> int:
        """D, the number of values of a target; 0: it is a code."""
        return 0 if self.kind == "classification" else int(self.outputs["units"])

    @property
    def part(self) -> NDArray[np.int8]:
        """[N], mapped."""
        return mapped(self.folder / "part", np.int8, (self.rows,))

    @property
    def y(self) -> NDArray[Any]:
        """[N] or [N, D], mapped."""
        shape = (self.rows, self.columns) if self.columns else (self.rows,)
        return mapped(self.folder / "y", np.float32 if self.columns else np.int64, shape)

    @property
    def weight(self) -> NDArray[np.float32] | None:
        """[N], mapped."""
        return mapped(self.folder / "weight", np.float32, (self.rows,)) if self.weighted else None

    def counts(self) -> list[list[int]]:
        """[3][classes] how many rows of each class each part has; empty where the target is a value."""
        if self.columns:
            return []
        found = np.zeros((3, len(self.classes)), dtype=np.int64)
        for first in range(0, self.rows, AT_ONCE):
            part, y = (values[first : first + AT_ONCE] for values in (self.part, self.y))
            for code in range(3):
                found[code] += np.bincount(y[part == code], minlength=len(self.classes))
        return [[int(n) for n in row] for row in found]

    def to_json(self) -> dict[str, Any]:
        """As JSON-able values, without the folder."""
        return {**asdict(self), "folder": ""}

    @classmethod
    def from_json(cls, data: dict[str, Any], folder: Path) -> "Chosen":
        """What `to_json` made, its files in `folder`."""
        return cls(**{**data, "folder": folder})


def mapped(path: Path, kind: Any, shape: tuple[int, ...], mode: Any = "r") -> NDArray[Any]:
    """An array in a file, which is made where `mode` is "w+"."""
    if 0 in shape:
        return np.empty(shape, kind)
    return np.memmap(path, kind, mode, shape=shape)


def kept_frames(scan: Scan, folder: Path) -> Iterator[pd.DataFrame]:
    """The kept columns of all rows, in order."""
    for k in range(len(scan.items)):
        yield from scan.kept_of(folder, k)


def units_of(target: targets.Target) -> Outputs:
    """What a model for this target returns."""
    return Outputs(len(target.classes), "classes") if target.kind == "classification" else Outputs(1, "values")
