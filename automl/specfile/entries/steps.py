"""Steps that are no epochs: `steps: {samples: 1_000_000, number: 50}`."""

import re
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from automl.specfile.entries.basics import Strict, wrong

UNITS = ("samples", "batches", "tokens")
_SIZES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
_COUNT = re.compile(r"(\d+(?:_\d+)*(?:\.\d+)?)([kMG]?)")


def count(value: Any) -> Any:
    """`1000000`, `1_000_000`, `1e6` and `1M` as one number."""
    found = value
    if isinstance(value, str) and len(value) < 30 and (parts := _COUNT.fullmatch(value.strip())):
        found = float(parts[1].replace("_", "")) * _SIZES[parts[2]]
    if isinstance(found, float) and found == found // 1:
        found = int(found)
    if not isinstance(found, int) or isinstance(found, bool) or not 1 <= found <= 10**15:
        raise wrong(f"needs a whole number of at least 1, such as 50000, 1_000_000 or 1M, got {value!r}")
    return found


Count = Annotated[
    int, BeforeValidator(count), WithJsonSchema({"type": ["integer", "string"], "examples": [50000, "1M"]})
]


class Steps(Strict):
    """The `steps:` entry, used instead of `epochs`: the data between two evaluations, and how many evaluations."""

    samples: Count | None = Field(None, description="training samples, rounded to full batches; 1_000_000 or 1M")
    batches: Count | None = Field(None, description="batches, of whatever size")
    tokens: Count | None = Field(None, description="tokens, for language models")
    number: Annotated[int, Field(ge=1, le=10**9)] = Field(description="steps of a full trial")
    val_rows: Count | None = Field(
        None, description="validation rows that a step is measured on (default: 100,000, or as many as take 64 MiB)"
    )

    @model_validator(mode="before")
    @classmethod
    def _no_seconds(cls, value: Any) -> Any:
        if isinstance(value, dict) and "seconds" in value:
            rule = "a step of so many seconds would train more on a faster machine, and a resumed trial would differ"
            raise wrong(f"{rule}; give samples")
        return value

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name in UNITS if getattr(self, name) is not None]
        if len(given) != 1:
            got = " and ".join(given) or "none"
            raise wrong(f"needs exactly one of {', '.join(UNITS)}, got {got}")
        return self
