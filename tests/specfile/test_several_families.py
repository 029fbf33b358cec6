"""`model: [mlp, trees]`: one space in which each parameter exists only for the families that read it."""

import pytest

from automl import specfile
from automl.specfile.yaml.complaint import InvalidSpec

SPEC = """
model: [mlp, trees]
data: t.csv
target: y
metric: val_accuracy
epochs: 4
space:
  architecture: {width: [8, 16], depth: 2, activation: [relu, silu]}
  trees: {leaves: {int: [4, 31]}, rounds: 40}
  optimizer: {optimizer: [sgd, adamw], momentum: {float: [0.5, 0.9], when: {optimizer: sgd}}}
budget: {trials: 6}
"""


def test_each_family_has_its_own_parameters() -> None:
    read = specfile.parse(SPEC)
    assert read.model == "mlp, trees"
    space = read.space
    assert space.completed({"model": "trees"}) == {
        "model": "trees", "leaves": 18, "rounds": 40, "prepare_impute": "none", "prepare_categorical": "embed",
    }  # fmt: skip
    net = space.completed({"model": "mlp", "optimizer": "adamw"})
    assert set(net) == {"model", "width", "depth", "activation", "optimizer"}
    assert "momentum" in space.completed({"model": "mlp", "optimizer": "sgd"})
    assert space.default() is not None


def test_it_survives_being_written_and_read() -> None:
    read = specfile.parse(SPEC)
    again = specfile.from_json(read.to_json(), name="s")
    assert again.space.to_json() == read.space.to_json()
    assert list(again.space.params) == list(read.space.params)  # in which order a resumed search draws them
    assert again.model == read.model


def test_what_somebody_has_chosen_of_the_preparation_stays() -> None:
    given = specfile.parse(f"{SPEC}prepare: {{categorical: onehot, pca: 3}}\n")
    assert not [name for name in given.space.params if name.startswith("prepare_")]
    searched = specfile.parse(SPEC.replace("space:", "space:\n  prepare: {impute: [mean, median]}"))
    assert not searched.space.params["prepare_impute"].when
    assert searched.space.params["prepare_categorical"].when == {"model": ("trees",)}


def test_a_single_family_gets_its_preparation_without_parameters() -> None:
    alone = specfile.parse(SPEC.replace("[mlp, trees]", "[trees]"))
    assert alone.model == "trees"
    assert alone.prepare == {"impute": "none", "categorical": "embed"}
    assert "model" not in alone.space.params
    assert any("optimizer" in warning and "has no effect" in warning for warning in alone.warnings)


def test_a_condition_of_the_user_may_name_the_family() -> None:
    read = specfile.parse(SPEC.replace("depth: 2", "depth: {int: [1, 3], when: {model: mlp}}"))
    assert read.space.params["depth"].when == {"model": ("mlp",)}


@pytest.mark.parametrize(
    ("was", "becomes", "says"),
    [
        ("[mlp, trees]", "[mlp, treees]", r"2:14: model\[1\]: unknown model family 'treees'; did you mean 'trees'"),
        ("[mlp, trees]", "[mlp, mlp]", "needs each family once"),
        ("[mlp, trees]", "[]", "needs a family, package.module:build, or a list"),
        ("[mlp, trees]", "[mlp, my:build]", "a model of your own, which cannot stand in a list"),
        ("epochs: 4", "epochs: 4\nfuse: require", "trees are grown one trial at a time"),
        ("epochs: 4", "epochs: 4\nprepare: {impute: none}", "mlp needs a number in every cell"),
        ("rounds: 40", "rounds: 0", "rounds must be at least 1"),
        ("leaves: {int: [4, 31]}", "shrinkage: 2", r"shrinkage must be in \(0, 1\]"),
        ("leaves: {int: [4, 31]}", "library: [sklearn, lightgmb]", "did you mean 'lightgbm'"),
    ],
)
def test_mistakes_are_named(was: str, becomes: str, says: str) -> None:
    with pytest.raises(InvalidSpec, match=says) as caught:
        specfile.parse(SPEC.replace(was, becomes))
    assert len(caught.value.complaints) == 1
