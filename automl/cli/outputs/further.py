"""The documents of `--json` of all other commands: files, saved models, data, plugins; rules as in `documents`."""

from typing import Any

from typing_extensions import TypedDict

from automl.cli.outputs.documents import Schema


class OneFile(TypedDict):
    """`plot`, `report`: the file that was written."""

    schema: Schema
    file: str


class Compress(TypedDict):
    """`compress`."""

    schema: Schema
    path: str | None
    metric: str
    chosen: str | None
    front: list[str]
    reasons: dict[str, Any]
    variants: list[dict[str, Any]]
    test: Any
    vnni: Any


class Exported(TypedDict):
    """One file of `export`, and a note on it."""

    file: str
    note: str


class Export(TypedDict):
    """`export`."""

    schema: Schema
    files: list[Exported]


class Predict(TypedDict):
    """`predict`: the rows, or the file that has them."""

    schema: Schema
    file: str | None
    rows: list[dict[str, Any]]
    notes: list[str]


class Update(TypedDict):
    """`update`; `version` answers now, `promoted` is the new one, if there is one; a line for each with `--follow`."""

    schema: Schema
    digest: str
    file: str
    how: str
    parent: int
    rows: dict[str, Any] | None
    notes: list[str]
    tries: list[dict[str, Any]]
    refused: str | None
    promoted: int | None
    version: int
    again: bool


class Versions(TypedDict):
    """`versions`."""

    schema: Schema
    current: int | None
    versions: list[dict[str, Any]]


class Init(TypedDict):
    """`init`."""

    schema: Schema
    files: list[str]


class Data(TypedDict):
    """`data`: how the rows are understood."""

    schema: Schema
    source: str
    metric: str | None
    rows: dict[str, int]
    left_out_rows: int
    target: dict[str, Any] | None
    inputs: str
    columns: list[dict[str, Any]]
    used: int
    unused: int
    baselines: dict[str, float | None]
    guesses: dict[str, str]
    leaks: dict[str, Any]
    text: list[Any]
    doubts: list[Any]
    notes: list[str]


class MupCheck(TypedDict):
    """`mup-check`."""

    schema: Schema
    ok: bool
    parametrization: str
    widths: list[int]
    sizes: dict[str, list[float]]
    slopes: dict[str, float]
    rates: dict[str, Any] | None


class Option(TypedDict):
    """An option of a plugin."""

    name: str
    type: str
    default: Any


class Plugin(TypedDict):
    """A plugin; `error`: why it cannot be loaded."""

    name: str
    summary: str
    options: list[Option]
    error: str | None


class Strategies(TypedDict):
    """`strategies`."""

    schema: Schema
    strategies: list[Plugin]
    stoppers: list[Plugin]


class Space(TypedDict):
    """`spaces NAME`: its YAML."""

    schema: Schema
    name: str
    text: str


class Listed(TypedDict):
    """A ready-made space; one that is not complete is a group for `use:`."""

    name: str
    complete: bool
    summary: str


class Spaces(TypedDict):
    """`spaces`."""

    schema: Schema
    spaces: list[Listed]


class Cluster(TypedDict):
    """`cluster slurm`, `ssh`, `k8s`."""

    schema: Schema
    file: str
    token: str
    started: bool
    said: str
