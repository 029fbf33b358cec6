"""Tables that do not fit into memory: prepared once, chunk by chunk, into a file that training maps and streams.

Three passes over the table. The first reads the target (and weights, groups, times) alone and splits the rows as for
any table. The second draws a sample of training rows, from which the preparation is fitted. The third prepares every
row and writes it to its part of the file, training rows to a random shard. The file lies below `AUTOML_CACHE` (else
`~/.cache/automl`) and is found again by whoever asks for the same data, split and preparation. What nobody has opened
for 30 days is deleted when another one is made; a study that goes on after that makes it again.
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from automl.core import seeds
from automl.data.prepared import Prepared
from automl.data.preparing import columns
from automl.data.preparing import transform as prep
from automl.data.reading import sources
from automl.data.reading.raw import Raw, from_frame
from automl.data.shapes import Inputs, Outputs
from automl.data.streaming.shards import Streamed, mapped
from automl.errors import DataError, EnvironmentProblem

SHARD_BYTES = 2**23
"""Of prepared inputs; two shards and a batch are in memory at once."""
CHUNK_BYTES = 2**22
"""Of a table that is read at once."""
FIT_BYTES = 2**24
"""Of training rows the preparation is fitted on, at most."""
UNUSED_S = 30 * 86400.0
"""After which a prepared table is deleted."""
VERSION = 1


@dataclass(frozen=True)
class Table:
    """A CSV, TSV or Parquet file, read a chunk at a time."""

    path: Path

    def chunks(self, rows: int, only: list[str] | None = None) -> Iterator[pd.DataFrame]:
        """All rows in order, at most `rows` at once; `only`: of these columns. Raises DataError."""
        with sources.told(self.path):
            yield from self._chunks(rows, only)

    def _chunks(self, rows: int, only: list[str] | None) -> Iterator[pd.DataFrame]:
        if self.path.suffix in (".parquet", ".pq"):
            from pyarrow import parquet

            with parquet.ParquetFile(self.path) as file:
                for batch in file.iter_batches(rows, columns=only):
                    yield batch.to_pandas()
            return
        with warnings.catch_warnings(), sources.separated(self.path, chunksize=rows, usecols=only) as reader:
            warnings.simplefilter("error", pd.errors.ParserWarning)
            yield from reader

    def head(self) -> pd.DataFrame:
        """The first rows."""
        return next(self.chunks(1000))

    def row_bytes(self) -> float:
        """What a row takes in memory, about."""
        head = self.head()
        return float(head.memory_usage(deep=True).sum()) / max(len(head), 1)


def load(path: Path, target: str | None, rules: dict[str, Any], options: dict[str, Any], seed: int) -> Prepared:
    """`data.load` for a table at `path` that stays on disk; the same split as in memory.

    Raises DataError, and EnvironmentProblem when the disk has no room.
    """
    key = _key(path, target, rules, options, seed)
    home = _cache() / f"{path.name.partition('.')[0]}-{key}"
    home.parent.mkdir(parents=True, exist_ok=True)
    with open(home.with_suffix(".lock"), "w") as lock:  # workers start together: one prepares, the others wait
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "meta.json").is_file():
            _sweep(home.parent)
            work = Path(tempfile.mkdtemp(prefix=f".{home.name}-", dir=home.parent))
            try:
                _Writer(Table(path), target, rules, options, seed, work).write()
                shutil.rmtree(home, ignore_errors=True)
                os.replace(work, home)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return _open(home)


def _cache() -> Path:
    given = os.environ.get("AUTOML_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "automl"


def _sweep(cache: Path) -> None:
    """Delete what was not opened for UNUSED_S, unless somebody is making it just now."""
    for meta in cache.glob("*/meta.json"):
        if time.time() - meta.stat().st_mtime < UNUSED_S:
            continue
        with open(meta.parent.with_suffix(".lock"), "w") as lock, suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(meta.parent, ignore_errors=True)


def _key(path: Path, *asked: Any) -> str:
    found = path.stat()
    text = json.dumps(
        [VERSION, str(path.resolve()), found.st_size, found.st_mtime_ns, *asked], sort_keys=True, default=str
    )
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _open(home: Path) -> Prepared:
    meta = json.loads((home / "meta.json").read_text())
    with suppress(OSError):  # another user's
        os.utime(home / "meta.json")
    inputs, outputs = Inputs.from_json(meta["inputs"]), Outputs.from_json(meta["outputs"])
    y = torch.from_numpy(np.load(home / "y.npy"))
    weight = torch.from_numpy(np.load(home / "weight.npy")) if (home / "weight.npy").is_file() else None
    parts = []
    for (first, end), edges in zip(pairwise(meta["ends"]), meta["edges"], strict=True):
        x = mapped(home / "x.bin", first, end - first, int(inputs))
        own = None if weight is None else weight[first:end]
        parts.append(Streamed(x, y[first:end], own, home / "x.bin", first, tuple(edges)))
    return Prepared(
        inputs, outputs, meta["kind"], parts[0], parts[1], parts[2], meta["classes"], meta["columns"],
        meta["preparation"], meta["fingerprint"], meta["notes"], meta["sample"],
    )  # fmt: skip


@dataclass
class _Writer:
    """The three passes; what they make lies in `folder`."""

    table: Table
    target: str | None
    rules: dict[str, Any]
    options: dict[str, Any]
    seed: int
    folder: Path

    def write(self) -> None:
        from automl.data import loading

        row_bytes = self.table.row_bytes()
        self.rows_at_once = max(100, int(CHUNK_BYTES / row_bytes))
        self.rows_to_fit = max(1000, int(FIT_BYTES / row_bytes))
        raw, self.names = self._targets()
        decided = loading.decide(raw, self.rules, self.options, self.seed)
        self.raw, self.y, self.parts = decided.raw, decided.y, decided.parts
        self.place = np.full(self.all_rows, -1, dtype=np.int64)  # table row -> row among those used
        self.place[self.raw.x] = np.arange(len(self.y))
        sample, rows = self._sample()
        preparation = prep.fit_table(sample, self.y[rows], self.options, self.raw.notes)
        preparation["target"] = decided.target
        inputs, names = prep.inputs_of(preparation)
        edges, positions, ends = self._layout(int(inputs))
        fingerprint, shown = self._write_rows(preparation, int(inputs), positions, ends)
        order = np.argsort(positions)
        np.save(self.folder / "y.npy", decided.learned[order])
        if decided.weight is not None:
            np.save(self.folder / "weight.npy", decided.weight.numpy()[order])
        size = (self.folder / "x.bin").stat().st_size
        self.raw.notes.append(
            f"streamed from disk: {len(self.y):,} rows, {size / 2**20:,.0f} MiB in {len(edges[0]) - 1} shards"
        )
        meta = {
            "inputs": inputs.to_json(), "outputs": decided.outputs.to_json(), "kind": decided.found.kind,
            "classes": decided.found.classes, "columns": names, "preparation": preparation, "notes": self.raw.notes,
            "fingerprint": fingerprint, "edges": edges, "ends": ends, "sample": shown,
        }  # fmt: skip
        (self.folder / "meta.json").write_text(json.dumps(meta))

    def _targets(self) -> tuple[Raw, list[str]]:
        """First pass: the columns that are no inputs. x is the rows' numbers."""
        from automl.data import loading

        kept_out = loading.keep_out(self.options, self.rules)
        head = from_frame(self.table.head(), self.target, kept_out, self.table.path.name)
        wanted = [head.target, *kept_out]
        few = [chunk[wanted] for chunk in self.table.chunks(self.rows_at_once, wanted)]
        frame = pd.concat(few, ignore_index=True)
        for name in wanted:
            frame[name] = _alike(frame[name])
        self.all_rows = len(frame)
        extra = {name: frame[name].to_numpy() for name in kept_out}
        raw = Raw(np.arange(len(frame)), frame[head.target], head.target, "table", extra=extra)
        return raw, [str(name) for name in head.x.columns]

    def _inputs(self) -> Iterator[tuple[NDArray[np.int64], pd.DataFrame]]:
        """(place of each row, its inputs) of the rows that are used, chunk by chunk."""
        first = 0
        for chunk in self.table.chunks(self.rows_at_once):
            place = self.place[first : first + len(chunk)]
            first += len(chunk)
            used = place >= 0
            frame = chunk.set_axis([str(name) for name in chunk.columns], axis=1)[self.names]
            yield place[used], frame[used].reset_index(drop=True)

    def _sample(self) -> tuple[pd.DataFrame, NDArray[np.int64]]:
        """Second pass: training rows to fit on, and which they are; all of them where they are few."""
        train = np.flatnonzero(self.parts == 0)
        drawn = np.zeros(len(self.parts), dtype=bool)
        rng = np.random.default_rng(seeds.derive(self.seed, "fit"))
        most = self.rows_to_fit
        drawn[train if len(train) <= most else rng.choice(train, most, replace=False)] = True
        if len(train) > most:
            self.raw.notes.append(f"prepared by what {most:,} of {len(train):,} training rows show")
        found = [(place[drawn[place]], frame[drawn[place]]) for place, frame in self._inputs()]
        rows = np.concatenate([place for place, _ in found])
        return pd.concat([frame for _, frame in found], ignore_index=True), rows

    def _layout(self, width: int) -> tuple[list[list[int]], NDArray[np.int64], list[int]]:
        """(edges of each part's shards, the row of the file for each row, ends of the parts)."""
        rng = np.random.default_rng(seeds.derive(self.seed, "shards"))
        positions = np.empty(len(self.parts), dtype=np.int64)
        edges, ends = [], [0]
        for part in range(3):
            rows = np.flatnonzero(self.parts == part)
            count = max(1, round(len(rows) * width * 4 / SHARD_BYTES))
            shard = (
                rng.integers(0, count, len(rows)) if part == 0 else np.arange(len(rows)) * count // max(len(rows), 1)
            )
            positions[rows[np.argsort(shard, kind="stable")]] = ends[-1] + np.arange(len(rows))
            sizes = np.bincount(shard, minlength=count)
            edges.append([0, *np.cumsum(sizes[sizes > 0]).tolist()])
            ends.append(ends[-1] + len(rows))
        free = shutil.disk_usage(self.folder).free
        if free < 1.05 * len(self.parts) * width * 4:
            needed = len(self.parts) * width * 4 / 2**30
            raise EnvironmentProblem(
                f"streaming needs {needed:.1f} GiB in {self.folder.parent}; free: {free / 2**30:.1f}"
            )
        return edges, positions, ends

    def _write_rows(
        self, preparation: dict[str, Any], width: int, positions: NDArray[np.int64], ends: list[int]
    ) -> tuple[str, list[Any]]:
        """Third pass: (digest of what was written, the first validation rows untreated)."""
        from automl.data import loading

        digest, shown = hashlib.sha256(), pd.DataFrame()
        with open(self.folder / "x.bin", "wb") as file:
            file.truncate(len(positions) * width * 4)
            for place, frame in self._inputs():
                if not len(place):
                    continue
                if len(shown) < 4:
                    shown = pd.concat([shown, frame[self.parts[place] == 1].head(4 - len(shown))])
                x = prep.transform(preparation, frame).numpy()
                digest.update(x.data)
                _put(file, x, positions[place], width)
        digest.update(np.ascontiguousarray(positions).data)
        digest.update(np.ascontiguousarray(self.y).data)
        return digest.hexdigest(), loading.sample_rows(shown.reset_index(drop=True))


def _alike(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """A column that was numbers in some chunks and text in others as text, as it would be if read at once."""
    if values.dtype != object:
        return values
    return pd.Series(columns.as_texts(values), index=values.index).where(values.notna(), None)


def _put(file: IO[bytes], x: NDArray[np.float32], positions: NDArray[np.int64], width: int) -> None:
    """Write each row to its place; neighbours in one go."""
    order = np.argsort(positions)
    x, positions = np.ascontiguousarray(x[order]), positions[order]
    begins = np.flatnonzero(np.diff(positions, prepend=-2) != 1)
    for first, end in pairwise([*begins.tolist(), len(positions)]):
        file.seek(int(positions[first]) * width * 4)
        file.write(x[first:end].data)


def wanted(path: Path, options: Mapping[str, Any]) -> str:
    """Why the table at `path` is to be streamed; empty: it may be read into memory."""
    kind = path.suffixes[-2] if path.suffix in (".gz", ".bz2", ".xz", ".zst") and path.suffixes[1:] else path.suffix
    if kind not in sources.TABLES or options.get("window") or options.get("text") or options.get("form"):
        return ""
    times = 16 if kind != path.suffix or kind in (".parquet", ".pq") else 5
    needs, limit = times * path.stat().st_size, memory_limit(options)
    if needs <= limit:
        return ""
    return f"about {needs / 2**20:,.0f} MiB in memory, more than {limit / 2**20:,.0f} MiB (prepare.memory)"


def memory_limit(options: Mapping[str, Any]) -> float:
    """Bytes that reading a table may take: `prepare.memory` ("500MB", "2GB"), else half of what is free."""
    given = options.get("memory")
    if given is None:
        return 0.5 * available()
    units = {"KB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}
    text = str(given).upper().replace(" ", "").replace("IB", "B")
    number, unit = text[:-2], text[-2:]
    try:
        size = float(number) * units[unit]
    except (KeyError, ValueError):
        raise DataError(f'prepare.memory: expected a size such as "500MB" or "2GB", got {given!r}') from None
    if size <= 0:
        raise DataError(f"prepare.memory: must be above 0, got {given!r}")
    return size


def available() -> float:
    """Bytes this process may still take: of the machine, its control group and its own limits."""
    import resource

    import psutil

    found = [float(psutil.virtual_memory().available)]
    taken = psutil.Process().memory_info().data
    for limit in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        soft, _ = resource.getrlimit(limit)
        if soft != resource.RLIM_INFINITY:
            found.append(max(0.0, float(soft) - taken))
    group = Path("/sys/fs/cgroup")
    with suppress(OSError, ValueError):  # where there are control groups of version 2
        most, now = (group / "memory.max").read_text().strip(), (group / "memory.current").read_text()
        if most != "max":
            found.append(max(0.0, float(most) - float(now)))
    return min(found)
