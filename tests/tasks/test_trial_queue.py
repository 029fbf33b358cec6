"""The queue of a worker that trains many trials at once: which begin together, which join, which wait."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from automl.core.messages import Assign, Assignment, Event, Order, Ready, Reported, Shutdown, Verdicts
from automl.core.trial import Metric
from automl.errors import DataError, EnvironmentProblem
from automl.tasks.fusing import why_alone
from automl.tasks.recipe import Recipe
from automl.tasks.trial_queue import AT_FIRST, Running, TrialQueue
from automl.worker.link import Place
from automl.worker.worker import Worker

RECIPE = Recipe("mlp", "digits", 3, Metric("val_loss"))


@dataclass
class Session:
    recipe: Recipe = RECIPE

    def why_alone(self, config: dict[str, Any]) -> str:
        return why_alone(config, self.recipe.settings)


@dataclass
class Engine:
    """Trials of one width train together, four at most."""

    joins_subgroups: bool = True
    alone: str | None = None

    def signature(self, config: dict[str, Any]) -> str:
        return str(config["width"])

    def target_lanes(self, config: dict[str, Any]) -> int:
        return 4

    def runs_together(self, config: dict[str, Any]) -> bool:
        return "optimizer" not in config

    def reason_to_run_alone(self, configs: list[dict[str, Any]]) -> str | None:
        return self.alone


@dataclass
class Driver:
    """Hands out trials of these widths, as many as are asked for."""

    widths: list[int]
    sent: list[Event] = field(default_factory=list)
    given: int = 0

    def send(self, event: Event) -> None:
        self.sent.append(event)

    def receive(self) -> Order:
        last = self.sent[-1]
        if isinstance(last, Reported):
            return Verdicts({})
        assert isinstance(last, Ready)
        widths, self.widths = self.widths[: last.lanes], self.widths[last.lanes :]
        self.given += len(widths)
        first = self.given - len(widths)
        return (
            Assign(tuple(Assignment(first + k, {"width": w}) for k, w in enumerate(widths))) if widths else Shutdown()
        )

    @property
    def advice(self) -> list[str]:
        return [text for event in self.sent if isinstance(event, Reported) for text in event.advice]


def queue(widths: list[int], *, fuse: Any = "auto", settings: Any = None, **engine: Any) -> tuple[TrialQueue, Driver]:
    driver = Driver(widths)
    session = Session(replace(RECIPE, fuse=fuse, settings=settings or {}))
    made = Engine(**engine)
    return TrialQueue(session, Worker(Place(), driver), lambda config: made), driver  # type: ignore[arg-type, return-value]


def numbers(trials: list[Assignment]) -> list[int]:
    return [trial.number for trial in trials]


def test_an_idle_worker_begins_with_the_oldest_trials_kind() -> None:
    waiting, driver = queue([8, 16, 8, 8, 16, 8, 8, 8, 16])
    assert waiting.pull(None)
    assert cast(Ready, driver.sent[0]).lanes == AT_FIRST
    admission = waiting.admission(None)
    assert admission is not None
    assert (admission.together, admission.signature) == (True, "8")
    assert numbers(admission.trials) == [0, 2, 3, 5]  # no more than the engine has lanes for
    assert numbers(waiting.waiting) == [1, 4, 6, 7]


def test_free_lanes_are_filled_with_trials_that_fit() -> None:
    waiting, driver = queue([8, 16, 8, 8, 16, 8, 8, 8, 8, 8])
    waiting.pull(None)
    waiting.admission(None)
    running = Running({"width": 8}, "8", 2)
    joining = waiting.admission(running)
    assert joining is not None
    assert numbers(joining.trials) == [6, 7]
    assert waiting.pull(Running({"width": 8}, "8", 1))
    assert cast(Ready, driver.sent[-1]) == Ready(0, 1, busy=True, fits="8")  # 4 lanes, 1 runs, 2 wait here


def test_nothing_joins_a_trial_that_trains_alone() -> None:
    waiting, driver = queue([8] * 9)
    waiting.pull(None)
    alone = Running({"width": 8, "optimizer": "muon"}, "8", 1)
    asked = len(driver.sent)
    assert waiting.pull(alone)
    assert len(driver.sent) == asked
    assert waiting.admission(alone) is None


def test_a_reason_to_train_alone_is_told_once() -> None:
    waiting, driver = queue([8, 8, 8], alone="too large")
    waiting.pull(None)
    for number in (0, 1):
        admission = waiting.admission(None)
        assert admission is not None
        assert (numbers(admission.trials), admission.together) == ([number], False)
    assert driver.advice == ["too large"]


def test_a_trial_that_was_lost_with_others_trains_alone_and_first() -> None:
    waiting, driver = queue([8, 8])
    waiting.pull(None)
    waiting.put_first([Assignment(9, {"width": 8}, alone=True)])
    admission = waiting.admission(None)
    assert admission is not None
    assert (numbers(admission.trials), admission.together) == ([9], False)
    assert driver.advice == []


def test_require_makes_it_an_error() -> None:
    waiting, _ = queue([8], fuse="require", settings={"compile": "always"})
    waiting.put_first([Assignment(9, {"width": 8})])
    with pytest.raises(EnvironmentProblem, match="fuse: require, but compile: always"):
        waiting.admission(None)


def test_never_asks_for_one_trial_at_a_time() -> None:
    waiting, driver = queue([8, 8], fuse="never")
    waiting.pull(None)
    assert cast(Ready, driver.sent[0]).lanes == 1


def test_it_ends_when_the_driver_has_no_more() -> None:
    waiting, _ = queue([])
    assert not waiting.pull(None)


def test_data_that_cannot_be_prepared_so_fail_with_their_trial_alone() -> None:
    def engine_of(config: Mapping[str, Any]) -> Engine:
        if config.get("prepare_pca"):
            raise DataError("pca: there are 2 columns")
        return Engine()

    driver = Driver([8, 8])
    waiting = TrialQueue(Session(), Worker(Place(), driver), engine_of)  # type: ignore[arg-type]
    waiting.pull(None)
    waiting.put_first([Assignment(9, {"width": 8, "prepare_pca": 3})])
    first, second = waiting.admission(None), waiting.admission(None)
    assert first is not None
    assert second is not None
    assert (numbers(first.trials), first.together) == ([9], False)
    assert (numbers(second.trials), second.together) == ([0, 1], True)
