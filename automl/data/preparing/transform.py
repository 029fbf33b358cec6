"""Prepares rows of any kind with a saved preparation: chooses the module for its form."""

from typing import Any

from torch import Tensor

from automl.data.preparing import arrays, given, series, tables, text
from automl.data.shapes import Inputs
from automl.errors import DataError


def transform(preparation: dict[str, Any], rows: Any, unread: list[str] | None = None) -> Tensor:
    """Prepare rows exactly as the training rows were prepared.

    Args:
        preparation: `Prepared.preparation`, also after a round trip through JSON.
        rows: as people have them, see `automl.data.preparing.given`.
        unread: gets a few words for each column of a table with values that cannot be read, or were not in training.

    Returns:
        [N, *shape] float32 (int64 for tokens). Categories that training did not see are all zeros (or code 0).

    Raises:
        DataError: a column is missing or the shape differs.
    """
    if preparation["form"] in ("table", "series", "array", "text"):
        rows = given.usable(preparation, rows)
    match preparation["form"]:
        case "table":
            return tables.transform(preparation, rows, unread)
        case "array":
            return arrays.transform(preparation, rows)
        case "text":
            return text.transform(preparation, rows, unread)
        case "series":
            return series.transform(preparation, rows, unread)
        case form:
            raise DataError(f"a preparation of form {form!r} is not known to this version")


def inputs_of(preparation: dict[str, Any]) -> tuple[Inputs, list[str]]:
    """The layout of what `transform` returns (tables, arrays, texts), and the names of its values."""
    match preparation["form"]:
        case "text":
            return text.inputs_of(preparation), []
        case "array":
            return arrays.inputs_of(preparation)
        case _:
            return tables.inputs_of(preparation)
