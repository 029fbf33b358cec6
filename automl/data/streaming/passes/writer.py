"""Prepares a table into a folder, in two passes over it; goes on where it was broken off.

1. Scan (`scan`): targets of all rows and a random sample of whole rows, to files of the folder.
2. Decide on targets and parts (`chosen`), fit the preparation on the sampled training rows.
3. Write (`write`): prepare every row and write it to its place (`layout`).
4. Seal: check sums of all shards, and the index.
"""

import hashlib
import json
import os
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl.core import seeds
from automl.data.prepared import SAMPLE_ROWS
from automl.data.preparing import tables
from automl.data.reading.many.table import Item
from automl.data.reading.raw import Raw
from automl.data.streaming import planning
from automl.data.streaming.passes import shared_work
from automl.data.streaming.passes.choosing import choose
from automl.data.streaming.passes.chosen import AT_ONCE, Chosen
from automl.data.streaming.passes.scan import ROW, Scan, Scanned, places, uniform, write_whole
from automl.data.streaming.passes.write import FILES, Part, Writing
from automl.data.streaming.request import Request
from automl.errors import EnvironmentProblem

ITEM = 2**26
"""Bytes of text that are one item of work of the second pass."""
KEPT = {*FILES, "meta.json"}
"""What is left in the folder in the end."""


def write(request: Request, folder: Path, lock: int) -> None:
    """Prepare the table of `request` into `folder`: x.bin, y.bin, perhaps weight.bin, meta.json.

    Args:
        request: what is wanted.
        folder: may hold what an earlier attempt has done.
        lock: see `shared_work.run`.

    Raises:
        DataError: the table cannot be read or learned from.
        EnvironmentProblem: the disk has no room, a store does not answer, or a helper was killed.
    """
    scan, head, estimate = planning.plan_scan(request)
    estimate = planning.on_disk(estimate, folder)
    if not (folder / "decided.json").is_file():
        estimate.check(folder.parent)
    shared_work.run("scan", scan, folder, estimate.processes, lock)
    writing, notes = decided(scan, head, folder)
    shared_work.run("write", writing, folder, estimate.processes, lock)
    seal(writing, notes, folder)


def decided(scan: Scan, head: Raw, folder: Path) -> tuple[Writing, list[str]]:
    """(the second pass, notes): decided after the first one, or read where an earlier attempt has decided."""
    known = folder / "decided.json"
    if known.is_file():
        found = json.loads(known.read_bytes())
        return Writing.from_json(found["writing"], folder), found["notes"]
    scanned = scan.found(folder)
    begins = places(scanned)
    chosen = choose(scan, folder, int(begins[-1]))
    notes = [*head.notes, *scan.request.table.columns.differences(), *chosen.notes]
    sample, rows = _sample(scan, scanned, chosen, folder, notes)
    y = np.asarray(chosen.y[rows])
    preparation = tables.fit(sample, _in_own_unit(y, chosen), dict(scan.request.options), notes)
    preparation["target"] = chosen.entry
    width = int(tables.inputs_of(preparation)[0])
    _count(chosen, begins, folder)
    writing = Writing(scan.request, tuple(_parts(scanned)), scan.inputs, scan.rows, preparation, width, chosen)
    _allocate(writing, folder)
    write_whole(known, json.dumps({"writing": writing.to_json(), "notes": notes}).encode())
    return Writing.from_json(json.loads(known.read_bytes())["writing"], folder), notes


def _in_own_unit(y: NDArray[Any], chosen: Chosen) -> NDArray[Any]:
    if not chosen.columns:
        return y
    return np.asarray(y * np.asarray(chosen.entry["scale"]) + np.asarray(chosen.entry["center"]))


def _sample(
    scan: Scan, scanned: list[Scanned], chosen: Chosen, folder: Path, notes: list[str]
) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """(the sampled training rows, as many as the preparation is to be fitted on; their numbers)."""
    part, sizes = chosen.part, scan.request.sizes
    most = min(sizes.fit_rows, max(1000, int(sizes.fit / scan.request.table.row_bytes())))
    total = sum(int((part[first : first + AT_ONCE] == 0).sum()) for first in range(0, len(part), AT_ONCE))
    keep = min(1.0, most / max(total * scan.share, 1))  # where there are more of them than was thought
    frames: list[pd.DataFrame] = []
    numbers: list[NDArray[np.int64]] = []
    first = 0
    for k, one in enumerate(scanned):
        for frame in scan.sample_of(folder, k):
            rows = frame.pop(ROW).to_numpy(dtype=np.int64) + first
            mine = part[rows] == 0
            if keep < 1:
                seed = seeds.derive(scan.request.seed, "fewer", k)
                mine &= uniform(seed, 0, one.total)[rows - first] < keep
            attributes = frame.attrs
            frame = frame[mine]
            frame.attrs = attributes
            frames.append(frame)
            numbers.append(rows[mine])
        first += one.total
    sample = pd.concat(frames, ignore_index=True)
    sample.attrs = frames[0].attrs
    if len(sample) < total:
        notes.append(f"preparation fitted on {len(sample):,} of {total:,} training rows, drawn at random: "
                     f"{planning.stated_error(len(sample))}")  # fmt: skip
    return sample, np.concatenate(numbers)


def _count(chosen: Chosen, begins: NDArray[np.int64], folder: Path) -> None:
    """Write how many training, validation and test rows each piece has."""
    counts = np.zeros((len(begins) - 1, 3), dtype=np.int64)
    part = chosen.part
    for piece, (first, end) in enumerate(pairwise(begins.tolist())):
        counts[piece] = np.bincount(part[first:end] + 1, minlength=4)[1:]
    np.save(folder / "counts.npy", counts)


def _parts(scanned: list[Scanned]) -> Iterator[Part]:
    """The items of the second pass: those of the first, and pieces of files of text that can be read from any byte."""
    piece = row = 0
    for one in scanned:
        size = one.begins[1] - one.begins[0] if len(one.begins) > 1 else ITEM
        step = max(1, ITEM // max(size, 1)) if one.begins and one.begins[0] >= 0 else len(one.rows)
        for first in range(0, len(one.rows), max(step, 1)):
            rows = one.rows[first : first + step]
            item = one.item
            if step < len(one.rows):
                end = one.begins[first + step] if first + step < len(one.rows) else one.item.end
                item = Item(item.file, item.way, one.begins[first], end)
            yield Part(item, piece, row, rows)
            piece, row = piece + len(rows), row + sum(rows)


def _allocate(writing: Writing, folder: Path) -> None:
    """Make the files in their full size, so that the disk cannot become full while they are written."""
    chosen, rows = writing.chosen, writing.layout.ends[-1]
    sizes = (writing.width * 4, 4 * chosen.columns or 8, 4)
    for name, size in zip(FILES if chosen.weighted else FILES[:2], sizes, strict=False):
        with (folder / name).open("wb") as file:
            try:
                if hasattr(os, "posix_fallocate") and rows * size:
                    os.posix_fallocate(file.fileno(), 0, rows * size)
                file.truncate(rows * size)
            except OSError as error:
                raise EnvironmentProblem(
                    f"streaming needs {rows * size / 2**30:.1f} GiB more in {folder.parent} ({error.strerror})"
                ) from error


def seal(writing: Writing, notes: list[str], folder: Path) -> None:
    """Write the index, and delete everything else."""
    inputs, columns = tables.inputs_of(writing.preparation)
    chosen, layout, parts = writing.chosen, writing.layout, writing.written(folder)
    edges, ends = layout.edges(), layout.ends
    sums = check_sums(folder, writing.width * 4, ends, edges)
    rows, size = ends[-1], ends[-1] * writing.width * 4
    notes = [*notes, f"streamed from disk: {rows:,} rows, {size / 2**20:,.0f} MiB in {len(edges[0]) - 1} shards"]
    identity = [[part.digest for part in parts], ends, edges, writing.request.seed, chosen.entry]
    meta = {
        "inputs": inputs.to_json(), "outputs": chosen.outputs, "kind": chosen.kind, "classes": chosen.classes,
        "columns": columns, "preparation": writing.preparation, "notes": notes,
        "fingerprint": hashlib.sha256(json.dumps(identity).encode()).hexdigest(),
        "edges": edges, "ends": ends, "sums": sums, "counts": chosen.counts(), "targets": chosen.columns,
        "weighted": chosen.weighted,
        "sample": [row for part in parts for row in part.shown][:SAMPLE_ROWS],
    }  # fmt: skip
    for name in FILES:
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                os.fsync(file.fileno())
    write_whole(folder / "meta.json", json.dumps(meta).encode())
    for path in folder.iterdir():
        if path.name not in KEPT:
            path.unlink()


def check_sums(folder: Path, row_bytes: int, ends: list[int], edges: list[list[int]]) -> list[list[int]]:
    """The check sum of the inputs in each shard of each part."""
    file = os.open(folder / "x.bin", os.O_RDONLY)

    def sum_of(shard: tuple[int, int]) -> int:
        first, end = shard
        return zlib.crc32(os.pread(file, (end - first) * row_bytes, first * row_bytes))

    try:
        with ThreadPoolExecutor(2) as pool:
            return [
                list(pool.map(sum_of, [(begin + a, begin + b) for a, b in pairwise(own)]))
                for begin, own in zip(ends, edges, strict=False)
            ]
    finally:
        os.close(file)
