"""Model-based strategies turn away from configs that fail, and do not mind failures by chance."""

import numpy as np
import pytest
from automl_strategies.surrogates.drawbacks.failures import FailureModel
from automl_strategies.surrogates.observations import observations

from automl.core import plugins
from automl.core.parameters import Choice, Float
from automl.core.space import Space
from automl.core.trial import Plan
from automl.stopping.never import Never
from automl.testing.simulate import Curve, simulate

SPACE = Space.of({"x": Float(0, 1), "y": Float(0, 1), "z": Float(0, 1), "kind": Choice(("a", "b", "c"))})
STRATEGIES = ("auto", "gp", "quick_gp", "forest", "tpe")


def history_of(strategy, fails, trials=40, seed=0):
    """A search whose trials fail where `fails(config, number)`; the loss falls towards where `x` is large."""

    def objective(config, history):
        loss = (config["x"] - 0.9) ** 2 + (config["y"] - 0.3) ** 2 + 0.1 * (config["kind"] != "b")
        return Curve(config, [float("nan") if fails(config, history.next_number) else loss])

    plan = Plan(trials=trials, workers=1)
    return simulate(SPACE, objective, plugins.make("strategies", strategy), Never(), plan=plan, seed=seed).history


def large(config, number):
    return config["x"] > 0.5


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_few_trials_fail_where_half_of_the_space_does(strategy):
    failed = [t.failure is not None for seed in range(2) for t in history_of(strategy, large, seed=seed).trials[10:]]
    assert np.mean(failed) <= 0.3  # half of random configs fail, and the loss pulls towards them


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_fits_is_still_searched_up_to_the_limit(strategy):
    assert history_of(strategy, large).best.config["x"] > 0.35


@pytest.mark.parametrize(
    "fails",
    [large, lambda c, n: c["kind"] == "a", lambda c, n: abs(c["x"] - 0.5) < 0.25],
    ids=["beyond a limit", "one choice", "a band in the middle"],
)
def test_failures_that_depend_on_the_config_are_seen(fails):
    data = observations(history_of("random", fails, trials=100))
    model = FailureModel.of(data)
    assert model is not None
    assert model.discouragement(data.failed).mean() < model.discouragement(data.points).mean() - 0.1


def test_failures_by_chance_are_seldom_taken_for_more():
    chance = np.random.default_rng(1).random((40, 30)) < 0.3
    taken = [
        FailureModel.of(observations(history_of("random", lambda c, n, row=row: bool(row[n]), 30, seed=k))) is not None
        for k, row in enumerate(chance)
    ]
    assert sum(taken) <= 8


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_when_everything_fails_the_search_goes_on(strategy):
    history = history_of(strategy, lambda config, number: True, trials=15)
    assert len(history) == 15
    assert history.best is None
