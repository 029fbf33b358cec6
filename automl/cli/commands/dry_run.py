"""`automl search --dry-run`: everything up to the first batch, and nothing after it."""

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automl.data.prepared import Part
    from automl.specfile import Spec


@dataclass(frozen=True, slots=True)
class Tried:
    """What one batch of the first config showed."""

    rows: tuple[int, int, int]  # train, val, test
    parameters: int
    batch: int
    seconds: float
    metrics: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        rows = dict(zip(("train", "val", "test"), self.rows, strict=True))
        return {"rows": rows, "parameters": self.parameters, "batch": self.batch, "seconds": round(self.seconds, 4)}


def one_batch(read: "Spec") -> Tried | None:
    """Loads the data, builds the model of the first config and trains one batch of it, on the CPU.

    None where the spec names a training function or a command: those are not called.

    Raises:
        AutoMLError: data, model or config are wrong, or the study's metric is not measured.
    """
    import numpy as np

    from automl.core import seeds
    from automl.errors import TaskError
    from automl.tasks.described import DescribedTask
    from automl.tasks.from_spec import task_of

    task = task_of(read)
    if not isinstance(task, DescribedTask):
        return None
    from automl.training import Solo

    session = task.open(("cpu",))
    config = read.space.default() or read.space.sample(np.random.default_rng(seeds.derive(read.seed, "dry run")))
    prepared = session.data_of(config)
    size = int(str(config.get("batch_size", 64)))
    small = replace(prepared, train=_first(prepared.train, size), val=_first(prepared.val, size))
    try:
        solo = Solo(session.build, small, config, 1, read.seed, "cpu")
        start = time.perf_counter()
        metrics = solo.epoch()
    except (RuntimeError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise TaskError(
            f"the model cannot be built or trained with {config}: {type(error).__name__}: {error}"
        ) from error
    rows = (len(prepared.train), len(prepared.val), len(prepared.test))
    parameters = sum(w.numel() for w in solo.weights().values())
    return Tried(rows, parameters, len(small.train), time.perf_counter() - start, metrics)


def _first(part: "Part", n: int) -> "Part":
    return type(part)(part.x[:n], part.y[:n], None if part.weight is None else part.weight[:n])
