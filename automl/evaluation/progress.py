"""How the training of the finalists is shown: on the search's own screen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from automl.core.messages import WorkerStatus
from automl.core.trial import TrialRecord, schedule_of
from automl.driver.screen import Screen
from automl.evaluation.candidates import FinalistOptions
from automl.evaluation.schedules import key
from automl.study.reader import Readable, Stage
from automl.study.study import Study


@dataclass
class FinalistScreen:
    """The screen of a study that trains finalists: passes its progress on to the screen of the search.

    Counts and the time to the end are those of the finalists (`Readable.stage`). Workers are shown with the numbers
    that their configs have in the search.

    Args:
        screen: the search's.
        study: the search.
        numbers: trial number in the search, by `schedules.key` of what is trained.
        missing: how many runs are still to come.
        options: announced when it begins; None: nothing is announced.
    """

    screen: Screen
    study: Study
    numbers: Mapping[str, int]
    missing: int = 0
    options: FinalistOptions | None = None

    def begin(self, study: Readable) -> None:
        """Say what is going to be trained."""
        finalists = len(set(self.numbers.values()))
        total = finalists * (self.options.seeds if self.options else 1)
        name = "finalists" if self.options else "refit"
        self.study.stage = Stage(
            name, study, total, lambda record: self.numbers[key(schedule_of(study.history.trials, record.number))]
        )
        if self.options is None:
            return
        at = "".join(f" at {name} {value}" for name, value in self.options.target_fidelity.items())
        many, count = finalists, self.options.seeds
        configs = f"the best {many} configs are" if many > 1 else "the best config is"
        self.screen.note(
            f"finalists: {configs} trained again{at} on {count} fresh seed{'s' * (count > 1)}"
            f" ({self.missing} run{'s' * (self.missing > 1)}); then the winner is chosen"
        )

    def ended(self, study: Readable, record: TrialRecord) -> None:
        """Nothing: the search's screen counts its own trials."""

    def tick(self, study: Readable, workers: Sequence[WorkerStatus]) -> None:
        """Show the workers at their runs."""
        self.screen.tick(self.study, workers)

    def note(self, text: str) -> None:
        """Pass a message on; trial numbers in it are those of the finalists' study."""
        self.screen.note(f"finalists: {text}")

    def finish(self, study: Readable, outcome: str) -> None:
        """The stage is over; the search's screen finishes after the final evaluation."""
        self.study.stage = None
