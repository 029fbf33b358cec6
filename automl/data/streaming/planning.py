"""What preparing a table will take: rows, bytes, seconds, processes; told before it begins."""

import math
import os
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from automl.data import splits
from automl.data.preparing import dropping, tables
from automl.data.reading.many.blocks import Irregular
from automl.data.reading.many.table import Item, Table
from automl.data.reading.raw import Raw, from_frame
from automl.data.rows import columns_kept_out
from automl.data.streaming.memory import available_bytes
from automl.data.streaming.passes.scan import Scan
from automl.data.streaming.request import Request
from automl.errors import DataError, EnvironmentProblem

PROCESS_BYTES = 2**29
"""Memory of a process that prepares, at most."""
WRITING = 5e8
"""Bytes a second that a disk writes, where nothing was measured."""
SPARE = 1.05
"""Free disk, in sizes of what is written."""


@dataclass(frozen=True)
class Estimate:
    """What preparing a table will take.

    Attributes:
        files: how many there are.
        size: bytes of them; -1: not known.
        rows: of the table.
        counted: whether they were counted, not estimated.
        width: values of a prepared row, as far as the first rows show it.
        prepared: bytes that stay on disk.
        temporary: bytes that are on disk besides until it is done.
        free: bytes on the disk.
        processes: how many prepare.
        seconds: of preparing, by the time that the first rows took; 0: not measured.
    """

    files: int
    size: int
    rows: int
    counted: bool
    width: int
    prepared: int
    temporary: int
    free: int
    processes: int
    seconds: float = 0.0

    def check(self, folder: Path) -> None:
        """Raise EnvironmentProblem where the disk has no room for it."""
        needed = SPARE * (self.prepared + self.temporary)
        if self.free < needed:
            raise EnvironmentProblem(
                f"streaming needs about {needed / 2**30:.1f} GiB in {folder}; free: {self.free / 2**30:.1f}"
                " (AUTOML_CACHE names another folder)"
            )


def plan_scan(request: Request) -> tuple[Scan, Raw, Estimate]:
    """(the first pass, the beginning of the table without its target, what preparing takes).

    Raises:
        DataError: the beginning cannot be read, or has no such target.
    """
    table, (target, kept_out) = request.table, (request.target, columns_kept_out(request.options, request.rules))
    head = from_frame(table.head(), target, kept_out, table.name)
    head.x = dropping.without(head.x, request.options, head.target, kept_out)
    rows, row_bytes, sizes = table.rows(), table.row_bytes(), request.sizes
    inputs = tuple(str(name) for name in head.x.columns)
    most = min(sizes.fit_rows, max(1000, int(sizes.fit / row_bytes)))
    wanted = float(splits.shares(request.rules)[0]) * min(1.0, int(request.options.get("rows", 0) or rows) / rows)
    share = min(1.0, max(most / (rows * wanted), 0.0), 4 * most / rows)
    piece = max(100, int(sizes.chunk / row_bytes))
    scan = Scan(request, tuple(table.items()), (head.target, *kept_out), inputs, piece, share)
    return scan, head, _estimate(request, table, head, rows, share, row_bytes)


def _estimate(request: Request, table: Table, head: Raw, rows: int, share: float, row_bytes: float) -> Estimate:
    width = width_of(head, request)
    kept = 24 * (1 + len(head.extra))  # a target (or weight, group, time) as read, and as decided
    temporary = int(rows * (kept + share * row_bytes))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    fitting = max(1, int(0.5 * available_bytes() / PROCESS_BYTES))
    processes = max(1, min(cores, fitting, table.size // request.sizes.alone))
    prepared = rows * (4 * width + 8 + 4 * bool(request.options.get("weight") or request.options.get("class_weight")))
    return Estimate(len(table.files), table.size, rows, table.parquet, width, prepared, temporary, 0, processes)


def width_of(head: Raw, request: Request) -> int:
    """Values of a prepared row, as the first rows show it."""
    preparation = _of_head(head, request)
    width = head.x.shape[1] if preparation is None else int(tables.inputs_of(preparation)[0])
    width += int(request.options.get("crosses") or 0)
    components = request.options.get("pca")
    return min(width, int(components)) if components and components >= 1 else width


def _of_head(head: Raw, request: Request) -> dict[str, Any] | None:
    """A preparation fitted on the first rows; None: they do not suffice."""
    options = {name: value for name, value in request.options.items() if name not in ("pca", "crosses")}
    try:
        return tables.fit(head.x, np.zeros(len(head.x)), options, [])
    except DataError:
        return None


def timed(estimate: Estimate, request: Request, scan: Scan, head: Raw) -> Estimate:
    """The same with the seconds that preparing will take, by what a piece of the table takes."""
    table = request.table
    preparation = _of_head(head, request)
    begun = time.perf_counter()
    piece = _first_piece(table, scan)
    read = time.perf_counter() - begun
    if preparation is not None:
        tables.transform(preparation, Scan.frame(table, piece, table.files[0]))
    done = time.perf_counter() - begun
    seconds = estimate.rows / max(len(piece), 1) * (read + done) + estimate.prepared / WRITING
    return replace(estimate, seconds=seconds / estimate.processes)


def _first_piece(table: Table, scan: Scan) -> pa.Table:
    item = scan.items[0]
    wanted = [*scan.kept, *scan.inputs]
    try:
        return next(iter(table.read(item, scan.rows, wanted, scan.request.sizes.chunk)))[1]
    except Irregular:
        return next(iter(table.read(Item(item.file, "rows"), scan.rows, wanted)))[1]


def on_disk(estimate: Estimate, folder: Path) -> Estimate:
    """The same with the bytes that are free in `folder`, or in the first folder above it that is there."""
    while not folder.is_dir():
        folder = folder.parent
    return replace(estimate, free=shutil.disk_usage(folder).free)


def stated_error(rows: int) -> str:
    """How far statistics of a random sample may be from those of all rows, in words.

    95 % bounds: of a mean 1.96 / sqrt(n) standard deviations; of any quantile, at once, sqrt(ln(40) / 2n) of the rows
    (Dvoretzky, Kiefer and Wolfowitz 1956, constant by Massart 1990); a value of a category that is in a share p of the
    rows is absent with (1 - p)^n.
    """
    mean, quantile = 1.96 / math.sqrt(rows), math.sqrt(math.log(40) / (2 * rows))
    rare = 1 - 0.05 ** (1 / rows)
    return (f"means are right to {mean:.2g} standard deviations, quantiles to {quantile:.2%} of the rows, values of "
            f"categories in more than {rare:.2g} of the rows were seen (95 % each)")  # fmt: skip
