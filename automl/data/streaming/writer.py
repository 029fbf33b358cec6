"""Writes a table that does not fit into memory as a file of prepared rows, in three passes over it.

1. Read the target (and weights, groups, times) alone, and split the rows as for any table.
2. Draw a sample of training rows, and fit the preparation on it.
3. Prepare every row and write it to its part of the file, training rows to a random shard.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl.core import seeds
from automl.data.prepared import SAMPLE_ROWS, sample_rows
from automl.data.preparing import columns, dropping, tables
from automl.data.reading.raw import Raw, from_frame
from automl.data.reading.readers import Table
from automl.data.rows import Selection, columns_kept_out, select
from automl.errors import EnvironmentProblem

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Sizes:
    """How much of a table is handled at once, in bytes.

    Attributes:
        shard: prepared inputs of one shard; two shards and a batch are in memory while training.
        chunk: of the table, read at once.
        fit: training rows that the preparation is fitted on, at most.
    """

    shard: int = 2**22
    chunk: int = 2**22
    fit: int = 2**24


@dataclass(frozen=True)
class Request:
    """What `load` was asked for: the arguments of `automl.data.load` for a table in a file."""

    path: Path
    target: str | None
    rules: Mapping[str, Any]
    options: Mapping[str, Any]
    seed: int


@dataclass(frozen=True)
class _UsedRows:
    """The inputs of the used rows of a table, read chunk by chunk."""

    table: Table
    rows_at_once: int
    names: list[str]
    index: Rows  # [rows of the table]: number of each among the used rows, or -1

    def chunks(self) -> Iterator[tuple[Rows, pd.DataFrame]]:
        """(numbers of the rows among the used ones, their inputs)."""
        first = 0
        for chunk in self.table.chunks(self.rows_at_once):
            index = self.index[first : first + len(chunk)]
            first += len(chunk)
            used = index >= 0
            frame = columns.plain(chunk.set_axis([str(name) for name in chunk.columns], axis=1)[self.names])
            yield index[used], frame[used].reset_index(drop=True)


def write(request: Request, folder: Path, sizes: Sizes) -> None:
    """Prepare the table of `request` into `folder`: x.bin, y.npy, perhaps weight.npy, meta.json.

    Raises:
        DataError: the table cannot be read or learned from.
        EnvironmentProblem: the disk has no room.
    """
    table = Table(request.path, request.options)
    row_bytes = table.row_bytes()
    rows_at_once = max(100, int(sizes.chunk / row_bytes))
    raw, names, count = _read_targets(table, request, rows_at_once)
    selection = select(raw, request.rules, request.options, request.seed)
    index = np.full(count, -1, dtype=np.int64)
    index[raw.x] = np.arange(len(selection.y))
    used = _UsedRows(table, rows_at_once, names, index)
    sample, drawn = _draw_sample(used, selection, request.seed, max(1000, int(sizes.fit / row_bytes)))
    preparation = tables.fit(sample, selection.y[drawn], dict(request.options), raw.notes)
    preparation["target"] = selection.target_entry
    inputs, columns = tables.inputs_of(preparation)
    edges, positions, ends = _arrange(selection.parts, int(inputs), request.seed, sizes.shard)
    _check_disk(folder, len(positions) * int(inputs) * 4)
    fingerprint, shown = _write_inputs(folder / "x.bin", used, selection, preparation, positions, int(inputs))
    order = np.argsort(positions)
    np.save(folder / "y.npy", selection.model_y[order])
    if selection.weight is not None:
        np.save(folder / "weight.npy", selection.weight.numpy()[order])
    size_mib = (folder / "x.bin").stat().st_size / 2**20
    raw.notes.append(
        f"streamed from disk: {len(selection.y):,} rows, {size_mib:,.0f} MiB in {len(edges[0]) - 1} shards"
    )
    meta = {
        "inputs": inputs.to_json(), "outputs": selection.outputs.to_json(), "kind": selection.target.kind,
        "classes": selection.target.classes, "columns": columns, "preparation": preparation, "notes": raw.notes,
        "fingerprint": fingerprint, "edges": edges, "ends": ends, "sample": shown,
    }  # fmt: skip
    (folder / "meta.json").write_text(json.dumps(meta))


def _read_targets(table: Table, request: Request, rows_at_once: int) -> tuple[Raw, list[str], int]:
    """First pass: (the columns that are not inputs, with row numbers as x; names of the inputs; number of rows)."""
    kept_out = columns_kept_out(request.options, request.rules)
    head = from_frame(table.head(), request.target, kept_out, table.path.name)
    inputs = dropping.without(head.x, request.options, head.target, kept_out)
    wanted = [head.target, *kept_out]
    chunks = [chunk[wanted].copy() for chunk in table.chunks(rows_at_once, wanted)]
    frame = pd.concat(chunks, ignore_index=True)
    extra = {name: frame[name].to_numpy() for name in kept_out}
    raw = Raw(np.arange(len(frame)), frame[head.target], head.target, "table", extra=extra, notes=head.notes)
    return raw, [str(name) for name in inputs.columns], len(frame)


def _draw_sample(used: _UsedRows, selection: Selection, seed: int, most: int) -> tuple[pd.DataFrame, Rows]:
    """Second pass: (at most `most` training rows, their numbers among the used rows)."""
    train = np.flatnonzero(selection.parts == 0)
    drawn = np.zeros(len(selection.parts), dtype=bool)
    rng = np.random.default_rng(seeds.derive(seed, "fit"))
    drawn[train if len(train) <= most else rng.choice(train, most, replace=False)] = True
    if len(train) > most:
        selection.raw.notes.append(f"preparation fitted on {most:,} of {len(train):,} training rows, drawn at random")
    chunks = [(index[drawn[index]], frame[drawn[index]].copy()) for index, frame in used.chunks()]  # few blocks each
    rows = np.concatenate([index for index, _ in chunks])
    return pd.concat([frame for _, frame in chunks], ignore_index=True), rows


def _arrange(
    parts: NDArray[np.int8], width: int, seed: int, shard_bytes: int
) -> tuple[list[list[int]], Rows, list[int]]:
    """(edges of each part's shards, row of the file for each used row, where in the file each part ends)."""
    rng = np.random.default_rng(seeds.derive(seed, "shards"))
    positions = np.empty(len(parts), dtype=np.int64)
    edges, ends = [], [0]
    for part in range(3):
        rows = np.flatnonzero(parts == part)
        count = max(1, round(len(rows) * width * 4 / shard_bytes))
        shard = rng.integers(0, count, len(rows)) if part == 0 else np.arange(len(rows)) * count // max(len(rows), 1)
        positions[rows[np.argsort(shard, kind="stable")]] = ends[-1] + np.arange(len(rows))
        sizes = np.bincount(shard, minlength=count)
        edges.append([0, *np.cumsum(sizes[sizes > 0]).tolist()])
        ends.append(ends[-1] + len(rows))
    return edges, positions, ends


def _check_disk(folder: Path, needed_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < 1.05 * needed_bytes:
        raise EnvironmentProblem(
            f"streaming needs {needed_bytes / 2**30:.1f} GiB in {folder.parent}; free: {free / 2**30:.1f}"
        )


def _write_inputs(
    file: Path, used: _UsedRows, selection: Selection, preparation: dict[str, Any], positions: Rows, width: int
) -> tuple[str, list[Any]]:
    """Third pass: write x. Returns (digest of what was written, the first validation rows as read)."""
    digest, shown = hashlib.sha256(), pd.DataFrame()
    with open(file, "wb") as out:
        out.truncate(len(positions) * width * 4)
        for index, frame in used.chunks():
            if not len(index):
                continue
            if len(shown) < SAMPLE_ROWS:
                validation = frame[selection.parts[index] == 1]
                shown = pd.concat([shown, validation.head(SAMPLE_ROWS - len(shown))])
            x = tables.transform(preparation, frame).numpy()
            digest.update(x.data)
            _write_rows(out, x, positions[index])
    digest.update(np.ascontiguousarray(positions).data)
    digest.update(np.ascontiguousarray(selection.y).data)
    return digest.hexdigest(), sample_rows(shown.reset_index(drop=True))


def _write_rows(out: IO[bytes], x: NDArray[np.float32], positions: Rows) -> None:
    """Write each row of x at its position in the file; rows that follow each other there are written at once."""
    order = np.argsort(positions)
    x, positions = np.ascontiguousarray(x[order]), positions[order]
    begins = np.flatnonzero(np.diff(positions, prepend=-2) != 1)
    for first, end in pairwise([*begins.tolist(), len(positions)]):
        out.seek(int(positions[first]) * x.shape[1] * 4)
        out.write(x[first:end].data)
