"""Specifications of a stranger: constraints and command templates have limits on time, memory and width."""

import json
import tracemalloc
from typing import Any

import pytest
from automl_strategies.wrappers import constrained
from automl_strategies.wrappers.constrained import Constrained, parsed

from automl import Study, specfile
from automl.core.space import Choice, Int
from automl.errors import AutoMLError, SpecError
from automl.specfile import templates

SPEC = """metric: loss
space: {x: {float: [0, 1]}, n: {int: [1, 1000000000]}, s: [a, b]}
command: [sh, ARGUMENT]
constraints: [CONSTRAINT]
budget: {trials: 1}
"""


def read(constraint: str = "n > 0", argument: str = "{x}") -> specfile.Spec:
    text = SPEC.replace("ARGUMENT", json.dumps(argument)).replace("CONSTRAINT", json.dumps(constraint))
    return specfile.parse(text, "spec.yaml")


HUGE = ["'a' * 999999999 != s", "n * 'a' != s", "[0] * 99999999 != s", "(1,) * n != s", "'%999999999d' % n != s",
        "s + [1] * n != s", "b'a' * n != s", "n * (0,) * n != s"]  # fmt: skip
COMPUTED = ["s * n != 'a'", "n * s != 'a'", "(s + s) * n != 'a'", "s % n != 'a'", "(s + 'x') * n * n != 'a'"]
REFUSED = ["9 ** 9 ** 9 > n", "n << 999999 > 0", "lambda: n", "n.real > 0", "f'{n:>99999999}' != s", "s[0] == 'a'",
           "abs(n) > 0", "[k for k in s] != n", "n > 0 if x else x", "(" * 300 + "n" + ")" * 300, "n" + "+1" * 300,
           "-" * 480 + "n" + ")", "n\0 > 0", "(n := 3) > 2", "*s", ""]  # fmt: skip
FORMATS = ["{x:>3000000000}", "{x:.3000000000f}", "{x:>{n}}", "{n:0999999}", "{x!r}", "{x.__class__}", "{x[0]}",
           "{x:99999999999999999999d}", "{n:c}", "{x:1001}", "{x:>1000}" * 200, "{", "{0}", "{}", "{x:%Y}"]  # fmt: skip


@pytest.mark.parametrize("constraint", HUGE + REFUSED, ids=lambda text: text[:30])
@pytest.mark.catalogue(
    62, "a constraint or a command's format that would take any memory", "refused with line and column", 2
)
def test_constraints_that_could_take_any_memory_or_run_something(constraint: str) -> None:
    with pytest.raises(SpecError, match=r"^spec\.yaml:4:15: constraints\[0\]: "):
        read(constraint)


@pytest.mark.parametrize("constraint", HUGE + COMPUTED, ids=str)
def test_a_text_times_a_number_is_never_computed(constraint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the constraint comes by another way than a specification."""
    monkeypatch.setattr(constrained, "MOST_DRAWS", 100)
    space = {"n": Int(10**9, 2 * 10**9), "s": Choice(("a", "b")), "x": 1}
    study = Study(space, metric="loss", strategy=Constrained([constraint], "random"), trials=2, defaults=False)
    tracemalloc.start()
    try:
        with pytest.raises(SpecError, match=r"keeps all of|is not allowed in a rule"):
            study.ask()
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("constraint", ["-" * 100_000 + "n", "(" * 490 + "n", "n" + "+1" * 10**6, "\0", "a" * 501])
def test_what_is_no_constraint_is_told(constraint: str) -> None:
    with pytest.raises(SpecError, match="constraint"):
        parsed(constraint)


def test_long_constraints_are_tried_on_fewer_configs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constrained, "MOST_STEPS", 100_000)
    space: dict[str, Any] = {"n": Int(1, 10)}
    hard = ["n" + "*1" * 240 + " > 0", "n > 10"]
    study = Study(space, metric="loss", strategy=Constrained(hard, "random"), trials=2, defaults=False)
    with pytest.raises(SpecError, match="no config in 136 random ones"):
        study.ask()


@pytest.mark.parametrize("argument", FORMATS, ids=lambda text: text[:30])
def test_formats_of_any_width_are_refused_before_anything_is_written(argument: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(SpecError, match=r"^spec\.yaml:3:15: command\[1\]: "):
            read(argument=argument)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("argument", ["{s}", "{s:>1000}" * 101, "{n:c}"])
def test_a_value_that_cannot_be_written_fails_in_a_sentence(argument: str) -> None:
    if argument == "{s}":
        assert templates.fill(argument, {"s": "x"}) == "x"
        return
    with pytest.raises(AutoMLError):
        templates.fill(argument, {"s": "x" * 2000, "n": 10**9})
