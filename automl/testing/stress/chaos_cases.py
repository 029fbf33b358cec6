"""The searches that `chaos` kills again and again."""

import os
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from automl.api import doors, from_spec
from automl.api.options import SearchOptions
from automl.core import plugins
from automl.core.objectives.goals import MetricSpec
from automl.executors import forkserver
from automl.tasks.builtin import BuiltinTask
from automl.worker.trial import Trial

STEPS = 8
EVERY = 2  # steps between two checkpoints


def train(trial: Trial) -> None:
    """Eight steps of a made-up loss that depends on all steps before; every step done is noted in `steps`."""
    state = trial.load() or {"sum": 0.0}
    assert trial.folder is not None
    done = os.open(trial.folder.parent.parent / "steps", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        for step in trial.steps(STEPS):
            rng = random.Random(trial.seed * 1000 + step)
            state["sum"] = state["sum"] * 0.7 + (trial["x"] - 0.3) ** 2 + 0.05 * rng.random() + 0.1 * trial["y"] / step
            time.sleep(0.002)
            os.write(done, b".")
            trial.report(val_loss=state["sum"], other=rng.random())
            if step % EVERY == 0:
                trial.save(state)
    except BaseException:
        if trial.paused:
            trial.save(state)
        raise
    finally:
        os.close(done)


@dataclass(frozen=True)
class Case:
    """One search. `deterministic` is needed where several workers meet a strategy or stopper that learns."""

    name: str
    strategy: str | Mapping[str, Any]
    stopper: str | Mapping[str, Any] = "none"
    workers: int = 1
    deterministic: bool = False
    executor: str = "local"
    trials: int = 24
    metric: MetricSpec = "val_loss"

    @property
    def steps(self) -> int:
        """Steps of a full trial."""
        return STEPS

    @property
    def fused(self) -> bool:
        """Whether trials train as lanes of one batched model, in workers that are forked from the fork server."""
        return False

    @property
    def exact(self) -> bool:
        """Whether the leaderboard is promised to be that of the undisturbed search, notes included."""
        return True

    def search(self, path: Path) -> None:
        """Begin or go on with the search at `path`, to its end."""
        from automl.core.space import Choice, Float

        doors.search(
            train,
            space={"x": Float(0, 1), "y": Float(1e-3, 1, log=True), "z": Choice(("a", "b", "c"))},
            metric=self.metric,
            trials=self.trials,
            horizon=STEPS,
            strategy=self.strategy,
            stopper=self.stopper,
            workers=self.workers,
            seed=7,
            executor=self.executor,
            deterministic=self.deterministic,
            retries=1000,
            path=path,
        )


@dataclass(frozen=True)
class FusedCase(Case):
    """A described search: its trials train side by side in one worker or several, with a checkpoint every 0.1 s.

    After a kill other trials train side by side. So where a stopper compares them, the same leaderboard is promised
    with `deterministic` only; without it, each trial's config and curve, up to where it was stopped.
    """

    @property
    def steps(self) -> int:
        return EPOCHS

    @property
    def fused(self) -> bool:
        return True

    @property
    def exact(self) -> bool:
        return self.deterministic or self.stopper == "none"

    def search(self, path: Path) -> None:
        spec = path.with_suffix(".yaml")
        if not spec.exists():
            spec.write_text(FUSED)
        options = SearchOptions(
            trials=self.trials,
            strategy=self.strategy,
            stopper=self.stopper,
            workers=self.workers,
            executor=self.executor,
            deterministic=self.deterministic,
            path=path,
        )
        forkserver.begin()
        search = from_spec.prepare_file(spec, options)
        assert isinstance(search.task, BuiltinTask)
        replace(search, task=replace(search.task, checkpoint_s=0.1)).run()


EPOCHS = 80
FUSED = f"""
model: mlp
data: digits
metric: val_loss
epochs: {EPOCHS}
space:
  depth: 1
  width: 16
  dropout: {{float: [0.05, 0.4]}}
  optimizer: adamw
  lr: {{float: [1e-3, 2e-2], log: true}}
  batch_size: 64
fuse: require
retries: 100
seed: 7
finalists: none
"""

TWO = ("val_loss", {"name": "other", "direction": "minimize"}, {"name": "val_loss", "at_most": 1.0})

CASES = (
    Case("random, 2 workers", "random", workers=2),
    Case("random, inline", "random", executor="inline"),
    Case("tpe, inline", {"name": "tpe"}, executor="inline"),
    Case("tpe, 1 worker", {"name": "tpe"}),
    Case("genetic, inline", {"name": "genetic"}, executor="inline"),
    Case("genetic, 2 workers, deterministic", {"name": "genetic"}, workers=2, deterministic=True),
    Case("random + asha, inline", "random", {"name": "asha", "eta": 2}, executor="inline", trials=40),
    Case("random + asha, 2 workers, deterministic", "random", {"name": "asha", "eta": 2}, 2, True, trials=40),
    Case("random + asha by promotion, inline", "random", {"name": "asha", "eta": 2, "mode": "promote"}, 1, False,
         "inline", 40),
    Case("tpe + halving, inline", {"name": "tpe"}, "halving", executor="inline", trials=40),
    Case("tpe + asha, two objectives and a limit, inline", {"name": "tpe"}, {"name": "asha", "eta": 2}, 1, False,
         "inline", 40, TWO),
    FusedCase("random, fused, 1 worker", "random"),
    FusedCase("random + asha, fused, 1 worker", "random", {"name": "asha", "eta": 2}),
    FusedCase("random + halving, fused, 1 worker", "random", "halving"),
    FusedCase("random + asha, fused, 1 worker, deterministic", "random", {"name": "asha", "eta": 2}, 1, True),
    FusedCase("tpe + halving, fused, 1 worker, deterministic", {"name": "tpe"}, "halving", 1, True),
    FusedCase("random, fused, 2 workers", "random", workers=2),
)  # fmt: skip


def installed(cases: Sequence[Case]) -> list[Case]:
    """Those cases whose strategy is installed."""
    known = plugins.names("strategies")
    return [c for c in cases if (c.strategy if isinstance(c.strategy, str) else c.strategy["name"]) in known]
