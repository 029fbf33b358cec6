"""`prepare: {drop: [...]}`: columns that a model must not see, such as one that is known only after the target."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from automl.data.preparing.options import dropped
from automl.errors import DataError, did_you_mean


def without(
    frame: pd.DataFrame, options: Mapping[str, Any], target: Any = None, gone: Iterable[str] = ()
) -> pd.DataFrame:
    """The table without the columns of `prepare.drop`.

    Args:
        frame: the table.
        options: those of `prepare:`.
        target: the column to predict, which cannot be dropped.
        gone: columns that are no inputs anyway (weights, groups, times).

    Raises:
        DataError: a column does not exist, or is the target; or none is left.
    """
    names, known = [name for name in dropped(options) if name not in gone], [str(name) for name in frame.columns]
    if not names:
        return frame
    for name in names:
        if name == target:
            raise DataError(f"prepare.drop: {name!r} is the target")
        if name not in known:
            raise DataError(f"prepare.drop: no column {name!r}{did_you_mean(name, known)}")
    left = frame[[name for name in frame.columns if str(name) not in names]]
    if not left.shape[1]:
        raise DataError("prepare.drop: no column is left to learn from")
    left.attrs = frame.attrs
    return left
