"""What a model needs to know of its data: how many values go in and come out, and their layout. No torch here."""

from math import prod
from typing import Any, Literal, Self

InputKind = Literal["float", "tokens", "table"]
OutputKind = Literal["classes", "values", "tokens"]


class Inputs(int):
    """The number of values in one sample, so that `nn.Linear(inputs, 64)` works, with its layout as attributes.

    Attributes:
        shape: one sample without the batch axis: `(features,)`, `(channels, height, width)`, `(time,)` for tokens,
            `(time, features)` for series.
        kind: "float", "tokens" (integer codes below `vocabulary`) or "table".
        vocabulary: number of different tokens; None for other kinds.
        cardinalities: number of codes of each categorical column that is to be embedded; these are the last columns.
        continues: for series, the input column that each output unit continues, in the same unit; empty otherwise.

    Example:
        >>> inputs = Inputs((3, 8, 8))
        >>> int(inputs), inputs.shape
        (192, (3, 8, 8))
    """

    shape: tuple[int, ...]
    kind: InputKind
    vocabulary: int | None
    cardinalities: tuple[int, ...]
    continues: tuple[int, ...]

    def __new__(
        cls,
        shape: int | tuple[int, ...],
        kind: InputKind = "float",
        vocabulary: int | None = None,
        cardinalities: tuple[int, ...] = (),
        continues: tuple[int, ...] = (),
    ) -> Self:
        layout = (shape,) if isinstance(shape, int) else tuple(int(n) for n in shape)
        self = super().__new__(cls, prod(layout))
        self.shape, self.kind = layout, kind
        self.vocabulary, self.cardinalities = vocabulary, tuple(int(n) for n in cardinalities)
        self.continues = tuple(int(n) for n in continues)
        return self

    def __repr__(self) -> str:
        return f"Inputs({self.shape}, {self.kind!r}, vocabulary={self.vocabulary}, cardinalities={self.cardinalities})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Inputs, (self.shape, self.kind, self.vocabulary, self.cardinalities, self.continues)

    def to_json(self) -> dict[str, Any]:
        """As JSON-able values; `from_json` reads them."""
        return {
            "shape": list(self.shape),
            "kind": self.kind,
            "vocabulary": self.vocabulary,
            "cardinalities": list(self.cardinalities),
            "continues": list(self.continues),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The layout that `to_json` wrote; `continues` may be absent."""
        codes, continues = tuple(data["cardinalities"]), tuple(data.get("continues", ()))
        return cls(tuple(data["shape"]), data["kind"], data["vocabulary"], codes, continues)


class Outputs(int):
    """The number of output units of a model.

    Attributes:
        kind: "classes" (logits), "values", or "tokens" (logits for each position).
        curve: of values that a model learns on a curve (see `automl.data.curves`); None: as they are.
        link: what is made of a network's outputs before they are its answer, see `automl.models.answers.links`; None:
            nothing.
    """

    kind: OutputKind
    curve: dict[str, Any] | None
    link: dict[str, Any] | None

    def __new__(
        cls,
        units: int,
        kind: OutputKind = "classes",
        curve: dict[str, Any] | None = None,
        link: dict[str, Any] | None = None,
    ) -> Self:
        self = super().__new__(cls, units)
        self.kind, self.curve, self.link = kind, curve, link
        return self

    def __repr__(self) -> str:
        return f"Outputs({int(self)}, {self.kind!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Outputs, (int(self), self.kind, self.curve, self.link)

    def to_json(self) -> dict[str, Any]:
        """As JSON-able values; `from_json` reads them."""
        more = {name: value for name, value in (("curve", self.curve), ("link", self.link)) if value}
        return {"units": int(self), "kind": self.kind, **more}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """What `to_json` wrote."""
        return cls(data["units"], data["kind"], data.get("curve"), data.get("link"))
