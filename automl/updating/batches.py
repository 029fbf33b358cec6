"""Rows that are kept beside a model: one file for each batch, and a bounded sample over all of them.

Every row has a random key, drawn from its batch's digest and its place. The rows with the smallest keys over all
batches are a uniform sample without replacement (a reservoir, as Vitter 1985; with keys as Efraimidis & Spirakis
2006), whatever the order in which batches came, and the same after every kill.
"""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl.core import files, seeds
from automl.data.further import Labelled
from automl.errors import BundleError


@dataclass(frozen=True)
class Batch:
    """The rows of one batch.

    Attributes:
        digest: of their file.
        found: the rows with their answers.
        held: [N] bool, whether a row is held out: never learned from.
        key: [N] in 0 .. 1, by which rows are kept.
    """

    digest: str
    found: Labelled
    held: NDArray[np.bool_]
    key: NDArray[np.float64]

    @classmethod
    def new(cls, digest: str, found: Labelled, held: NDArray[np.bool_]) -> "Batch":
        """A batch with the keys of its digest."""
        return cls(digest, found, held, np.random.default_rng(seeds.derive(digest, "rows")).random(len(found)))

    def take(self, index: NDArray[Any]) -> "Batch":
        """The rows at these places."""
        return Batch(self.digest, self.found.take(index), self.held[index], self.key[index])


def write(file: Path, batch: Batch) -> None:
    """Write a batch, whole or not at all; without pickle, and without the order and groups of its rows."""
    found, arrays = batch.found, dict[str, Any](held=batch.held, key=batch.key)
    if isinstance(found.rows, pd.DataFrame):
        table = io.BytesIO()
        attributes = found.rows.attrs
        bare = found.rows.copy(deep=False)
        bare.attrs = {}
        _storable(bare).to_parquet(table, index=False)
        arrays["table"] = np.frombuffer(table.getvalue(), dtype=np.uint8)
        arrays["attributes"] = np.array(json.dumps(attributes, default=str))
    elif found.rows.dtype == object:
        arrays["texts"] = np.array(json.dumps([str(text) for text in found.rows]))
    else:
        arrays["rows"] = found.rows
    if found.y.dtype == object:
        labels = list(dict.fromkeys(found.y.tolist()))
        code = {label: k for k, label in enumerate(labels)}
        arrays["labels"] = np.array(json.dumps(labels))
        arrays["codes"] = np.array([code[label] for label in found.y.tolist()], dtype=np.int64)
    else:
        arrays["y"] = found.y
    if found.weight is not None:
        arrays["weight"] = found.weight
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    file.parent.mkdir(parents=True, exist_ok=True)
    files.write(file, buffer.getvalue())


def _storable(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns of mixed types as text, which is what they are read as."""
    changed = {}
    for name in frame.columns:
        column = frame[name]
        if column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) not in ("string", "empty"):
            changed[name] = column.map(lambda v: None if pd.isna(v) else str(v))
    return frame.assign(**changed) if changed else frame


def read(file: Path) -> Batch:
    """The batch in a file.

    Raises:
        BundleError: it is missing or damaged.
    """
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return Batch(file.stem, _found(arrays), arrays["held"], arrays["key"])
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise BundleError(f"{file}: the rows that were kept cannot be read ({error})") from error


def _found(arrays: Any) -> Labelled:
    if "table" in arrays:
        rows: Any = pd.read_parquet(io.BytesIO(arrays["table"].tobytes()))
        rows.attrs = json.loads(str(arrays["attributes"]))
    elif "texts" in arrays:
        rows = np.array(json.loads(str(arrays["texts"])), dtype=object)
    else:
        rows = arrays["rows"]
    if "codes" in arrays:
        labels = np.empty(len(named := json.loads(str(arrays["labels"]))), dtype=object)
        labels[:] = named
        y = labels[arrays["codes"]]
    else:
        y = arrays["y"]
    return Labelled(rows, y, arrays.get("weight"))


def sample(batches: list[Batch], most: int, *, held: bool) -> list[Batch]:
    """At most `most` rows of all batches, those with the smallest keys: the ones held out, or the others."""
    keys = np.concatenate([batch.key[batch.held == held] for batch in batches]) if batches else np.zeros(0)
    limit = np.inf if len(keys) <= most else np.partition(keys, most)[most]
    chosen = [batch.take(np.flatnonzero((batch.held == held) & (batch.key < limit))) for batch in batches]
    return [batch for batch in chosen if len(batch.held)]


def joined(one: Batch | None, other: Batch | None) -> Batch:
    """The rows of both as one batch."""
    if one is None or other is None:
        found = one or other
        assert found is not None
        return found
    rows: Any
    if isinstance(one.found.rows, pd.DataFrame):
        rows = pd.concat([one.found.rows, other.found.rows], ignore_index=True)
        rows.attrs = one.found.rows.attrs
    else:
        rows = np.concatenate([one.found.rows, other.found.rows])
    weights = None if one.found.weight is None or other.found.weight is None else (one.found.weight, other.found.weight)
    found_ = Labelled(rows, np.concatenate([one.found.y, other.found.y]), None if weights is None
                      else np.concatenate(weights))  # fmt: skip
    return Batch(one.digest, found_, np.concatenate([one.held, other.held]), np.concatenate([one.key, other.key]))
