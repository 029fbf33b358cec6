"""Hydra's override syntax as a space, and back."""

import pytest

from automl.core.space import Choice, Float, Int
from automl.errors import SpecError

pytest.importorskip("hydra", reason="needs the extra hydra: pip install 'automl-search[hydra]'")

from automl.sweeping.overrides import read, written
from automl.sweeping.sweep import fractions


class Loader:
    """Knows the options of one config group."""

    def get_group_options(self, group, results_filter=None):
        return ["deep", "wide"] if group == "model" else []


def swept(*arguments, params=None, space=None):
    return read(arguments, params or {}, space or {}, Loader())


@pytest.mark.parametrize(
    ("line", "parameter"),
    [
        ("x=interval(0,1)", Float(0, 1)),
        ("x=interval(0.5,1.5)", Float(0.5, 1.5)),
        ("x=int(interval(1,8))", Int(1, 8)),
        ("x=tag(log,interval(1e-4,1))", Float(1e-4, 1, log=True)),
        ("x=tag(log,int(interval(1,100)))", Int(1, 100, log=True)),
        ("x=range(1,10)", Int(1, 9)),
        ("x=range(1,10,2)", Int(1, 9, step=2)),
        ("x=range(10,1,-3)", Int(4, 10, step=3)),
        ("x=range(0,1,0.25)", Choice((0.0, 0.25, 0.5, 0.75), ordered=True)),
        ("x=range(3,4)", Choice((3,), ordered=True)),
        ("x=a,b", Choice(("a", "b"))),
        ("x=choice(1,true,a)", Choice((1, True, "a"))),
        ("x=null,1", Choice((None, 1))),
        ("x='two words',\"1\"", Choice(("two words", "1"))),
        ("x=[1,2],[3]", Choice(([1, 2], [3]))),
        ("x=shuffle(sort(3,1,2))", Choice((1, 2, 3))),
    ],
)
def test_each_form_of_a_sweep_is_a_parameter(line, parameter):
    found = swept(line).space.params["x"]
    if "shuffle" in line:
        assert set(found.choices) == set(parameter.choices)
    else:
        assert found == parameter


def test_the_options_of_a_group_are_found_by_a_pattern():
    assert swept("model=glob(*)").space.params["model"] == Choice(("deep", "wide"))


def test_keys_keep_their_prefix_and_package():
    found = swept("+model.new=1,2", "++force=1,2", "model@teacher=deep,wide", "seed=3", "~gone")
    assert list(found.space.params) == ["model.new", "force", "model@teacher"]
    config = {"model.new": 1, "force": 2, "model@teacher": "deep"}
    assert found.overrides(config) == ["seed=3", "~gone", "+model.new=1", "++force=2", "model@teacher=deep"]


def test_a_mapping_among_the_values_is_told_to_hydra_as_it_was_written():
    found = swept("x={a:1,b:[2]},plain")
    assert [found.overrides({"x": v}) for v in found.space.params["x"].choices] == [["x={a:1,b:[2]}"], ["x=plain"]]


def test_the_command_line_comes_before_params_and_these_before_our_space():
    space = {"a": {"lr": {"float": [0, 1]}, "b": [1, 2]}, "c": 7, "d": [3, 4]}
    found = swept("d=5,6", params={"a": {"b": "range(1,4)"}, "e": [1, 2]}, space=space)
    assert dict(found.space.params) == {
        "a.lr": Float(0, 1), "a.b": Int(1, 3), "e": Choice((1, 2)), "d": Choice((5, 6)),
    }  # fmt: skip
    assert found.space.constants == {"c": 7}


def test_a_wrong_range_is_told_with_its_override():
    with pytest.raises(SpecError, match=r"x=interval\(2,1\): float needs low < high"):
        swept("x=interval(2,1)")


@pytest.mark.parametrize(
    "value", [None, True, 3, -1, 1e-05, 1e300, "adam", "two words", "null", "True", "1e3", "it's", "a,b", "a=b", "${x}",
              "[1]", "", "back\\slash", "model/deep", "ünï", [1, [2, "x y"]]],
)  # fmt: skip
def test_hydra_reads_back_each_value(value):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    (override,) = OverridesParser.create().parse_overrides([f"x={written(value)}"])
    assert not override.is_sweep_override()
    assert override.value() == value
    assert type(override.value()) is type(value)


def test_a_whole_number_that_is_swept_in_fractions_is_told():
    from omegaconf import OmegaConf

    config = OmegaConf.create({"model": {"width": 16, "lr": 0.1, "amp": True}, "layers": 2})
    ranges = ("model.width=interval(1,8)", "model.lr=interval(0,1)", "layers=int(interval(1,8))", "+more=interval(0,1)")
    (told,) = fractions(swept(*ranges).space, config)
    assert told.startswith("model.width is 16 in the config")
