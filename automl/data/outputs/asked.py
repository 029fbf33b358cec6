"""The target as `prepare:` asks for it."""

from collections.abc import Mapping
from typing import Any

from automl.data import targets
from automl.data.cells.readings import Rules
from automl.data.outputs import labels
from automl.data.preparing.options import values_or_classes, variant


def read(columns: Mapping[str, Any], options: Mapping[str, Any], rules: Rules) -> targets.Target:
    """Read one target, or several.

    Args:
        columns: the name of each target -> its values [rows].
        options: those of `prepare:`.
        rules: how cells are read where they are text.

    Raises:
        DataError: it cannot be learned.
    """
    (name, values), *others = columns.items()
    if variant(options).get("variant") == "labels":
        if others:
            return labels.of_columns(columns, rules)
        return labels.of_cells(values, name, str(options.get("label_separator", ";")))
    if others:
        return targets.read_columns(columns, values_or_classes(options), rules)
    found = targets.read(values, name, values_or_classes(options), rules)
    return targets.in_order(found, name, options.get("order"))
