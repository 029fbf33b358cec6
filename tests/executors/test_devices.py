"""Which GPUs a worker gets."""

import pytest

from automl.errors import SpecError
from automl.executors.devices import shares


@pytest.mark.parametrize(
    ("gpus", "each", "expected"),
    [
        ([], 1, []),
        ([], 2, []),
        (["0", "1"], 1, [("0",), ("1",)]),
        (["0", "1"], 0.5, [("0",), ("1",), ("0",), ("1",)]),
        (["0", "1", "2"], 2, [("0", "1")]),
        (["3", "GPU-a", "5", "6"], 2, [("3", "GPU-a"), ("5", "6")]),
    ],
)
def test_shares(gpus: list[str], each: float, expected: list[tuple[str, ...]]) -> None:
    assert shares(gpus, each) == expected


@pytest.mark.parametrize(("gpus", "each"), [(["0"], 2), (["0", "1"], 1.5), (["0"], 0), (["0"], -1)])
def test_what_makes_no_sense(gpus: list[str], each: float) -> None:
    with pytest.raises(SpecError, match="gpus"):
        shares(gpus, each)
