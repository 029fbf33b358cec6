"""What a task predicts. No torch here."""

from collections.abc import Mapping
from typing import Any, Literal, Self

Variant = Literal["", "quantiles", "counts", "ordinal", "labels"]


class Kind(str):
    """The kind of a task, text that can be compared and saved, with what its losses and metrics need besides.

    The text is "classification", "regression" or "next_token"; plain text stands for a kind without a variant.

    Attributes:
        variant: "quantiles": of each value several quantiles are predicted; "counts": values are counts, whose means
            are predicted; "ordinal": classes have an order; "labels": values are 0 or 1, whether a row has each
            of several labels, of which the probabilities are predicted; "": classes, values or tokens as they are.
        levels: of the quantiles, rising, each between 0 and 1.

    Example:
        >>> Kind("regression", "quantiles", (0.1, 0.9)) == "regression"
        True
    """

    variant: Variant
    levels: tuple[float, ...]

    def __new__(cls, name: str, variant: Variant = "", levels: tuple[float, ...] = ()) -> Self:
        self = super().__new__(cls, name)
        self.variant, self.levels = variant, tuple(levels)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Kind, (str(self), self.variant, self.levels)

    @classmethod
    def of_target(cls, kind: str, entry: Mapping[str, Any]) -> Self:
        """The kind of a saved task; `entry`: what `preparation["target"]` holds."""
        return cls(kind, entry.get("variant", ""), tuple(entry.get("quantiles", ())))

    @property
    def words(self) -> str:
        """What is predicted, in words."""
        return {"": str(self), "ordinal": "ordered classes"}.get(self.variant, self.variant)

    @property
    def reported(self) -> tuple[str, ...]:
        """Which groups of metrics it reports, see `metrics.registry`."""
        plain = () if self.variant in ("quantiles", "labels") else (str(self),)
        return (*plain, self.variant) if self.variant else plain


def kind_of(kind: str) -> Kind:
    """The kind with its details; of plain text one without any."""
    return kind if isinstance(kind, Kind) else Kind(kind)
