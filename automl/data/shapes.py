"""What a model is told about its data: how many values go in and come out, and how they are laid out. No torch here."""

from math import prod
from typing import Any, Literal, Self

InputKind = Literal["float", "tokens", "table"]
OutputKind = Literal["classes", "values", "tokens"]


class Inputs(int):
    """The number of values in one sample, so that `nn.Linear(inputs, 64)` works, with its layout as attributes.

    `shape`: one sample without the batch axis: `(features,)`, `(channels, height, width)`, `(time,)` of tokens,
    `(time, features)`. `kind`: "float", "tokens" (integer codes below `vocabulary`) or "table". `cardinalities`: one
    entry per categorical column that is to be embedded; the codes are the last columns of x. `continues`: of a series
    `(time, features)`, for each output unit the column whose next values it is, in the same unit; empty otherwise.
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
        return {
            "shape": list(self.shape),
            "kind": self.kind,
            "vocabulary": self.vocabulary,
            "cardinalities": list(self.cardinalities),
            "continues": list(self.continues),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        codes, continues = tuple(data["cardinalities"]), tuple(data.get("continues", ()))
        return cls(tuple(data["shape"]), data["kind"], data["vocabulary"], codes, continues)


class Outputs(int):
    """The number of output units of a model; `kind`: "classes" (logits), "values" or "tokens" (logits per position)."""

    kind: OutputKind

    def __new__(cls, units: int, kind: OutputKind = "classes") -> Self:
        self = super().__new__(cls, units)
        self.kind = kind
        return self

    def __repr__(self) -> str:
        return f"Outputs({int(self)}, {self.kind!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Outputs, (int(self), self.kind)

    def to_json(self) -> dict[str, Any]:
        return {"units": int(self), "kind": self.kind}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        return cls(data["units"], data["kind"])
