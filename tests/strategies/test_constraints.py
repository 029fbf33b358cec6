"""Constraints that random configs hardly ever keep are solved under every strategy, or told."""

import time
from typing import Any

import pytest
from automl_strategies.wrappers.constrained import Constrained, Constraint

import automl
from automl import Choice, Float, Int
from automl.core.space import Space
from automl.errors import SpecError

SIDE = Int(1, 4096)
SOLVABLE: list[tuple[dict[str, Any], list[str], int]] = [  # space, constraints, different solutions in ten suggestions
    ({"w": SIDE, "h": SIDE}, ["w * h == 4096"], 10),
    ({"w": Int(1, 4096, log=True), "h": Int(1, 4096, log=True)}, ["w * h == 4096"], 10),
    ({"a": SIDE, "b": SIDE, "c": SIDE}, ["a * b * c == 4096"], 10),
    ({"kind": ["x", "y"], "a": SIDE, "b": Int(1, 4096, when={"kind": "x"})}, ["a * b == 4096", "kind == 'x'"], 5),
    ({"kind": ["x", "y"], "a": SIDE, "b": Int(1, 99, when={"kind": "y"})}, ["a * b == 96", "a != 96 or a > 5"], 5),
    ({"w": [2**k for k in range(13)], "h": [2**k for k in range(13)], "s": SIDE}, ["w * h * s == 4096"], 10),
    ({"a": Float(0, 1), "b": Float(0, 1), "c": Float(0, 1)}, ["a + b + c < 1.0001", "a + b + c > 0.9999"], 10),
    ({"a": Float(0, 1), "b": Float(0, 1)}, ["a + b == 1"], 5),
    ({"lr": Float(1e-3, 1, log=True), "n": SIDE}, ["lr == 0.5", "n == 7"], 1),
    ({"n": Int(1, 10**6), "m": Int(1, 10**6)}, ["n in (7, 77, 777)", "m == n * 3"], 2),
    ({"n": Int(1, 10**9), "m": Int(1, 10**9)}, ["n == m"], 5),
    ({"a": [f"v{k}" for k in range(90)], "b": [f"v{k}" for k in range(90)], "n": SIDE}, ["a == b", "n == 33"], 5),
    ({name: Int(1, 200) for name in "abcdef"}, ["a < b < c < d < e < f"], 10),
    ({"w": SIDE, "h": SIDE, "f": [True, False]}, ["(w if f else h) == 77", "w - h == 12"], 2),
]


def asked(space: dict[str, Any], constraints: list[str], strategy: str, n: int) -> list[dict[str, Any]]:
    study = automl.Study(space, metric="loss", strategy=Constrained(constraints, strategy), defaults=False)
    configs = []
    for k in range(n):
        trial = study.ask()
        assert trial is not None
        configs.append(dict(trial.config))
        study.tell(trial, loss=float(k * 7 % 5))
    return configs


@pytest.mark.parametrize(
    ("space", "constraints", "different"), SOLVABLE, ids=[" ".join(rules) for _, rules, _ in SOLVABLE]
)
def test_rare_solutions_are_found(space: dict[str, Any], constraints: list[str], different: int) -> None:
    start = time.process_time()
    configs = asked(space, constraints, "random", 10)
    rules = [Constraint.of(text, Space.of(space)) for text in constraints]
    assert all(rule.holds(config) for rule in rules for config in configs)
    assert len({tuple(config.values()) for config in configs}) >= different
    assert time.process_time() - start < 30  # 0.1 s a suggestion measured


@pytest.mark.parametrize("strategy", ["auto", "sobol", "tpe", "gp", "forest", "genetic", "aging", "quick_gp", "grid"])
def test_under_every_strategy(strategy: str) -> None:
    configs = asked({"w": SIDE, "h": SIDE}, ["w * h == 4096"], strategy, 13)
    assert all(config["w"] * config["h"] == 4096 for config in configs)
    assert len({config["w"] for config in configs}) >= 12  # of 13


def test_what_cannot_be_kept_is_told_with_the_rule() -> None:
    start = time.process_time()
    with pytest.raises(SpecError, match=r"'n > 10'.*are they possible within the ranges"):
        asked({"n": Int(1, 10), "x": Choice(("a", "b"))}, ["n > 10"], "random", 1)
    assert time.process_time() - start < 20


def test_a_suggestion_is_changed_no_more_than_needed() -> None:
    """Of seven parameters, only those of the constraint differ from what the other strategy suggests."""
    space = {"w": SIDE, "h": SIDE, **{name: Float(0, 1) for name in "abcde"}}
    plain = automl.Study(space, metric="loss", strategy="random", defaults=False).ask(1)[0]
    config = asked(space, ["w * h == 4096"], "random", 1)[0]
    assert all(config[name] == plain.config[name] for name in "abcde")
