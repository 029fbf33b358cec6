"""The laws every stopper keeps, as tests. Subclass `StopperContract`, give a `stopper`, run pytest."""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest

from automl.core.history import History
from automl.core.space import Config, Float, Space
from automl.core.stopper import Kind, Stopper, Verdict
from automl.core.strategy import Strategy
from automl.core.trial import Metric, Plan, State
from automl.testing.simulate import Curve, Simulated, simulate

SPACE = Space.of({"final": Float(0, 1), "start": Float(0, 1)})
ELSEWHERE = """
import json, pickle, sys
from automl.testing.stoppers import decisions
print(json.dumps([decisions(stopper) for stopper in pickle.load(sys.stdin.buffer)]))
"""


class Draw(Strategy):
    """Random configs; the strategy of these tests."""

    def suggest(self, history: History, n: int) -> list[Config]:
        return [history.space.sample(history.rng(k)) for k in range(n)]


def falling(config: Config, history: History) -> Curve:
    """Curves that start anywhere and end at `final`; one in eight diverges at step 2."""
    final, start = (float(str(config[name] or 0)) for name in ("final", "start"))
    losses = [final + (start + 1) * 2.0**-s for s in range(27)]
    if final * 8 % 1 < 0.125:
        losses[1] = float("nan")
    return Curve(config, losses, step_s=0.5 + start)


class Watched(Stopper):
    """A stopper that checks each answer of the one it wraps, and notes it down."""

    def __init__(self, stopper: Stopper) -> None:
        self.stopper, self.log = stopper, list[Any]()

    def verdict(self, history: History, trial: int) -> Verdict:
        record = history.trials[trial]
        assert record.state is State.RUNNING
        assert 0 < record.step < (history.plan.horizon or 27)
        verdict = self.stopper.verdict(history, trial)
        assert verdict == pickle.loads(pickle.dumps(self.stopper)).verdict(history, trial)
        assert verdict.kind is Kind.CONTINUE or verdict.reason, "what ends or waits is told why"
        self.log.append((trial, record.step, str(verdict.kind), verdict.reason))
        return verdict

    def promote(self, history: History) -> list[int]:
        found = self.stopper.promote(history)
        assert len(set(found)) == len(found)
        assert all(history.trials[n].state is State.PAUSED for n in found)
        self.log.append(found)
        return found

    def drop(self, history: History) -> Mapping[int, str]:
        found = self.stopper.drop(history)
        assert all(history.trials[n].state is State.PAUSED for n in found)
        assert not set(found) & set(self.stopper.promote(history)), "promoted and dropped"
        assert all(found.values()), "what is dropped is told why"
        self.log.append(sorted(found))
        return found

    def room(self, history: History) -> int | None:
        room = self.stopper.room(history)
        assert room is None or room >= 0
        return room

    def summary(self, history: History) -> str:
        return self.stopper.summary(history)


def searched(stopper: Stopper, **plan: Any) -> tuple[Simulated, list[Any]]:
    """Simulate a search with the stopper. Returns its result, and the calls of the stopper."""
    watched = Watched(stopper)
    plan = {"trials": 40, "horizon": 27, "workers": 4, **plan}
    return simulate(SPACE, falling, Draw(), watched, plan=Plan(**plan), seed=11), watched.log


def decisions(stopper: Stopper) -> list[Any]:
    """Everything `stopper` decides in a fixed search; compared between this process and another one."""
    return searched(stopper)[1]


def decisions_elsewhere(stoppers: Sequence[Stopper]) -> list[list[Any]]:
    """The `decisions` of each stopper, from a new process with another hash seed."""
    env = {**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-c", ELSEWHERE]
    done = subprocess.run(command, input=pickle.dumps(list(stoppers)), env=env, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    answers: list[list[Any]] = json.loads(done.stdout)
    return answers


class StopperContract:
    """Every stopper must pass all of these."""

    stopper: ClassVar[Stopper]

    @pytest.mark.parametrize("workers", [1, 4, 64])
    @pytest.mark.parametrize(
        "plan",
        [{"trials": 40}, {"trials": None, "steps": 400}, {"trials": 30, "steps": 600}, {"trials": 1}, {"trials": 3}],
        ids=["trials", "steps", "both", "one trial", "three trials"],
    )
    def test_a_search_ends_and_something_runs_its_full_length(self, plan: dict[str, Any], workers: int) -> None:
        found, _ = searched(self.stopper, workers=workers, **plan)
        assert 0 < len(found.history) <= (plan["trials"] or 10_000)
        assert found.history.steps_spent <= plan.get("steps", 10_000)
        assert all(t.state.ended for t in found.history.trials)
        if len(found.history) > found.history.count(State.FAILED) and (workers < 64 or "steps" not in plan):
            assert found.history.done, "nothing ran its full length"

    def test_unknown_horizon_and_no_budget_but_time(self) -> None:
        for plan in ({"horizon": None}, {"horizon": 27, "trials": None, "time_s": 60.0}):
            history = History(SPACE, plan=Plan(**plan))
            for config in Draw().suggest(history, 12):
                history.begin(config)
            for step in range(1, 10):
                for record in list(history.running):
                    history.point(record.number, step, 1.0 / step + record.number)
                    verdict = self.stopper.verdict(history, record.number)
                    if verdict.kind is Kind.STOP:
                        history.end(record.number, State.STOPPED)
                    elif verdict.kind is Kind.PAUSE:
                        history.pause(record.number)
                for number in self.stopper.promote(history):
                    history.again(number, 2)
            room = self.stopper.room(history)
            assert room is None or room > 0, "the search stands still"

    def decided_elsewhere(self) -> list[Any]:
        """What the stopper decides in another process; replace it where several stoppers share that process."""
        return decisions_elsewhere([self.stopper])[0]

    def test_same_in_another_process(self) -> None:
        assert self.decided_elsewhere() == json.loads(json.dumps(decisions(self.stopper)))

    def test_direction_changes_words_only(self) -> None:
        """A maximized metric enters as its negative: same decisions."""
        kinds = []
        for direction in ("minimize", "maximize"):
            history = History(SPACE, metric=Metric("m", direction), plan=Plan(trials=9, horizon=27))
            rng = np.random.default_rng(3)
            for config in Draw().suggest(history, 9):
                history.begin(config)
            for number in range(9):
                history.point(number, 1, float(rng.random()))
                kinds.append(self.stopper.verdict(history, number).kind)
        assert kinds[:9] == kinds[9:]

    def test_all_failed(self) -> None:
        history = History(SPACE, plan=Plan(trials=20, horizon=27))
        for _ in range(10):
            history.end(history.begin(SPACE.sample(history.rng())).number, State.FAILED)
        assert self.stopper.promote(history) == []
        assert not self.stopper.drop(history)
        room = self.stopper.room(history)
        assert room is None or room > 0

    def test_equal_losses_do_not_end_everything(self) -> None:
        def flat(config: Config, history: History) -> Curve:
            return Curve(config, [1.0] * 27)

        found = simulate(SPACE, flat, Draw(), self.stopper, plan=Plan(trials=20, horizon=27, workers=3))
        assert found.history.done

    def test_history_is_only_read(self) -> None:
        history = History(SPACE, plan=Plan(trials=9, horizon=27))
        for config in Draw().suggest(history, 9):
            history.point(history.begin(config).number, 1, 0.5)
        before = list(history.trials), history.version
        self.stopper.verdict(history, 8), self.stopper.promote(history), self.stopper.drop(history)
        self.stopper.room(history), self.stopper.summary(history)
        assert (list(history.trials), history.version) == before
