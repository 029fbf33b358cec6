"""The laws every strategy keeps, as tests. Subclass `StrategyContract`, give a `strategy`, run pytest:

class TestMine(StrategyContract):
    strategy = Mine(option=3)
"""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from typing import ClassVar

import pytest

from automl.core.history import History
from automl.core.space import Config, Space, config_key
from automl.core.strategy import Strategy
from automl.core.trial import Failure, Plan, State
from automl.testing.spaces import INFINITE, SPACES, history_of, loss_of

each_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES.keys())
each_infinite = pytest.mark.parametrize("space", [SPACES[name] for name in INFINITE], ids=INFINITE)

ELSEWHERE = """
import json, pickle, sys
from automl.testing.strategies import suggestions
print(json.dumps([suggestions(strategy) for strategy in pickle.load(sys.stdin.buffer)]))
"""


def suggestions(strategy: Strategy) -> list[list[Config]]:
    """What `strategy` suggests for two fixed histories; compared between this process and another one."""
    return [strategy.suggest(history_of(SPACES[name], 30), 3) for name in ("mixed", "conditional")]


def suggestions_elsewhere(strategies: Sequence[Strategy]) -> list[list[list[Config]]]:
    """The `suggestions` of each strategy, from a new process with another hash seed."""
    env = {**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-c", ELSEWHERE]
    done = subprocess.run(command, input=pickle.dumps(list(strategies)), env=env, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    answers: list[list[list[Config]]] = json.loads(done.stdout)
    return answers


def check_members(space: Space, configs: list[Config]) -> None:
    """Assert that all configs are points of the space and survive JSON."""
    for config in configs:
        assert not space.problems(config), (config, space.problems(config))
        assert config == json.loads(json.dumps(config)), f"{config} does not survive JSON: numpy values?"
        assert list(config) == list(space.canonical(config)), "names must be in the order of the space"


class StrategyContract:
    """Every strategy must pass all of these."""

    strategy: ClassVar[Strategy]
    resumed_trials: ClassVar[int] = 24  # length of the search that is interrupted; at least 8
    repeats: ClassVar[bool] = False  # whether it tries configs of ended trials again on purpose

    @each_space
    def test_membership_with_all_states(self, space: Space) -> None:
        for trials in (0, 1, 2, 25):
            history = history_of(space, trials)
            configs = self.strategy.suggest(history, 5)
            assert len(configs) <= 5
            check_members(space, configs)

    @each_space
    def test_same_history_same_answer(self, space: Space) -> None:
        again = pickle.loads(pickle.dumps(self.strategy))
        first = self.strategy.suggest(history_of(space, 25), 4)
        self.strategy.suggest(history_of(space, 7, seed=5), 2)  # another study in between must have no effect
        assert first == again.suggest(history_of(space, 25), 4)
        history = history_of(space, 25)
        assert first == self.strategy.suggest(history, 4) == self.strategy.suggest(history, 4)

    def answers_elsewhere(self) -> list[list[Config]]:
        """What the strategy suggests in another process; replace it where several strategies share that process."""
        return suggestions_elsewhere([self.strategy])[0]

    def test_same_in_another_process(self) -> None:
        assert self.answers_elsewhere() == json.loads(json.dumps(suggestions(self.strategy)))

    def test_another_seed_changes_nothing_but_chance(self) -> None:
        for seed in (1, 2):
            check_members(SPACES["mixed"], self.strategy.suggest(history_of(SPACES["mixed"], 25, seed=seed), 4))

    @pytest.mark.parametrize("name", ["mixed", "conditional"])
    def test_resumed_is_uninterrupted(self, name: str) -> None:
        straight = History(SPACES[name], seed=3, plan=Plan(trials=self.resumed_trials, horizon=2))
        for _ in range(self.resumed_trials):
            _run(straight, self.strategy)
        resumed = History(SPACES[name], seed=3, plan=Plan(trials=self.resumed_trials, horizon=2))
        for k in range(self.resumed_trials):
            if k % 8 == 5:
                resumed = _replayed(resumed)
            _run(resumed, pickle.loads(pickle.dumps(self.strategy)))
        assert [t.config for t in straight.trials] == [t.config for t in resumed.trials]

    @each_infinite
    @pytest.mark.parametrize("trials", [0, 40])
    def test_batch_of_64_is_distinct(self, space: Space, trials: int) -> None:
        history = history_of(space, trials)
        configs = self.strategy.suggest(history, 64)
        check_members(space, configs)
        assert len(configs) == 64
        keys = {config_key(c) for c in configs}
        assert len(keys) == 64
        assert self.repeats or not keys & {config_key(t.config) for t in history.trials}

    @each_infinite
    def test_running_trials_are_not_suggested_again(self, space: Space) -> None:
        history = history_of(space, 20, states=(State.DONE,))
        for _ in range(3):
            for config in self.strategy.suggest(history, 4):
                history.begin(config)
        keys = [config_key(t.config) for t in history.running]
        assert len(set(keys)) == len(keys) == 12

    @pytest.mark.parametrize("name", ["tiny", "one value", "constants"])
    def test_more_asks_than_points_end_cleanly(self, name: str) -> None:
        history = History(SPACES[name], plan=Plan(trials=12, horizon=1))
        ended = False
        for _ in range(12):
            configs = self.strategy.suggest(history, 3)
            assert not (ended and configs), "a strategy that had nothing left cannot have something again"
            ended = len(configs) < 3
            check_members(history.space, configs)
            for config in configs:
                _finish(history, config)

    @each_space
    @pytest.mark.parametrize("state", list(State))
    def test_one_state_only(self, space: Space, state: State) -> None:
        """All failed, all stopped, all running, all paused, all done."""
        history = history_of(space, 15, states=(state,))
        check_members(space, self.strategy.suggest(history, 3))

    def test_no_curves_and_no_plan(self) -> None:
        history = history_of(SPACES["mixed"], 15, states=(State.DONE, State.FAILED, State.RUNNING), horizon=None)
        history.plan = Plan()
        check_members(history.space, self.strategy.suggest(history, 3))

    def test_equal_and_enormous_losses(self) -> None:
        for loss in (lambda c: 1.0, lambda c: 1e300 * loss_of(c), lambda c: -1e-300 * loss_of(c)):
            history = history_of(SPACES["mixed"], 20, loss=loss)
            check_members(history.space, self.strategy.suggest(history, 3))

    def test_zero_asked(self) -> None:
        assert self.strategy.suggest(history_of(SPACES["mixed"], 12), 0) == []

    def test_history_is_only_read(self) -> None:
        history = history_of(SPACES["conditional"], 20)
        before = list(history.trials), history.version
        self.strategy.suggest(history, 2)
        assert (list(history.trials), history.version) == before


def _finish(history: History, config: Config) -> None:
    record = history.begin(config)
    if record.number % 7 == 4:
        history.end(record.number, State.FAILED, failure=Failure("exception", "boom"))
        return
    for step in (1, 2):
        history.point(record.number, step, loss_of(record.config) + 1 / step)
        if record.number % 4 == 3:
            history.end(record.number, State.STOPPED)
            return
    history.end(record.number, State.DONE)


def _run(history: History, strategy: Strategy) -> None:
    for config in strategy.suggest(history, 1):
        _finish(history, config)


def _replayed(old: History) -> History:
    """`old` as a ledger would give it back: the same facts in the same order, in new objects."""
    new = History(old.space, seed=old.seed, metric=old.metric, plan=old.plan)
    for t in sorted(old.trials, key=lambda t: t.number):
        new.begin(json.loads(json.dumps(t.config)), origin=t.origin)
        for step, loss in t.curve:
            new.point(t.number, step, loss)
        new.end(t.number, t.state, reason=t.reason, failure=t.failure)
    return new
