"""One parameter of a space: a range or a choice, and its map to the unit interval.

Logarithmic ranges are uniform in the logarithm. Whole numbers, steps and choices divide the unit interval into equal
cells: every point of a cell stands for the cell's value, and a value is encoded as the middle of its cell.
"""

from automl.core.parameters.choice import Choice
from automl.core.parameters.domain import Domain
from automl.core.parameters.ranges import Float, Int, Scale
from automl.core.parameters.values import (
    NO_DEFAULT,
    Config,
    NoDefault,
    Value,
    When,
    config_key,
    copied,
    identity,
    is_number,
    plain,
    shortened,
)

__all__ = [
    "NO_DEFAULT", "Choice", "Config", "Domain", "Float", "Int", "NoDefault", "Parameter", "Scale", "Value", "When",
    "config_key", "copied", "identity", "is_number", "plain", "shortened",
]  # fmt: skip

Parameter = Float | Int | Choice
