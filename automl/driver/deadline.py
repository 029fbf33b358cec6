"""What the driver does when the time of a search is used up: trials that run may report once more, then they end."""

from dataclasses import dataclass

from automl.driver.executor import Executor
from automl.driver.screen import Screen
from automl.driver.worker_table import WorkerTable
from automl.study.study import Study


@dataclass
class Deadline:
    """Watches the time budget of a search.

    Attributes:
        study, executor, workers, screen: those of the driver.
        announced: whether the user has been told that the time is used up.
        cut: whether trials were ended in the middle of a step, so that their workers need not be waited for.
    """

    study: Study
    executor: Executor
    workers: WorkerTable
    screen: Screen
    announced: bool = False
    cut: bool = False

    def check(self) -> None:
        """Tell the user that the time is used up; after the grace time, end what still runs."""
        budget = self.study.budget
        if not budget.no_time_left or not self.workers.any_training:
            return
        if not self.announced:
            self.announced = True
            running = sum(len(state.trials) for state in self.workers)
            which = "the trial that runs counts" if running == 1 else f"each of the {running} trials that run counts"
            grace_s = max(budget.until_overdue_s, 0.0)
            self.screen.note(f"the time is used up: {which} if it reports within {grace_s:.0f} s")
        if budget.overdue:
            self._end_all()

    def _end_all(self) -> None:
        """End all trials that run; the executor kills their workers when the search ends."""
        self.cut = True
        for worker, state in enumerate(self.workers):
            for number, assignment in state.trials.items():
                self.study.ledger.attempt_ended(number, assignment.attempt, "interrupted", {"reason": "time used up"})
                self.study.withdraw(number)
            if state.trials:
                self.workers.replaced(worker).given_up = True
