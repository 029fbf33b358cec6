"""The laws of a space: encode and decode, membership, conditions, grids, JSON."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.core.history import History
from automl.core.space import Choice, Float, Int, Parameter, Space, config_key, describe, identity, parameter
from automl.errors import SpecError

ends = st.floats(-1e6, 1e6, allow_nan=False).map(lambda v: float(f"{v:.6g}"))
positive = st.floats(1e-12, 1e12).map(lambda v: float(f"{v:.6g}"))
scalars = st.one_of(st.text(max_size=5), st.integers(-99, 99), st.booleans(), st.floats(-9, 9), st.none())


@st.composite
def floats(draw: st.DrawFn) -> Float:
    log = draw(st.booleans())
    low, high = sorted(draw(st.tuples(*(positive if log else ends,) * 2)))
    if high - low < 1e-6 * max(abs(low), abs(high), 1e-6):
        high = low * 10 if log else low + 1 + abs(low)
    parts = draw(st.sampled_from([1, 2, 3, 7, 10.5, 1000.0]))
    step = None if log or draw(st.booleans()) else (high - low) / parts
    return Float(low, high, log=log, step=step)


@st.composite
def ints(draw: st.DrawFn) -> Int:
    log = draw(st.booleans())
    low = draw(st.integers(1 if log else -1000, 1000))
    high = low + draw(st.integers(0, 10 ** draw(st.integers(0, 9))))
    step = 1 if log or high == low else draw(st.integers(1, max(1, min(high - low, 50))))
    return Int(low, high, log=log, step=step)


@st.composite
def choices(draw: st.DrawFn) -> Choice:
    values = draw(st.lists(scalars, min_size=1, max_size=6, unique_by=identity))
    return Choice(tuple(values), ordered=draw(st.booleans()))


def with_when(p: Parameter, when: dict[str, Any]) -> Parameter:
    kept = {k: v for k, v in vars(p).items() if k in p.__dataclass_fields__}
    return type(p)(**{**kept, "when": when})


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Up to seven parameters, some of them conditional on earlier ones, some of these conditional themselves."""
    params: dict[str, Parameter] = {}
    for k in range(draw(st.integers(1, 7))):
        p = draw(st.one_of(floats(), ints(), choices()))
        parents = [n for n, q in params.items() if isinstance(q, Choice)]
        if parents and draw(st.booleans()):
            parent = draw(st.sampled_from(parents))
            values = params[parent].choices  # type: ignore[union-attr]
            allowed = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3, unique_by=identity))
            p = with_when(p, {parent: tuple(allowed)})
        params[f"p{k}"] = p
    names = draw(st.permutations(list(params)))  # children may stand before their parents
    groups = {n: g for n in names if (g := draw(st.sampled_from(["", "a", "b"])))}
    return Space({n: params[n] for n in names}, {"c": draw(scalars)} if draw(st.booleans()) else {}, groups)


units = st.integers(0, 2**32 - 1).map(np.random.default_rng)


@settings(max_examples=60, deadline=None)
@given(spaces(), units)
def test_samples_are_members_and_survive_the_unit_cube(space: Space, rng: np.random.Generator) -> None:
    for _ in range(5):
        config = space.sample(rng)
        assert space.problems(config) == []
        unit = space.encode(config)
        assert unit.shape == (space.dim,)
        assert ((unit[~np.isnan(unit)] >= 0) & (unit[~np.isnan(unit)] <= 1)).all()
        assert config_key(space.decode(unit)) == config_key(config)
        assert {n for n in space.names if n in config} == {n for n, u in zip(space.names, unit, strict=True) if u == u}


@settings(max_examples=60, deadline=None)
@given(spaces(), units)
def test_inactive_parameters_are_absent(space: Space, rng: np.random.Generator) -> None:
    config = space.sample(rng)
    for name, p in space.params.items():
        holds = all(
            parent in config and identity(config[parent]) in {identity(v) for v in allowed}
            for parent, allowed in p.when.items()
        )
        assert (name in config) == holds
        if holds and p.when:
            assert not space.contains({n: v for n, v in config.items() if n != name})


@settings(max_examples=60, deadline=None)
@given(spaces(), units)
def test_json_round_trip(space: Space, rng: np.random.Generator) -> None:
    again = Space.of(json.loads(json.dumps(space.to_json())))
    assert dict(again.constants) == dict(space.constants)
    assert set(again.names) == set(space.names)
    assert dict(again.groups) == dict(space.groups)
    config = space.sample(rng)
    assert again.contains(config)
    for name, p in space.params.items():
        assert again.params[name] == p
        assert again.params[name].to_unit(p.from_unit(0.3)) == p.to_unit(p.from_unit(0.3))


@settings(max_examples=60, deadline=None)
@given(st.one_of(floats(), ints(), choices()), st.integers(2, 9))
def test_grids_are_members_without_repeats(p: Parameter, resolution: int) -> None:
    if p.size > 10_000 and getattr(p, "step", None) not in (None, 1):
        return
    values = p.grid(resolution)
    assert all(p.contains(v) for v in values)
    assert len({identity(v) for v in values}) == len(values)
    if isinstance(p, Float) and p.step is None:
        assert (values[0], values[-1], len(values)) == (p.low, p.high, resolution)
    if isinstance(p, Int) and p.step == 1:
        assert (values[0], values[-1]) == (p.low, p.high)


@settings(max_examples=60, deadline=None)
@given(st.one_of(floats(), ints(), choices()), st.floats(0, 1))
def test_one_parameter_to_the_unit_interval_and_back(p: Parameter, u: float) -> None:
    value = p.from_unit(u)
    assert p.contains(value)
    assert identity(p.from_unit(p.to_unit(value))) == identity(value)


@settings(max_examples=60, deadline=None)
@given(st.one_of(floats(), ints()), st.floats(0, 1), st.floats(0, 1))
def test_ranges_keep_their_order(p: Float | Int, a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert p.from_unit(low) <= p.from_unit(high)
    assert p.from_unit(0.0) == p.low
    if p.step in (None, 1):
        assert p.from_unit(1.0) == p.high


def test_log_ranges_are_uniform_in_the_logarithm() -> None:
    p = Float(1e-4, 1.0, log=True)
    assert [p.from_unit(u) for u in (0, 0.25, 0.5, 0.75, 1)] == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1.0])
    rng = np.random.default_rng(0)
    counts = np.bincount([Int(1, 8, log=True).from_unit(rng.random()) for _ in range(20_000)], minlength=9)
    expected = [math.log((k + 0.5) / (k - 0.5)) / math.log(8.5 / 0.5) for k in range(1, 9)]
    assert counts[1:] / 20_000 == pytest.approx(expected, abs=0.015)


def test_steps_and_choices_are_met_equally_often() -> None:
    rng = np.random.default_rng(0)
    for p in (Int(0, 12, step=4), Float(0.0, 0.3, step=0.1), Choice(("a", "b", "c", "d"))):
        values, counts = np.unique([str(p.from_unit(rng.random())) for _ in range(8_000)], return_counts=True)
        assert len(values) == 4
        assert counts / 8_000 == pytest.approx([0.25] * 4, abs=0.02)


def test_one_true_and_text_one_are_three_values() -> None:
    p = Choice((1, True, "1"))
    assert [p.to_unit(v) for v in (1, True, "1")] == pytest.approx([1 / 6, 3 / 6, 5 / 6])
    assert not Choice((True,)).contains(1)
    assert Space.of({"a": [1, 2], "b": {"int": [1, 2], "when": {"a": 1}}}).contains({"a": 2})
    assert not Int(0, 1).contains(True)


def test_a_default_of_false_counts() -> None:
    space = Space.of({"bn": {"choice": [True, False], "default": False}, "n": {"int": [1, 3]}})
    assert space.default() == {"bn": False, "n": 2}
    assert Space.of({"n": {"int": [1, 3]}}).default() is None


def test_numpy_values_are_taken_as_what_they_stand_for() -> None:
    space = Space.of({"n": Int(1, 3), "x": Float(0, 1), "act": ["relu", "gelu"]})
    given_: dict[str, Any] = {"n": np.int64(2), "x": np.float32(0.5), "act": np.str_("relu")}
    assert space.canonical(given_) == {"n": 2, "x": 0.5, "act": "relu"}
    assert [type(v) for v in space.canonical(given_).values()] == [int, float, str]


def test_what_is_wrong_with_a_config_is_said() -> None:
    space = Space.of({"opt": ["sgd", "adam"], "m": {"float": [0, 1], "when": {"opt": "sgd"}}, "c": 3})
    assert space.problems({"c": 3, "opt": "sgd"}) == ["m is missing"]
    assert space.problems({"c": 3, "opt": "adam", "m": 0.5}) == ["m is not active here"]
    assert space.problems({"c": 4, "opt": "adam"}) == ["c must be 3"]
    assert space.problems({"c": 3, "opt": "adam", "opr": 1}) == ["opr is not a parameter; did you mean 'opt'?"]
    assert "outside one of ['sgd', 'adam']" in space.problems({"c": 3, "opt": "x"})[0]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"float": [0, 1], "log": True}, "log needs low > 0, got 0"),
        ({"float": [1, 0]}, "float needs low < high, got [1, 0]"),
        ({"float": ["a", 1]}, "float needs a finite number for low, got 'a'"),
        ({"float": [0, math.inf]}, "float needs a finite number for high, got inf"),
        ({"float": [0, 1], "log": "yes"}, "log takes true or false, got 'yes'"),
        ({"float": [0, 1], "step": "a"}, "step takes a number, got 'a'"),
        ({"float": [0, 1], "step": math.nan}, "step takes a number, got nan"),
        ({"float": [0, 1], "default": "a"}, "default 'a' is not in [0, 1]"),
        ({"float": [0, 1], "stpe": 1}, "float has no option 'stpe'; did you mean 'step'?"),
        ({"float": 3}, "float takes [low, high], got 3"),
        ({"float": [1]}, "float takes [low, high], got [1]"),
        ({"int": [1, 2.5]}, "int needs a whole number within 2^53 for high, got 2.5"),
        ({"int": [1, 2**60]}, f"int needs a whole number within 2^53 for high, got {2**60}"),
        ({"int": [1, 5], "step": 9}, "step 9 is larger than the range [1, 5]"),
        ({"choice": "abc"}, "choice takes a list of values, got 'abc'"),
        ({"choice": 3}, "choice takes a list of values, got 3"),
        (
            {"choice": [1, {}]},
            "a choice holds text, numbers, true, false, null and lists of these, not dict; for "
            "anything else, choose among names and look the name up in your program",
        ),
        ({"choice": [1, 1]}, "a choice names a value twice (1): [1, 1]"),
        (
            (0, 1),
            "(0, 1) could be a range or a choice; did you mean Float(0, 1)? A whole number is Int(low, high), a "
            "choice of the two is the list [0, 1]",
        ),
        ({"choice": []}, "a choice needs at least one value"),
        ({"choice": [1], "ordered": 1}, "ordered takes true or false, got 1"),
        ({"float": [0, 1], "int": [0, 1]}, "needs exactly one of float, int, choice"),
        ({"float": [0, 1], "when": "x"}, "when takes {parameter: value}, got 'x'"),
        (object, "cannot be a type; a constant is text, a number, true, false or null"),
    ],
)
def test_parameters_that_cannot_be(item: Any, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        parameter(item)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ({"g": {"a": 1}, "h": {"a": 2}}, "a: parameter names must be unique across groups"),
        ({"a": {"float": [1, 0]}}, "a: float needs low < high, got [1, 0]"),
        (
            {"lr": {"type": "float", "min": 0, "max": 1}},
            "lr: needs one of float, int, choice, got 'type'; write {float: [low, high]}, {int: [low, high]} or "
            "{choice: [a, b]}",
        ),
        ({"a": {"b": {"c": 1}}}, "a.b: groups cannot hold groups; a parameter is {float|int|choice: ...}"),
        ({"a": [1, 2], "b": {"int": [1, 2], "when": {"c": 1}}}, "b: when names 'c', which is not a parameter"),
        ({"a": [1, 2], "b": {"int": [1, 2], "when": {"a": 3}}}, "b: when a = 3, but a can never be that"),
        (
            {"a": [[1, 2], 3], "b": {"int": [1, 2], "when": {"a": [1, 2]}}},
            "b: when a = 1, but a can never be that; a list as the value of a condition is a list in a list: "
            "when={'a': [[1, 2]]}",
        ),
        (
            {"a": Float(0, 1), "b": {"int": [1, 2], "when": {"a": 0.5}}},
            "b: when names 'a', a real number, which never has exactly one value; give a a step, or choose among names "
            "or whole numbers that b can depend on",
        ),
        (
            {"a": {"choice": [1], "when": {"b": 1}}, "b": {"choice": [1], "when": {"a": 1}}},
            "a: when conditions go in a circle (a, b)",
        ),
    ],
)
def test_spaces_that_cannot_be(described: Any, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        Space.of(described)
    assert str(caught.value) == message


def test_it_prints_itself() -> None:
    space = Space.of(
        {
            "opt": ["sgd", "adam"],
            "lr": Float(1e-4, 1, log=True),
            "m": Float(0, 1, step=0.5, when={"opt": ("sgd",)}),
            "c": "x",
        }
    )
    assert str(space) == (
        "opt: one of ['sgd', 'adam']\nlr: float [0.0001, 1.0] log\nm: float [0.0, 1.0] step 0.5 when opt = sgd\nc = 'x'"
    )


LAYERS = [(64,), (64, 64), (256, 64, 16)]


def test_choices_hold_tuples_and_lists_as_they_were_given() -> None:
    space = Space.of({"layers": LAYERS, "sizes": [[1, 2], [3]], "x": Float(0, 1)})
    again = Space.of(json.loads(json.dumps(space.to_json())))
    for seed in range(20):
        config = space.sample(np.random.default_rng(seed))
        assert config["layers"] in LAYERS
        assert isinstance(config["layers"], tuple)
        assert isinstance(config["sizes"], list)
        read = json.loads(json.dumps(config))
        assert config_key(read) == config_key(config)
        assert space.restored(read) == again.restored(read) == config == space.canonical(read)
        assert space.decode(space.encode(config))["layers"] == config["layers"]
        config["sizes"].append(9)  # the caller's own
    assert space.sample(np.random.default_rng(0))["sizes"] in ([1, 2], [3])


def test_a_history_gives_tuples_back_that_were_read_as_lists() -> None:
    history = History(Space.of({"betas": [(0.9, 0.99), (0.8, 0.9)]}))
    assert history.begin({"betas": [0.8, 0.9]}).config == {"betas": (0.8, 0.9)}


def test_numbers_of_numpy_are_bounds_defaults_and_choices() -> None:
    assert Float(np.float32(1e-3), np.int64(1), log=True, default=np.float64(0.1)) == Float(0.001, 1, True, None, 0.1)
    assert Int(np.int64(1), np.int32(9), step=np.int8(2), default=np.int16(3)) == Int(1, 9, step=2, default=3)
    assert Choice(np.array([1, 2, 3]), default=np.int64(2)).default == 2
    assert Float(np.array(0.5), 1.0).low == 0.5
    assert Space.of({"x": np.arange(3)}).params["x"] == Choice((0, 1, 2))


def test_a_range_of_one_number_is_that_number() -> None:
    for p in (Float(1, 1), Float(2.5, 2.5, log=True), Float(1, 1, step=0.1), Int(4, 4)):
        assert p.size == 1
        assert {p.from_unit(u) for u in (0.0, 0.3, 1.0)} == {p.low} == set(p.grid(5))
        assert p.to_unit(p.low) == 0.5
        assert p.contains(p.low)
        assert not p.contains(p.low + 1)


def test_a_condition_may_be_one_value_or_several_in_any_collection() -> None:
    def space(when: Any) -> Space:
        return Space.of({"optimizer": ["sgd", "adam", "lion"], "momentum": Float(0, 1, when=when)})

    one = space({"optimizer": "sgd"})
    assert one.active("momentum", {"optimizer": "sgd"})
    assert not one.active("momentum", {"optimizer": "adam"})
    assert space({"optimizer": {"sgd", "adam"}}) == space({"optimizer": ["adam", "sgd"]})
    assert space({"optimizer": np.array(["sgd"])}) == one


def test_none_can_be_a_default_and_is_not_one_by_itself() -> None:
    assert Space.of({"clip": Choice((1.0, None), default=None)}).default() == {"clip": None}
    assert Space.of({"clip": Choice((1.0, None))}).default() is None
    assert Space.of({"clip": Choice((1.0, 2.0), default=None)}).default() is None
    kept = Space.of({"clip": Choice((1.0, None), default=None)}).to_json()
    assert kept == {"clip": {"choice": [1.0, None], "default": None}}
    assert Space.of(kept).default() == {"clip": None}


def test_messages_about_many_values_are_short() -> None:
    many = Choice(tuple(range(100_000)))
    assert len(describe(many)) < 100
    assert "100,000 values" in describe(many)
