"""Which held-out rows of a study an earlier model has learned from: a score on these would be too good."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl.data.loading import selected
from automl.data.rows import Selection
from automl.data.targets import names_of
from automl.errors import AutoMLError

Hashes = NDArray[np.uint64]
MOST = 0.02
"""Share of the validation or test rows that may have been learned from: rows may be equal by chance."""


def rows_of(spec: Mapping[str, Any], base: Path) -> Selection | None:
    """The rows of a specification, with their parts; None where they cannot be told apart or read.

    Rows of series, long texts and streamed tables cannot; data that a function gives are not asked for.

    Args:
        spec: in the grammar of `space.yaml`.
        base: the folder that its paths start from.
    """
    source, settings, rules = spec.get("data"), dict(spec.get("prepare") or {}), dict(spec.get("split") or {})
    if not isinstance(source, str) or (":" in source and not (base / source).exists()):
        return None
    target, others = spec.get("target"), list[str]()
    if target is not None and not isinstance(target, str):
        target, *others = names_of(target)
    if settings.get("window") or settings.get("memory"):
        return None
    try:
        return selected(source, target, others, rules, settings, int(spec.get("seed", 0)), base)
    except (AutoMLError, OSError, ValueError, KeyError, TypeError):  # the earlier data may be anything by now
        return None


def shares(earlier: Selection, now: Selection, *, refit: bool) -> dict[str, float]:
    """The share of the present validation and test rows that an earlier model has learned from.

    Rows that are among the present training rows too are left out: they are equal to others of the same table.

    Args:
        earlier: the rows of the earlier study.
        now: those of the present one.
        refit: whether the earlier model has learned from its validation rows too.

    Returns:
        {"validation": share, "test": share}.
    """
    one, two = _hashes(earlier.raw.x), _hashes(now.raw.x)
    known = one[earlier.parts <= (1 if refit else 0)]
    own = two[now.parts == 0]
    found = {}
    for part, name in ((1, "validation"), (2, "test")):
        held = two[now.parts == part]
        held = held[~np.isin(held, own)]
        found[name] = float(np.isin(held, known).mean()) if len(held) else 0.0
    return found


def _hashes(rows: Any) -> Hashes:
    """A hash of each row: of a table by its columns' names and values as text, of arrays by their bytes. [N]"""
    if isinstance(rows, pd.DataFrame):
        ordered = rows[sorted(rows.columns, key=str)].astype(str)
        return np.asarray(pd.util.hash_pandas_object(ordered, index=False), dtype=np.uint64)
    listed = (row.encode() if isinstance(row, str) else np.ascontiguousarray(row).tobytes() for row in rows)
    short = [int.from_bytes(hashlib.blake2b(row, digest_size=8).digest(), "little") for row in listed]
    return np.array(short, dtype=np.uint64)
