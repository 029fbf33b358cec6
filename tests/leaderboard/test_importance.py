import numpy as np
import pytest

from automl.core.history import History
from automl.core.space import Choice, Float, Int, Space
from automl.core.trial import Plan, State
from automl.leaderboard.importance import importance, order
from automl.view.screens.eta import Durations, eta

SPACE = Space.of(
    {
        "lr": Float(1e-4, 1.0, log=True),
        "width": Int(16, 512, log=True),
        "act": Choice(("relu", "gelu", "silu")),
        "nothing": Float(0.0, 1.0),
        "idle": Choice(("a", "b")),
    }
)


def searched(n, seed, noise=0.01):
    """lr matters most, width some, the others not at all."""
    rng = np.random.default_rng(seed)
    history = History(SPACE, seed=seed)
    for k in range(n):
        config = SPACE.sample(rng)
        loss = (np.log10(config["lr"]) + 2) ** 2 + 0.35 * (np.log2(config["width"]) - 7) ** 2 / 4 + rng.normal(0, noise)
        history.begin(config)
        history.point(k, 1, float(loss))
        history.end(k, State.DONE)
    return history


@pytest.mark.parametrize("seed", range(5))
def test_finds_what_matters(seed):
    found = importance(SPACE, searched(120, seed).done)
    assert sum(found.values()) == pytest.approx(1.0)
    assert order(SPACE, found)[0] == "lr"
    assert found["lr"] > 0.4
    assert found["nothing"] + found["idle"] + found["act"] < 0.3


def test_agrees_with_optunas_pedanova_on_what_comes_first():
    optuna = pytest.importorskip("optuna")
    import warnings

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    history = searched(200, 3)
    study = optuna.create_study()
    space = {
        "lr": optuna.distributions.FloatDistribution(1e-4, 1.0, log=True),
        "width": optuna.distributions.IntDistribution(16, 512, log=True),
        "nothing": optuna.distributions.FloatDistribution(0.0, 1.0),
    }
    for t in history.done:
        params = {name: t.config[name] for name in space}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=space, value=t.loss))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = optuna.importance.get_param_importances(
            study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
        )
    ours = importance(SPACE, history.done)
    assert list(theirs)[:2] == [name for name in order(SPACE, ours) if name in space][:2]


def test_says_nothing_of_too_few_or_equal_trials():
    assert importance(SPACE, searched(19, 0).done) == {}
    history = History(SPACE)
    rng = np.random.default_rng(0)
    for k in range(50):
        history.begin(SPACE.sample(rng))
        history.point(k, 1, 1.0)
        history.end(k, State.DONE)
    assert importance(SPACE, history.done) == {}


def test_conditional_parameters_and_failed_trials_are_no_trouble():
    space = Space.of({"opt": Choice(("sgd", "adam")), "momentum": Float(0.0, 0.99, when={"opt": ("sgd",)})})
    history, rng = History(space), np.random.default_rng(1)
    for k in range(60):
        config = space.sample(rng)
        history.begin(config)
        if k % 7 == 0:
            history.end(k, State.FAILED)
            continue
        history.point(k, 1, float(config["opt"] == "sgd") + rng.normal(0, 0.01))
        history.end(k, State.DONE)
    assert sum(importance(space, history.trials).values()) == pytest.approx(1.0)


def test_durations_are_mean_and_variance():
    values = np.random.default_rng(0).exponential(3.0, 50)
    durations = Durations()
    for v in values:
        durations.add(float(v))
    assert durations.mean == pytest.approx(values.mean())
    assert durations.variance == pytest.approx(values.var(ddof=1))


def simulated(seed, workers=4, trials=100, at=40):
    """(range said after `at` trials, true seconds left) of a search with very different trials."""
    rng = np.random.default_rng(seed)
    seconds = np.where(rng.random(trials) < 0.3, rng.uniform(20, 40, trials), rng.uniform(1, 4, trials))
    free, ends, starts = np.zeros(workers), [], []
    for s in seconds:
        k = int(np.argmin(free))
        starts.append(free[k])
        free[k] += s
        ends.append(free[k])
    starts, ends = np.array(starts), np.array(ends)
    now = np.sort(ends)[at - 1]
    durations, ended = Durations(), ends <= now
    for s in (ends - starts)[ended]:
        durations.add(float(s))
    running = (starts < now) & ~ended
    busy = float((ends - starts)[ended].sum() + (now - starts[running]).sum())
    said = eta(Plan(trials=trials), durations, elapsed_s=now, ended=int(ended.sum()), busy_s=busy, steps=0)
    return said, ends.max() - now


def test_the_range_holds_about_four_times_in_five():
    hits = 0
    for seed in range(200):
        said, left = simulated(seed)
        assert said is not None
        hits += said[0] <= left <= said[1]
    assert 0.6 <= hits / 200 <= 0.97, hits


def test_limits_and_silence():
    none, three = Durations(), Durations()
    for s in (1.0, 1.0, 1.0):
        three.add(s)
    known = {"elapsed_s": 3.0, "ended": 3, "busy_s": 3.0, "steps": 30}
    assert eta(Plan(trials=10), none, **known | {"ended": 0}) is None
    assert eta(Plan(), three, **known) is None
    assert eta(Plan(time_s=60), none, **known) == (57.0, 57.0)
    low, high = eta(Plan(trials=13), three, **known)
    assert low < 10 < high
    assert eta(Plan(trials=1000, time_s=5), three, **known) == (2.0, 2.0)
    low, high = eta(Plan(steps=60), three, **known)
    assert low < 3.0 < high


def test_a_learning_rate_is_the_second_column_at_the_latest():
    space = Space.of({"a": Float(0, 1), "b": Float(0, 1), "base_lr": Float(0, 1), "c": Float(0, 1)})
    assert order(space, {}) == ("base_lr", "a", "b", "c")
    assert order(space, {"c": 0.6, "a": 0.3, "b": 0.1}) == ("c", "base_lr", "a", "b")
    assert order(space, {"base_lr": 0.6, "a": 0.3, "b": 0.1}) == ("base_lr", "a", "b", "c")
