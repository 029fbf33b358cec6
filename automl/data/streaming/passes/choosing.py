"""Decides which rows of a table are used, and their targets, parts and weights.

A table with up to `Sizes.known` rows is split as one in memory is. Of a larger one the parts are drawn row by row, see
`automl.data.streaming.passes.beyond`.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from automl.data.reading.raw import Raw
from automl.data.rows import Selection, select
from automl.data.streaming.passes import beyond
from automl.data.streaming.passes.chosen import Chosen, kept_frames
from automl.data.streaming.passes.scan import Scan


def choose(scan: Scan, folder: Path, rows: int) -> Chosen:
    """Decide on all rows of a table that was scanned into `folder`.

    Raises:
        DataError: the target cannot be learned, or the rows cannot be split or weighted as asked for.
    """
    if rows > scan.request.sizes.known:
        return beyond.choose(scan, folder, rows)
    frame = pd.concat(list(kept_frames(scan, folder)), ignore_index=True)
    attributes = next(kept_frames(scan, folder)).attrs
    frame.attrs = attributes
    target, *others = scan.kept
    extra = {name: frame[name].to_numpy() for name in others}
    raw = Raw(np.arange(rows), frame[target], target, "table", extra=extra, notes=[])
    return _written(select(raw, scan.request.rules, scan.request.options, scan.request.seed), folder, rows)


def _written(selection: Selection, folder: Path, rows: int) -> Chosen:
    """A selection of a table in memory, put into files."""
    used, target = selection.raw.x, selection.target
    columns = selection.y.shape[1:] if target.kind == "regression" else ()
    part = np.full(rows, -1, dtype=np.int8)
    part[used] = selection.parts
    y = np.zeros((rows, *columns), dtype=np.float32 if columns else np.int64)
    y[used] = selection.model_y
    part.tofile(folder / "part")
    y.tofile(folder / "y")
    if selection.weight is not None:
        weight = np.zeros(rows, dtype=np.float32)
        weight[used] = selection.weight.numpy()
        weight.tofile(folder / "weight")
    return Chosen(
        folder, rows, target.kind, target.classes, selection.target_entry, selection.outputs.to_json(),
        selection.weight is not None, int((~target.keep).sum()), selection.raw.notes,
    )  # fmt: skip
