"""Earlier studies: `warm: [studies/last_week, {study: studies/older, seeds: 1}, {weights: studies/older}]`."""

from typing import Any

from pydantic import Field, model_validator

from automl.specfile.entries.basics import Strict, Word, wrong


class Warm(Strict):
    """An earlier study: its best configs are tried first, and its rows are kept; or the weights of its model."""

    study: Word | None = Field(
        None, description="its folder, such as studies/last_week; relative to the specification's folder"
    )
    seeds: int = Field(3, ge=0, le=6, description="number of its best configs to try first")
    weights: Word | None = Field(
        None, description="in the place of study: a study or saved model with whose weights every trial begins"
    )
    trial: int | None = Field(None, ge=0, description="with weights: of the study, the trial whose model is meant")

    @model_validator(mode="after")
    def _one_of_two(self) -> "Warm":
        if (self.study is None) == (self.weights is None):
            raise wrong("needs either study or weights, each with the folder of an earlier study")
        if self.trial is not None and self.weights is None:
            raise wrong("trial says whose weights are meant; give it with weights")
        if "seeds" in self.model_fields_set and self.study is None:
            raise wrong("seeds are configs to try first; give them with study")
        return self


def listed(value: Any) -> Any:
    """One earlier study, or a list of them, as a list; `studies/a` as `{"study": "studies/a"}`."""
    given = value if isinstance(value, list) else [value]
    if sum(isinstance(one, dict) and "weights" in one for one in given) > 1:
        raise wrong("weights are given twice; every trial begins with those of one model")
    return [{"study": one} if isinstance(one, str) else one for one in given]
