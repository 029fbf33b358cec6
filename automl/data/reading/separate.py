"""Validation and test rows in files of their own: `split: {val: val.csv, test: test.csv}`.

Their cells are read as those of the training file are: types, words for missing values and classes are decided on all
rows together, as for one file.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from automl.data.cells.readings import ATTRIBUTE
from automl.data.splits import NAMES, Parts
from automl.errors import DataError, did_you_mean

SHARE = 0.25
"""Share of the training rows that become the part that is in no file of its own."""


def files_of(split: Mapping[str, Any]) -> dict[str, str]:
    """{"val" or "test": file} of the parts that have one."""
    return {name: split[name] for name in NAMES[1:] if isinstance(split.get(name), str)}


def shares_of(split: Mapping[str, Any]) -> dict[str, Any]:
    """The rules of `split:` with shares alone: a part in no file is a share of the training rows."""
    files = files_of(split)
    if not files:
        return dict(split)
    rest = dict.fromkeys(NAMES, 0.5)
    own = next((name for name in NAMES[1:] if name not in files), "")
    share = float(split.get(own, SHARE)) if own else SHARE
    rest |= {"train": (1 - share) / 2, own: share / 2} if own else {"train": 0.5, "val": 0.25, "test": 0.25}
    return {**{key: value for key, value in split.items() if key not in NAMES}, **rest}


def joined(
    train: Any, split: Mapping[str, Any], target: str | None, read: Callable[[str], Any]
) -> tuple[pd.DataFrame, Parts, list[str]]:
    """(the rows of all files, the training rows first; the part of each row; notes).

    Args:
        train: what `data` holds.
        split: the rules of `split:`, with one file or two.
        target: the column to predict.
        read: gives what a file holds.

    Raises:
        DataError: a source is no table, or lacks a column.
    """
    frames, notes = {"train": train}, list[str]()
    for name, file in files_of(split).items():
        frames[name] = read(file)
    for name, frame in frames.items():
        where = "data" if name == "train" else f"split.{name}: {split[name]}"
        if not isinstance(frame, pd.DataFrame):
            raise DataError(f"{where} is no table; files of their own are for the rows of tables")
        if target and target not in frame.columns and name != "train":
            raise DataError(f"{where} has no column {target!r}, the target, so its rows cannot be scored; "
                            f"`automl predict` predicts them{did_you_mean(target, frame.columns)}")  # fmt: skip
        notes += _checked(frame, train, where)
    whole = pd.concat([frame[train.columns] for frame in frames.values()], ignore_index=True)
    whole.attrs = {ATTRIBUTE: train.attrs[ATTRIBUTE]} if ATTRIBUTE in train.attrs else {}
    codes = [np.full(len(frame), NAMES.index(name), dtype=np.int8) for name, frame in frames.items()]
    notes += [f"{len(frames[name]):,} {name} rows from {file}" for name, file in files_of(split).items()]
    return whole, np.concatenate(codes), notes


def _checked(frame: pd.DataFrame, train: pd.DataFrame, where: str) -> list[str]:
    missing = [str(name) for name in train.columns if name not in frame.columns]
    more = [str(name) for name in frame.columns if name not in train.columns]
    if missing:
        hint = did_you_mean(missing[0], more)
        raise DataError(f"{where} has no column {missing[0]!r}, which the training rows have{hint}")
    return [f"{where}: columns that the training rows lack left out: {', '.join(more[:8])}"] if more else []
