"""Tables that do not fit into memory: prepared once into a folder, which training reads shard by shard.

The folder lies below `AUTOML_CACHE` (else `~/.cache/automl`) and is found again by every process that asks for the same
data, split and preparation. Folders that were not opened for 30 days are deleted when another one is written; a study
that is resumed later writes its own again. A preparation that was broken off goes on where it was.
"""

import json
import os
import shutil
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from automl.data.prepared import Prepared
from automl.data.shapes import Inputs, Outputs
from automl.data.streaming import cache as caching
from automl.data.streaming import planning
from automl.data.streaming.passes.writer import write
from automl.data.streaming.planning import Estimate
from automl.data.streaming.request import Request
from automl.data.streaming.shards import Streamed, mapped


def load(request: Request, *, cache: Path | None = None) -> Prepared:
    """Load a table whose inputs stay on disk; it is split as it would be in memory, where it has few rows.

    Args:
        request: what is wanted.
        cache: where prepared tables lie; default: `cache_folder()`.

    Raises:
        DataError: the table cannot be read or learned from.
        EnvironmentProblem: the disk has no room, or the system cannot lock files.
    """
    home = caching.home_of(request, cache)
    home.parent.mkdir(parents=True, exist_ok=True)
    with caching.lock(home.with_suffix(".lock")) as held:  # workers start together: one prepares, the others wait
        if not (home / "meta.json").is_file():
            caching.delete_unused(home.parent)
            work = home.with_name(f".{home.name}.partial")
            work.mkdir(exist_ok=True)
            write(request, work, held)
            shutil.rmtree(home, ignore_errors=True)
            os.replace(work, home)
    return _open(home, request.seed)


def estimate(request: Request, *, cache: Path | None = None) -> tuple[Estimate, bool]:
    """(what preparing will take, whether it is done already).

    Raises:
        DataError: the beginning of the table cannot be read.
    """
    home = caching.home_of(request, cache)
    scan, head, found = planning.plan_scan(request)
    return planning.timed(planning.on_disk(found, home.parent), request, scan, head), (home / "meta.json").is_file()


def summary(found: Estimate, done: bool) -> list[str]:
    """What preparing takes, a line each, for people."""
    source = f", {_bytes(found.size)}" if found.size >= 0 else ""
    rows = f"{found.rows:,} rows ({'counted' if found.counted else 'estimated'}), {found.width} values each"
    lines = [f"{found.files:,} file{'s' * (found.files > 1)}{source}; {rows}"]
    if done:
        return [*lines, f"prepared already, in {caching.cache_folder()}"]
    lines.append(
        f"on disk    {_bytes(found.prepared)} stay in {caching.cache_folder()}, "
        f"{_bytes(found.temporary)} more until it is done; free {_bytes(found.free)}"
    )
    helpers = f"{found.processes} process{'es' * (found.processes > 1)}"
    lines.append(f"time       about {_time(found.seconds)} with {helpers}, by the time that the first rows took")
    if found.free < planning.SPARE * (found.prepared + found.temporary):
        lines.append("the disk has no room for it; AUTOML_CACHE names another folder")
    return lines


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def _bytes(count: float) -> str:
    """A number of bytes in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} TB"


def _open(home: Path, seed: int) -> Prepared:
    meta = json.loads((home / "meta.json").read_text())
    with suppress(OSError):  # the folder belongs to another user
        os.utime(home / "meta.json")
    inputs, outputs = Inputs.from_json(meta["inputs"]), Outputs.from_json(meta["outputs"])
    parts = []
    ends, counts = pairwise(meta["ends"]), meta["counts"] or [[]] * 3
    for (first, end), edges, sums, of_class in zip(ends, meta["edges"], meta["sums"], counts, strict=True):
        x = mapped(home / "x.bin", first, end - first, int(inputs))
        y = mapped(home / "y.bin", first, end - first, meta["targets"], codes=not meta["targets"])
        weight = mapped(home / "weight.bin", first, end - first, 0) if meta["weighted"] else None
        parts.append(Streamed(x, y, weight, file=home / "x.bin", first=first, edges=tuple(edges), seed=seed,
                              sums=tuple(sums), counts=tuple(of_class)))  # fmt: skip
    return Prepared(
        inputs, outputs, meta["kind"], parts[0], parts[1], parts[2], meta["classes"], meta["columns"],
        meta["preparation"], meta["fingerprint"], meta["notes"], meta["sample"],
    )  # fmt: skip
