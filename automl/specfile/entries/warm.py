"""Earlier studies: `warm: [studies/last_week, {study: studies/older, seeds: 1}]`."""

from typing import Any

from pydantic import Field

from automl.specfile.entries.basics import Strict, Word


def short(value: Any) -> Any:
    """`studies/a` as `{"study": "studies/a"}`."""
    return {"study": value} if isinstance(value, str) else value


class Warm(Strict):
    """An earlier study, whose best configs are tried first and whose rows are kept in the new study."""

    study: Word = Field(description="its folder, such as studies/last_week; relative to the specification's folder")
    seeds: int = Field(3, ge=0, le=6, description="number of its best configs to try first")
