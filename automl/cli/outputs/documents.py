"""The documents of `--json` about searches and studies, as types.

Names are promised; further ones may be added without another schema number.
"""

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict  # that of typing has to be of Python 3.12 for pydantic

Schema = Literal[1]
Direction = Literal["minimize", "maximize"]
State = Literal["done", "stopped", "running", "paused", "failed"]
Config = dict[str, Any]
Interval = list[float] | None


class Told(TypedDict):
    """What went wrong: a stable code (docs/cli.md lists them), a message for people, and the exit code."""

    code: str
    message: str
    exit_code: int


class Error(TypedDict):
    """What every command prints where it fails."""

    schema: Schema
    ok: Literal[False]
    error: Told


class Cost(TypedDict):
    """What training has taken; `money`: by the price of the specification. null: not known."""

    seconds: float
    steps: int
    peak_gib: float | None
    joules: float | None
    money: float | None


class Best(TypedDict):
    """The winner."""

    trial: int
    value: float | None
    values: NotRequired[dict[str, float | None]]
    step: int
    config: Config


class Counts(TypedDict):
    """How many trials are in each state; `begun`: all."""

    done: int
    stopped: int
    failed: int
    paused: int
    unfinished: int
    begun: int


class Finalist(TypedDict):
    """One of the best trials, trained again on fresh seeds."""

    trial: int
    mean: float | None
    interval: Interval
    seeds: int
    found: NotRequired[float | None]
    front: NotRequired[int | None]
    objectives: NotRequired[dict[str, Any]]


class Test(TypedDict):
    """The winner on the test rows."""

    metric: str
    value: float | None
    interval: Interval
    rows: int | None
    looks: int


class Result(TypedDict):
    """`search`, `resume`, `fit`: the result of a study."""

    schema: Schema
    study: str
    path: str | None
    metric: str
    direction: Direction
    best: Best | None
    counts: Counts
    epochs: int
    seconds: float
    data: dict[str, Any] | None
    cost: Cost | None
    baseline: dict[str, Any] | None
    finalists: list[Finalist] | None
    test: Test | None
    optimism: Any
    big: NotRequired[dict[str, Any]]
    tied: NotRequired[Any]
    default: NotRequired[Any]
    first_suggested: NotRequired[Any]
    ensemble: NotRequired[Any]
    pack: NotRequired[bool]


class Status(Result):
    """`status`: the same as far as it is, with what the search does."""

    state: str
    pid: int | None
    budget: dict[str, float | None]


class Resolved(TypedDict):
    """A resolved specification."""

    study: str
    metric: dict[str, str]
    parameters: list[str]
    configs: float | None
    strategy: dict[str, Any]
    stopper: dict[str, Any]
    budget: dict[str, float | None]
    epochs: int | None
    steps: NotRequired[dict[str, Any]]
    seed: int


class Plan(Resolved):
    """`search --dry-run`: the plan, and how training one batch went; null: the task is your own code."""

    schema: Schema
    batch: dict[str, Any] | None


class Valid(Resolved):
    """`validate` of a specification without mistakes; `ok` is false where `--strict` and warnings are given."""

    schema: Schema
    ok: bool
    errors: list[str]
    warnings: list[str]


class Invalid(TypedDict):
    """`validate` of one with mistakes: a line each, beginning with its place."""

    schema: Schema
    ok: Literal[False]
    errors: list[str]
    warnings: list[str]


class Row(TypedDict):
    """A trial on the leaderboard."""

    rank: int | None
    trial: int
    state: State
    value: float | None
    step: int
    config: Config
    seconds: float | None
    best: bool
    reason: str
    front: NotRequired[int | None]
    values: NotRequired[dict[str, float | None]]


class Top(TypedDict):
    """`top`: the leaderboard; `trials`: how many there are in all."""

    schema: Schema
    metric: str
    direction: Direction
    trials: int
    rows: list[Row]


class Show(Row):
    """`show`: one trial."""

    schema: Schema
    study: str
    metric: str
    attempt: int
    origin: str | None
    failure: dict[str, Any] | None
    reports: list[dict[str, Any]]
    attempts: list[dict[str, Any]]
    cost: Cost | None
    schedule: NotRequired[list[dict[str, Any]]]


class Compared(TypedDict):
    """One study in a comparison; `at`: its best value after each number of epochs."""

    study: str
    trials: int
    epochs: int
    seconds: float
    at: list[float | None]
    best: dict[str, Any] | None


class Compare(TypedDict):
    """`compare`."""

    schema: Schema
    metric: str
    direction: Direction
    unit: str
    epochs: list[int]
    studies: list[Compared]
    sooner: list[Any]


class Started(TypedDict):
    """`start`."""

    schema: Schema
    study: str
    path: str
    pid: int
    log: str


class Stopped(TypedDict):
    """`stop`; `stopped` is false where no process drove it."""

    schema: Schema
    study: str
    stopped: bool
    pid: int | None


class Watched(TypedDict):
    """`watch --web`."""

    schema: Schema
    study: str
    address: str
    port: int


class Edited(TypedDict):
    """`edit`: what was done, a sentence each."""

    schema: Schema
    ok: Literal[True]
    done: list[str]


class Side(TypedDict):
    """One side of a judgement."""

    name: str
    mean: float | None
    values: list[float | None]


class Judge(TypedDict):
    """`judge`: `better` is null where so many seeds do not decide it."""

    schema: Schema
    better: bool | None
    p: float | None
    delta: float | None
    interval: Interval
    seeds: int
    reason: str
    metric: str
    direction: Direction
    baseline: Side
    candidate: Side
    level: float
    campaign: dict[str, Any]
    path: str
