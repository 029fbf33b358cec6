"""Does the driver grow: python benchmarks/soak.py [trials]

A search of so many trials that train nothing, in worker processes. Prints the driver's resident memory, open files
and zombies after a tenth of it and at its end.
"""

import sys
import tempfile
import time
from pathlib import Path

import psutil

from automl.api import doors
from automl.core.space import Float
from automl.core.trial import TrialRecord
from automl.driver.screen import NullScreen
from automl.study.study import Study
from automl.worker.trial import Trial


def train(trial: Trial) -> None:
    for step in trial.steps(3):
        trial.report(loss=trial["x"] / step)


class Meter(NullScreen):
    """Looks at this process whenever a thousandth of the trials has ended."""

    def __init__(self, trials: int) -> None:
        self.trials, self.ended_, self.seen = trials, 0, dict[int, tuple[float, int, int]]()

    def ended(self, study: Study, record: TrialRecord) -> None:
        self.ended_ += 1
        if self.ended_ % (self.trials // 10) == 0:
            me = psutil.Process()
            zombies = sum(child.status() == psutil.STATUS_ZOMBIE for child in me.children())
            self.seen[self.ended_] = (me.memory_info().rss / 2**20, me.num_fds(), zombies)


def main() -> None:
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    meter = Meter(trials)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        study = doors.search(
            train, space={"x": Float(0, 1)}, metric="loss", trials=trials, path=Path(folder) / "s", workers=2,
            screen=meter, finalists=None,
        )  # fmt: skip
        assert study.counts.done == trials
    for ended, (rss, files, zombies) in meter.seen.items():
        print(f"{ended:7d} trials: {rss:6.1f} MiB, {files} open files, {zombies} zombies")
    first, last = (list(meter.seen.values())[k] for k in (0, -1))
    print(f"grew {last[0] - first[0]:.1f} MiB from the first tenth to the end, {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
