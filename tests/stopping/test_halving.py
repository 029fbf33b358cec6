"""Halving spends the declared budget, keeps the best, and knows when early ranks mean nothing."""

import numpy as np
import pytest

from automl.core.history import History
from automl.core.space import Config, Float, Space
from automl.core.stopper import Kind
from automl.core.trial import Plan, State
from automl.errors import SpecError
from automl.stopping.asha import Asha
from automl.stopping.brackets import Bracket
from automl.stopping.halving import PILOTS, Halving
from automl.stopping.hyperband import Hyperband
from automl.stopping.median import Median
from automl.stopping.rungs import compare, geometric, rank_correlation, tapered
from automl.testing.simulate import Curve, simulate
from automl.testing.stoppers import Draw

SPACE = Space.of({"x": Float(0, 1)})
PLAIN = Halving(eta=3, waves=1, guard=False, survivors=0.0, near_misses=0.0)


def honest(config: Config, history: History) -> Curve:
    """Every step ranks the configs as the last one does."""
    return Curve(config, [float(config["x"] or 0) + 1.0 / s for s in range(1, 28)])


def misleading(config: Config, history: History) -> Curve:
    """The first step ranks them the other way round."""
    x = float(config["x"] or 0)
    return Curve(config, [-x] + [x + 1.0 / s for s in range(2, 28)])


def test_rungs() -> None:
    assert geometric(50, 3, 1) == (1, 2, 6, 17)
    assert geometric(50, 5, 1) == (1, 2, 10)
    assert geometric(1, 3, 1) == ()
    assert tapered(50, 1) == ((1, 3, 10, 25), (8, 3, 2, 2))
    assert tapered(1, 1) == ((), ())


@pytest.mark.parametrize("workers", [1, 8])
def test_the_best_trial_wins_and_the_budget_is_spent(workers: int) -> None:
    plan = Plan(steps=270, horizon=27, workers=workers)
    found = simulate(SPACE, honest, Draw(), PLAIN, plan=plan, seed=5).history
    assert 0.85 * 270 <= found.steps_spent <= 270
    best = min(range(len(found)), key=lambda n: float(found.trials[n].config["x"] or 0))
    assert found.best is not None
    assert found.best.number == best
    bracket = PLAIN.brackets(found)[0]
    assert [sum(t.step >= rung for t in found.trials) for rung in bracket.rungs] == list(bracket.sizes)


@pytest.mark.parametrize(
    ("loss", "cut", "reason"),
    [
        (0.5, 0.25, "0.5 > 0.25"),
        (0.123461, 0.123459, "0.123461 > 0.123459"),
        (0.5, 0.5, "0.5, a tie in which earlier trials go on"),
    ],
)
def test_the_reason_of_a_stop_is_never_a_value_worse_than_itself(loss: float, cut: float, reason: str) -> None:
    assert compare(History(SPACE), loss, cut) == reason


def test_the_cost_of_a_bracket_is_what_it_spends() -> None:
    bracket = Bracket.of(27, (3, 3, 3), (1, 3, 9), 27)
    assert bracket.sizes == (27, 9, 3, 1)
    assert bracket.cost == 27 * 1 + 9 * 2 + 3 * 6 + 1 * 18
    found = simulate(SPACE, honest, Draw(), PLAIN, plan=Plan(steps=bracket.cost, horizon=27), seed=1).history
    assert found.steps_spent == bracket.cost


def test_no_step_is_trained_twice() -> None:
    found = simulate(SPACE, honest, Draw(), PLAIN, plan=Plan(steps=200, horizon=27, workers=3)).history
    assert found.steps_spent == sum(t.step for t in found.trials)


def test_waves_come_one_after_the_other() -> None:
    halving = Halving(eta=3, waves=2, guard=False, survivors=0.0, near_misses=0.0)
    out = simulate(SPACE, honest, Draw(), halving, plan=Plan(steps=600, horizon=27))
    first, second = halving.brackets(out.history)
    begun = [number for _, _, number, step in out.events if step == 1]
    finished = [(k, number) for k, (_, _, number, step) in enumerate(out.events) if step == 27]
    at = next(k for k, (_, _, number, step) in enumerate(out.events) if number == first.sizes[0] and step == 1)
    assert begun == sorted(begun)
    assert finished[0][0] < at, "the first wave has a full trial before the second begins"
    assert second.sizes[0] + first.sizes[0] == len(out.history)


def test_a_trial_is_decided_as_soon_as_it_is_certain() -> None:
    history = History(SPACE, plan=Plan(trials=9, horizon=9))
    halving = Halving(eta=3, waves=1, guard=False, survivors=0.0, near_misses=0.0)
    for k in range(9):
        history.begin({"x": k / 10})
    kinds = []
    for n, loss in enumerate([0.1, 0.2, 0.3, 0.9, 0.05, 0.8, 0.4, 0.5, 0.01]):
        history.point(n, 1, loss)
        verdict = halving.verdict(history, n)
        kinds.append(verdict.kind)
        if verdict.kind is Kind.PAUSE:
            history.pause(n)
        elif verdict.kind is Kind.STOP:
            history.end(n, State.STOPPED)
    assert kinds[3] is Kind.STOP  # three better ones are there
    assert kinds[-1] is Kind.CONTINUE  # the last to come and the best
    assert halving.promote(history) == [4, 0]
    assert set(halving.drop(history)) == {1, 2}


def test_the_guard_skips_a_rung_that_ranks_the_wrong_way_round() -> None:
    plan = Plan(steps=600, horizon=27)
    guarded = simulate(SPACE, misleading, Draw(), Halving(survivors=0.0, near_misses=0.0), plan=plan, seed=2)
    blind = simulate(SPACE, misleading, Draw(), Halving(survivors=0.0, near_misses=0.0, guard=False), plan=plan, seed=2)
    assert Halving().skipped(guarded.history) >= 1
    assert "step 1" in Halving(survivors=0.0, near_misses=0.0).summary(guarded.history)
    good, bad = (s.history.best for s in (guarded, blind))
    assert good is not None
    assert bad is not None
    assert float(good.config["x"] or 0) < 0.1 < float(bad.config["x"] or 0)
    assert guarded.history.steps_spent <= 600


def test_the_guard_trusts_honest_rungs() -> None:
    found = simulate(SPACE, honest, Draw(), Halving(), plan=Plan(steps=600, horizon=27), seed=2).history
    assert Halving().skipped(found) == 0
    assert all(found.trials[n].step > 1 for n in range(PILOTS))


@pytest.mark.parametrize(
    ("trials", "share", "kept"),
    [(270, 0.05, 0.05), (270, 0.1, 0.0), (27, 0.05, 0.0), (270, 0.0, 0.0)],
    ids=["2 % of the bracket", "4 % of the bracket", "less than one trial", "none wanted"],
)
def test_a_control_sample_costs_at_most_3_percent_of_the_bracket(trials: int, share: float, kept: float) -> None:
    bracket = Bracket.of(trials, (3, 3, 3), (1, 3, 9), 27)
    assert [bracket.survivors(rung, share) for rung in bracket.rungs] == [kept, kept, kept, 0.0]
    assert bracket.control_cost(share) == pytest.approx(
        kept * (trials * 2 / 3 * 2 + trials * 2 / 9 * 6 + trials * 2 / 27 * 18)
    )


def test_near_misses_pass_the_first_rung_within_the_budget() -> None:
    bracket = Bracket.of(64, (8, 3, 2, 2), (1, 3, 10, 25), 50)
    assert [bracket.near_misses(rung, 0.2) for rung in bracket.rungs] == [0.2, 0.0, 0.0, 0.0, 0.0]
    assert bracket.near_misses(1, 0.5) == 0.0, "more than a tenth of the bracket"
    assert bracket.control_cost(0.0, 0.2) == pytest.approx(0.2 * (32 - 8) * 2)
    halving = Halving(survivors=0.0, near_misses=0.2, guard=False)
    found = simulate(SPACE, honest, Draw(), halving, plan=Plan(steps=1000, horizon=27), seed=3).history
    size = halving.brackets(found)[0].sizes[0]
    losses = dict(found.losses_at(1))
    order = sorted(range(size), key=lambda n: losses[n])
    passed = [k for k, n in enumerate(order) if found.trials[n].step > 1 and n >= 2 * PILOTS]
    assert any(halving.brackets(found)[0].sizes[1] <= k < size // 2 for k in passed)
    assert found.steps_spent <= 1000
    assert found.done


def test_what_blooms_late_is_found_more_often() -> None:
    """Where the best are middling after the first step, near misses find a better trial (benchmarks/curves.py)."""

    def late(config: Config, history: History) -> Curve:
        x = float(config["x"] or 0)  # the best is at 0, and behind a quarter of all after the first step
        return Curve(config, [x + 0.32 * (1 - x) ** 8 * (s == 1) for s in range(1, 28)])

    def mean(near_misses: float) -> float:
        halving, plan = Halving(near_misses=near_misses), Plan(steps=400, horizon=27)
        found = [simulate(SPACE, late, Draw(), halving, plan=plan, seed=k).history.best for k in range(12)]
        return float(np.mean([best.config["x"] for best in found if best is not None]))

    assert mean(0.2) < 0.8 * mean(0.0)


def test_survivors_estimate_false_kills_within_the_budget() -> None:
    halving = Halving(survivors=0.05, near_misses=0.0, guard=False)
    found = simulate(SPACE, honest, Draw(), halving, plan=Plan(steps=1500, horizon=27), seed=3).history
    assert "of the control sample" in halving.summary(found)
    assert halving.summary(found).startswith("0 of"), "honest ranks make no false kills"
    assert found.steps_spent <= 1500
    assert found.done


def test_a_budget_of_trials_keeps_finalists() -> None:
    found = simulate(SPACE, honest, Draw(), Halving(), plan=Plan(trials=60, horizon=27), seed=3).history
    assert len(found) == 60
    assert 5 <= len(found.done) <= 10


def test_failures_do_not_hold_up_a_wave() -> None:
    def failing(config: Config, history: History) -> Curve:
        return Curve(config, [float("nan")] if len(history) % 2 else [float(config["x"] or 0)] * 27)

    found = simulate(SPACE, failing, Draw(), PLAIN, plan=Plan(steps=300, horizon=27, workers=4)).history
    assert found.done
    assert not found.paused


def test_rank_correlation() -> None:
    a = {n: float(n) for n in range(10)}
    assert rank_correlation(a, {n: n**3 for n in a})[0] == pytest.approx(1)
    assert rank_correlation(a, {n: -x for n, x in a.items()})[0] == pytest.approx(-1)
    assert np.isnan(rank_correlation(a, dict.fromkeys(a, 1.0))[0])
    assert rank_correlation(a, {1: 0.0}) == (pytest.approx(np.nan, nan_ok=True), 1)


def test_asha_promotion_continues_the_best_third() -> None:
    history = History(SPACE, plan=Plan(horizon=9))
    asha = Asha(mode="promote")
    for n, loss in enumerate([3.0, 1.0, 2.0]):
        history.begin({"x": 0.5})
        history.point(n, 1, loss)
        if asha.verdict(history, n).kind is Kind.PAUSE:
            history.pause(n)
    assert asha.promote(history) == [1]


def test_hyperband_brackets() -> None:
    brackets = Hyperband().brackets(History(SPACE, plan=Plan(trials=60, horizon=27)))
    assert [b.rungs[0] for b in brackets[:4]] == [1, 3, 9, 27]
    assert sum(b.sizes[0] for b in brackets) == 60


def test_median_waits_for_enough_others() -> None:
    history = History(SPACE, plan=Plan(horizon=9))
    for n in range(6):
        history.begin({"x": 0.5})
        history.point(n, 1, float(n))
        history.point(n, 2, float(n))
        assert Median().verdict(history, n).kind is (Kind.STOP if n == 5 else Kind.CONTINUE)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Halving(eta=1),
        lambda: Halving(waves=0),
        lambda: Halving(min_steps=0),
        lambda: Halving(survivors=2),
        lambda: Hyperband(eta=1),
        lambda: Median(warmup=-1),
        lambda: Asha(mode="jump"),  # type: ignore[arg-type]
    ],
)
def test_wrong_options_are_refused(make: object) -> None:
    with pytest.raises(SpecError):
        make()  # type: ignore[operator]
