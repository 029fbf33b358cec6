"""Large studies on disk, written in a second, as a search of that many trials would have left them."""

import random
from pathlib import Path

from automl.core.parameters import Float, Int
from automl.core.space import Config
from automl.core.trial import Failure, State
from automl.study.study import Study

SPACE = {
    "lr": Float(1e-4, 1, log=True),
    "width": Int(8, 512, log=True),
    "optimizer": ["sgd", "adam"],
    "momentum": Float(0, 0.99, when={"optimizer": "sgd"}),
}


def large(path: Path, trials: int, steps: int = 5, *, running: int = 0) -> Study:
    """An open study with `trials` ended trials: a sixth ran `steps` steps, a few failed, the others were stopped early.

    `running`: how many more have begun.
    """
    study = Study(SPACE, metric="val_loss", strategy="random", trials=trials + running, horizon=steps, path=path)
    rng, ledger, at_s = random.Random(1), study.ledger, 0.0
    ledger.commit = lambda: None  # type: ignore[method-assign]
    for number in range(trials + running):
        sgd = number % 2 == 0
        lr = 10 ** rng.uniform(-4, 0)
        config: Config = {"lr": lr, "width": rng.randint(8, 512), "optimizer": "sgd" if sgd else "adam"}
        ledger.begin(number, {**config, **({"momentum": 0.9} if sgd else {})}, "", at_s)
        ledger.attempt(number, 1, at_s)
        kind, last = number % 60, steps if number % 6 == 0 else rng.randint(1, steps - 1)
        for step in range(1, last + 1):
            at_s += 0.01
            value = (1 + abs(lr - 0.01)) * (1 + rng.random() / 10) / step
            ledger.report(number, step, 1, value, {"val_loss": value, "acc": 0.5}, at_s, steps)
        if number >= trials:
            continue
        if kind == 1:
            ledger.end(number, State.FAILED, "", Failure("oom", "CUDA out of memory", last), at_s)
        else:
            ledger.end(number, State.DONE if last == steps else State.STOPPED, "", None, at_s)
    del ledger.commit
    study.close()
    return Study(SPACE, metric="val_loss", strategy="random", trials=trials + running + 100, horizon=steps, path=path)
