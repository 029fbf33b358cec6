"""Trees as a network: damaged arrays are refused, and whatever is read stays within its arrays."""

import pytest
import torch
from torch import Tensor

from automl.data.shapes import Inputs, Outputs
from automl.errors import BundleError, SpecError
from automl.models import build
from automl.models.tables.trees import Trees


def stump() -> dict[str, Tensor]:
    """One tree with a split of feature 0 at 0.5, and one by category of feature 1 below its high child."""
    return {
        "feature": torch.tensor([0, 0, 1, 0, 0]), "threshold": torch.tensor([0.5, 0, 0, 0, 0]).double(),
        "low": torch.tensor([1, 1, 3, 3, 4]), "high": torch.tensor([2, 1, 4, 3, 4]),
        "missing_low": torch.tensor([True, False, False, False, False]), "subset": torch.tensor([0, 0, 1, 0, 0]),
        "value": torch.tensor([0, 1.0, 0, 2.0, 3.0]).double(),
        "subsets": torch.tensor([[False] * 3, [False, True, False]]), "root": torch.tensor([0]),
        "unit": torch.tensor([1]), "base": torch.tensor([0.0, 10.0]).double(),
    }  # fmt: skip


def test_rows_follow_numbers_categories_and_missing_values() -> None:
    trees = build("trees")({}, Inputs(2, "table", cardinalities=(3,)), Outputs(2))
    trees.load_state_dict(stump())
    nan = float("nan")
    rows = torch.tensor([[0.5, 1.0], [0.6, 1.0], [0.6, 2.0], [nan, 2.0], [0.6, nan], [0.6, 99.0]])
    assert trees(rows)[:, 1].tolist() == [11.0, 12.0, 13.0, 11.0, 13.0, 13.0]
    assert trees(rows)[:, 0].tolist() == [0.0] * 6


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("low", [0, 1, 3, 3, 4], "child stands before its parent"),  # the root is its own child on one side
        ("high", [2, 0, 4, 3, 4], "child stands before its parent"),  # a circle
        ("high", [2, 1, 7, 3, 4], "high has a number outside 0 to 4"),
        ("feature", [0, 0, 2, 0, 0], "feature has a number outside 0 to 1"),
        ("feature", [-1, 0, 1, 0, 0], "feature has a number outside 0 to 1"),
        ("subset", [0, 0, 2, 0, 0], "subset has a number outside 0 to 1"),
        ("root", [5], "root has a number outside 0 to 4"),
        ("unit", [2], "unit has a number outside 0 to 1"),
        ("value", [0.0, 1.0], "not of one length"),
        ("base", [[0.0, 1.0]], "base has 2 axes"),
    ],
)
def test_damaged_trees_are_refused(name: str, value: list[float], says: str) -> None:
    arrays = stump()
    with pytest.raises(BundleError, match=says):
        Trees(2, 2).set({**arrays, name: torch.tensor(value).to(arrays[name].dtype)})


def test_texts_are_refused() -> None:
    with pytest.raises(SpecError, match="texts are tokens"):
        build("trees")({}, Inputs((7,), "tokens", vocabulary=9), Outputs(2))
