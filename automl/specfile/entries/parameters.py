"""The three kinds of parameters in `space`."""

from typing import Any

from pydantic import Field

from automl.specfile.entries.basics import Item, Strict


class FloatParameter(Strict):
    """A real number between two ends."""

    range: list[float] = Field(alias="float", min_length=2, max_length=2, description="[low, high]")
    log: bool = Field(False, description="search on a logarithmic scale; needs low > 0")
    step: float | None = Field(None, gt=0, description="only low + k * step")
    default: float | None = Field(None, description="tried first in a search")
    when: dict[str, Any] | None = Field(
        None, description="{parameter: value or list}: a condition; only where it holds is this part of a config"
    )


class IntParameter(Strict):
    """A whole number between two ends, both included."""

    range: list[int] = Field(alias="int", min_length=2, max_length=2, description="[low, high]")
    log: bool = Field(False, description="search on a logarithmic scale; needs low > 0")
    step: int | None = Field(None, ge=1, description="only low + k * step")
    default: int | None = Field(None, description="tried first in a search")
    when: dict[str, Any] | None = Field(
        None, description="{parameter: value or list}: a condition; only where it holds is this part of a config"
    )


class ChoiceParameter(Strict):
    """One of several values; `ordered` if neighbouring values behave similarly."""

    choice: list[Item] = Field(min_length=1, description="the values: text, numbers, true, false, null, lists of these")
    ordered: bool = Field(False, description="neighbouring values behave similarly, as in [32, 64, 128]")
    tuples: bool = Field(False, description="values that are lists reach the program as tuples")
    default: Item = Field(None, description="tried first in a search")
    when: dict[str, Any] | None = Field(
        None, description="{parameter: value or list}: a condition; only where it holds is this part of a config"
    )


PARAMETERS: dict[str, type[Strict]] = {"float": FloatParameter, "int": IntParameter, "choice": ChoiceParameter}
