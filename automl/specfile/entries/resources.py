"""The entry `resources` of a specification."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from automl.specfile.entries.basics import Strict


class Resources(Strict):
    """The devices that one trial needs."""

    gpus: Annotated[
        float | None,
        Field(ge=0, le=1024),
        BeforeValidator(lambda given: None if given == "auto" else given),  # as where nothing is said
        WithJsonSchema(
            {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1024}, {"enum": ["auto"]}, {"type": "null"}]}
        ),
    ] = Field(
        None, description="number of GPUs; 0.5: two trials share one; auto: one, shared by as many as fit and pay off"
    )
    cpus: float | None = Field(None, gt=0, le=4096, description="number of CPU cores")
    devices: Annotated[list[Literal["cpu"]], Field(min_length=1, max_length=64)] | None = Field(
        None, description="[cpu, cpu]: a trial on two processes of the CPU, to try what several GPUs will do"
    )
