"""A study that looks like a real one, made by the real History and the real ASHA on invented curves."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from automl.core.history import History
from automl.core.messages import WorkerStatus
from automl.core.space import Choice, Float, Int, Space
from automl.core.stopper import Kind
from automl.core.trial import Failure, Metric, Plan, State
from automl.stopping.asha import Asha
from automl.study.reader import Readable

SPACE = Space.of(
    {
        "architecture": {"width": Int(16, 512, log=True), "act": Choice(("relu", "gelu", "silu"))},
        "regularization": {"drop": Float(0.0, 0.6)},
        "optimizer": {
            "optimizer": Choice(("sgd", "adamw")),
            "lr": Float(1e-4, 1.0, log=True),
            "momentum": Float(0.5, 0.99, when={"optimizer": ("sgd",)}),
        },
    }
)


@dataclass
class FakeStudy(Readable):
    """What the screens and the final block read of a study."""

    history: History
    name: str = "digits"
    path: Path | None = Path("studies/digits")
    elapsed_s: float = 0.0
    facts: dict = field(default_factory=lambda: {"strategy": {"name": "random"}, "stopper": {"name": "asha"}})
    notes: list[str] = field(default_factory=list)


def simulate(
    trials: int = 200,
    ended: int = 118,
    *,
    workers: int = 4,
    fail_every: int = 37,
    direction: str = "maximize",
    seed: int = 7,
    horizon: int = 27,
    on_end=lambda study, record: None,
) -> tuple[FakeStudy, list[WorkerStatus]]:
    """A study with `ended` ended trials and (unless all `trials` have ended) `workers` running ones."""
    metric = Metric("val_acc" if direction == "maximize" else "val_loss", direction)
    history = History(SPACE, seed=seed, metric=metric, plan=Plan(trials=trials, horizon=horizon, workers=workers))
    study = FakeStudy(history)
    rng, stopper, now = np.random.default_rng(seed), Asha(), 0.0

    def loss(config: dict, step: int) -> float:
        miss = (np.log10(config["lr"]) + 2.7) ** 2 / 6 + (np.log2(config["width"]) - 8) ** 2 / 90 + config["drop"] / 20
        value = 0.988 - 0.25 * miss - 0.35 * np.exp(-step / 4) + rng.normal(0, 0.001)
        return -max(value, 0.1) if direction == "maximize" else 1.1 - value

    def step(number: int) -> None:
        nonlocal now
        record = history.trials[number]
        at = record.step + 1
        now += 1.1 / workers
        study.elapsed_s = now
        if fail_every and number % fail_every == fail_every - 1 and at == 2:
            failure = Failure("oom", "CUDA out of memory\x1b[31m (width 512)", at, f"logs/{number:05d}.log")
            on_end(study, history.end(number, State.FAILED, failure=failure, at_s=now))
            return
        history.point(number, at, loss(record.config, at))
        if at == horizon:
            on_end(study, history.end(number, State.DONE, at_s=now))
            return
        verdict = stopper.verdict(history, number)
        if verdict.kind is Kind.STOP:
            on_end(study, history.end(number, State.STOPPED, reason=verdict.reason, at_s=now))

    while study.counts.ended < ended:
        while len(history.running) < workers and len(history) < trials:
            history.begin(SPACE.sample(history.rng()), at_s=now)
        for record in history.running:
            if study.counts.ended < ended:
                step(record.number)
    while len(history.running) < workers and len(history) < trials:
        history.begin(SPACE.sample(history.rng()), at_s=now)
    running = [t.number for t in history.running]
    return study, [WorkerStatus(k, f"gpu{k // 2}", (n,), "412 it/s") for k, n in enumerate(running)]
