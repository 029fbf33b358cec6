"""A search that saves a checkpoint of every trial after every epoch: `python saving_search.py FOLDER`."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from automl import specfile
from automl.core.trial import TrialRecord
from automl.driver.driver import Driver
from automl.executors.inline import Inline
from automl.study.study import Study
from automl.study.winner import keep_best
from automl.tasks.builtin import BuiltinTask
from automl.tasks.from_spec import task_of
from tests.support.patience import PATIENCE_S


def saving(folder: Path, keep_files: Callable[[Study, TrialRecord], None] = keep_best) -> Study:
    """Search `folder/space.yaml` (random, a number of trials) in `folder/saving`, or go on there."""
    read = specfile.read(folder / "space.yaml", overrides={"fuse": "require"})
    task = task_of(read)
    assert isinstance(task, BuiltinTask)
    plan, path = read.plan, folder / "saving"
    with Study(
        read.space, metric=read.metric, strategy="random", trials=plan.trials, seed=read.seed, path=path
    ) as study:
        Driver(study, replace(task, checkpoint_s=0.0), Inline(), 1, keep_files=keep_files).run()
    return study


def killed(folder: Path, reached: Callable[[], bool], later_s: float = 0.0) -> bool:
    """Begin or resume `saving` in a process and kill it `later_s` seconds after `reached()`; False: it ended before."""
    with subprocess.Popen([sys.executable, __file__, str(folder)]) as process:
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not reached() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            time.sleep(later_s)
        finally:
            process.kill()
    return process.returncode < 0


if __name__ == "__main__":
    saving(Path(sys.argv[1]))
