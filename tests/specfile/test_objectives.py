"""Several objectives, limits and the choice of the winner in `space.yaml`."""

from typing import Any

import pytest

from automl import specfile
from automl.core.objectives.goals import Limit

BASE: dict[str, Any] = {
    "model": "mlp",
    "data": "digits",
    "epochs": 3,
    "budget": {"trials": 5},
    "space": {"lr": {"float": [1e-3, 1e-1], "log": True}},
}
PROGRAM: dict[str, Any] = {"train": "my.module:train", "budget": {"trials": 5}, "space": {"lr": {"float": [0.1, 1.0]}}}


def read(**keys: Any) -> specfile.Spec:
    return specfile.from_json({**BASE, **keys})


def complaints(base: dict[str, Any], **keys: Any) -> str:
    with pytest.raises(specfile.InvalidSpec) as raised:
        specfile.from_json({**base, **keys})
    return str(raised.value)


LIST = ["val_log_loss", {"name": "parameters"}, {"name": "latency_ms", "at_most": 5}]


@pytest.mark.parametrize("keys", [{"objectives": LIST}, {"metric": "val_log_loss", "objectives": LIST[1:]},
                                  {"metric": "val_log_loss", "objectives": LIST}])  # fmt: skip
def test_the_first_objective_is_the_metric(keys: dict[str, Any]) -> None:
    spec = read(**keys)
    assert spec.metric.name == "val_log_loss"
    assert [m.name for m in spec.objectives.metrics] == ["val_log_loss", "parameters"]
    assert spec.objectives.metrics[1].direction == "minimize"
    assert spec.objectives.limits == (Limit("latency_ms", 5.0),)
    again = specfile.from_json(spec.to_json())
    assert again.objectives == spec.objectives


def test_one_metric_may_be_limited_and_a_winner_chosen() -> None:
    assert read(metric="val_loss", objectives=[{"name": "bytes", "at_most": 1e6}]).objectives.several is False
    spec = read(objectives=["val_loss", "flops"], choose={"at_most": {"flops": 1e4}})
    assert spec.objectives.choose == (Limit("flops", 1e4),)
    assert read(objectives=["val_loss", "flops"], choose="knee").objectives.choose == ()
    assert specfile.from_json(spec.to_json()).objectives.choose == spec.objectives.choose


@pytest.mark.parametrize(
    ("base", "keys", "says"),
    [
        (BASE, {"objectives": ["val_loss", "parameter"]}, "'parameter' is not measured; did you mean 'parameters'"),
        (BASE, {"objectives": [{"name": "parameters", "at_most": 5}, "val_loss"]}, "has no limit; add metric"),
        (BASE, {"objectives": "val_loss"}, "needs a list of metrics"),
        (BASE, {"objectives": []}, "objectives"),
        (BASE, {"objectives": ["val_loss", "flops", "flops"]}, "given twice"),
        (BASE, {"objectives": ["val_loss", {"name": "flops", "at_most": 3, "direction": "minimize"}]}, "no direction"),
        (BASE, {"objectives": ["val_loss", {"name": "flops", "below": 3}]}, "below"),
        (BASE, {"objectives": ["val_loss", "flops"], "ensemble": 3, "finalists": {}}, "works with one objective"),
        (BASE, {"objectives": ["val_loss", {"name": "flops", "at_most": 9}], "pack": True}, "and no limits"),
        (BASE, {"objectives": ["val_loss", "flops"], "choose": "best"}, "needs knee or"),
        (BASE, {"objectives": ["val_loss", "flops"], "choose": {"at_most": {"flop": 3}}}, "did you mean 'flops'"),
        (BASE, {"metric": "val_loss", "objectives": ["val_loss"]}, ""),
        (BASE, {"model": ["mlp", "trees"], "objectives": ["val_loss", "bytes"]}, "trees is none"),
        (PROGRAM, {"objectives": ["val_loss", "size"]}, "lower or higher is better"),
    ],
)
def test_mistakes_are_told(base: dict[str, Any], keys: dict[str, Any], says: str) -> None:
    if not says:
        assert specfile.from_json({**base, **keys}).objectives.plain
        return
    assert says in complaints(base, **keys)


def test_a_pattern_for_reports_has_every_objective() -> None:
    command = {"command": ["python", "train.py"], "budget": {"trials": 3}, "space": {"lr": {"float": [0.1, 1.0]}}}
    keys = {"report": "loss=(?P<val_loss>[0-9.]+)", "objectives": ["val_loss", {"name": "ms", "at_most": 3}]}
    assert "(?P<ms>" in complaints(command, **keys)
