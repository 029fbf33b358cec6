"""What a user may ask for, and which variant that chooses."""

from dataclasses import replace

import pytest

from automl.compression.choosing import choose
from automl.compression.measuring import Variant
from automl.compression.options import CompressOptions, options
from automl.errors import SpecError


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("bytes=1MB,latency_ms=2", {"bytes": 1e6, "latency_ms": 2}),
        ("bytes=1MiB", {"bytes": 2**20}),
        (" parameters = 20k ", {"parameters": 20_000}),
        ("latency64_ms=500us", {"latency64_ms": 0.5}),
        ("", {}),
    ],
)
def test_limits_are_read(text: str, limits: dict[str, float]) -> None:
    assert options("val_accuracy", text, None, None, None).at_most == limits


@pytest.mark.parametrize(
    ("metric", "lose", "allowed"),
    [
        ("val_accuracy", None, 0.005), ("val_loss", None, 0.005), ("val_r2", None, 0.005), ("val_rmse", None, 0.5),
        ("val_rmse", "2%", 2.0), ("val_rmse", 3, 3.0), ("val_perplexity", None, 0.5),
    ],
)  # fmt: skip
def test_what_may_be_lost_is_in_the_unit_of_the_metric_or_a_share(
    metric: str, lose: str | None, allowed: float
) -> None:
    assert options(metric, None, lose, None, None).allowed(100.0) == pytest.approx(allowed)


@pytest.mark.parametrize(
    ("at_most", "lose", "ways", "epochs", "told"),
    [
        ("byte=3", None, None, None, r"unknown limit 'byte'; did you mean 'bytes'\?"),
        ("bytes=much", None, None, None, "bytes=much is not a number above 0 such as bytes=1MB"),
        ("latency_ms=-1", None, None, None, "is not a number above 0"),
        ("bytes", None, None, None, "is not a number above 0"),
        (None, "much", None, None, "lose: much is not a number such as 0.005"),
        (None, "-1", None, None, "lose: -1"),
        (None, "nan", None, None, "lose: nan"),
        (None, None, ["prunes"], None, r"unknown 'prunes'; did you mean 'prune'\?"),
        (None, None, None, 0, "epochs: must be at least 1"),
    ],
)
def test_what_cannot_be_read_is_told(at_most, lose, ways, epochs, told: str) -> None:
    with pytest.raises(SpecError, match=told):
        options("val_loss", at_most, lose, ways, epochs)


ORIGINAL = Variant("original", bytes=1000, parameters=250, latency_ms=1.0, latency64_ms=9.0, score=0.9)
SMALL = Variant("small", "int8", bytes=250, parameters=250, latency_ms=0.5, latency64_ms=8.0, score=0.9, low=-0.002)
FAST = replace(SMALL, name="fast", way="onnx", bytes=990, latency_ms=0.2)
BAD = replace(SMALL, name="bad", way="prune", bytes=20, latency_ms=0.1, gain=-0.1, low=-0.2, high=-0.05)
SLOW = replace(SMALL, name="slow", way="rank", bytes=100, latency_ms=1.2, latency64_ms=20.0)
TOGETHER = replace(SMALL, name="together", bytes=240, alone=False)
BEATEN = replace(SMALL, name="beaten", bytes=260, latency_ms=0.6)
FAILED = Variant("failed", "int8", failed="no reason")
ALL = [ORIGINAL, SMALL, FAST, BAD, SLOW, TOGETHER, BEATEN, FAILED]


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        ({}, "small"),  # 250 bytes times 0.5 ms
        ({"latency_ms": 0.3}, "fast"),
        ({"bytes": 245}, "together"),  # there is no other one
        ({"bytes": 100, "latency_ms": 1.3}, "slow"),
        ({"bytes": 100}, None),  # slower than the original, and nobody has said how slow it may be
        ({"parameters": 100}, None),
    ],
)
def test_the_chosen_one_is_within_the_limits(limits: dict[str, float], name: str | None) -> None:
    chosen = choose(ALL, CompressOptions(limits)).chosen
    assert (chosen.name if chosen else None) == name


def test_everything_that_was_not_chosen_for_a_reason_has_it() -> None:
    found = choose(ALL, CompressOptions({"latency_ms": 0.55}))
    assert "may lose 0.2 of the score" in found.reasons["bad"]
    assert found.reasons["slow"] == "latency_ms 1.2 is above 0.55"
    assert found.reasons.keys() == {"bad", "slow", "beaten", "original"}
    assert choose(ALL, CompressOptions()).reasons["slow"] == "slower at one row than the original"


def test_the_front_has_what_no_other_beats() -> None:
    assert choose(ALL, CompressOptions()).front == {"fast", "bad", "slow", "together"}
    assert choose([ORIGINAL, BEATEN], CompressOptions()).front == {"beaten"}
