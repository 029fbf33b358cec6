"""How fast a trial trained, and what share of the device's matrix peak that is."""

import pytest
import torch
from torch import nn

import automl
from automl.data.shapes import Inputs, Outputs
from automl.models import build
from automl.training.throughput import operations, peak, rates
from automl.view.pages.trial import document, text


def test_a_fully_connected_network_trains_with_six_operations_a_weight():
    made = operations(build("mlp"), {"depth": 2, "width": 32, "norm": "none"}, Inputs((64,)), Outputs(10))
    assert made == 6 * (64 * 32 + 32 * 32 + 32 * 10)


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_recurrent_layers_are_counted_at_every_step_of_time(kind, gates):
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells, self.head = kind(4, 16, batch_first=True), nn.Linear(16, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.head(self.cells(x)[0][:, -1])
            return out

    made = operations(lambda config, inputs, outputs: Reader(), {}, Inputs((8, 4)), Outputs(3))
    assert made == 6 * (8 * gates * 16 * (4 + 16) + 16 * 3)


@pytest.mark.parametrize(
    ("family", "inputs", "outputs"),
    [
        ("sparse_mlp", Inputs((64,)), Outputs(10)),
        ("convnet", Inputs((1, 8, 8)), Outputs(10)),
        ("transformer", Inputs((16,), "tokens", 30), Outputs(30, "tokens")),
        ("lstm", Inputs((16,), "tokens", 30), Outputs(30, "tokens")),
    ],
)
def test_every_family_can_be_counted(family, inputs, outputs):
    found = operations(build(family), {}, inputs, outputs)
    assert found is not None
    assert found > 1000


def test_a_model_that_is_no_friend_of_meta_tensors_is_not_counted():
    def stubborn(config: object, inputs: Inputs, outputs: Outputs) -> nn.Module:
        layer = nn.Linear(inputs, outputs)
        layer.weight.data *= float(layer.weight.abs().max())  # a number that a meta tensor does not have
        return layer

    assert operations(stubborn, {}, Inputs((4,)), Outputs(2)) is None
    told = rates(stubborn, {}, Inputs((4,)), Outputs(2), samples=1000, seconds=100.0, device="cpu")
    assert told == {"samples_per_s": 10.0}


def test_a_short_trial_is_told_its_samples_only_and_a_long_one_its_share_of_the_peak():
    how = {"samples": 10**6, "device": "cpu"}
    given = (build("mlp"), {"width": 64}, Inputs((64,)), Outputs(10))
    assert rates(*given, seconds=5.0, **how) == {"samples_per_s": 200_000.0}
    found = rates(*given, seconds=20.0, **how)
    assert found["samples_per_s"] == 50_000
    each = operations(*given)
    assert each is not None
    assert found["tflops"] == pytest.approx(each * 50_000 / 1e12, rel=1e-3)
    assert found["peak_share"] == pytest.approx(each * 50_000 / peak("cpu", torch.float32, False), rel=1e-2)
    two = rates(*given, seconds=20.0, devices=2, **how)
    assert two["peak_share"] == pytest.approx(found["peak_share"] / 2, rel=1e-2)
    assert rates(*given, samples=0, seconds=0.0, device="cpu") == {}


def test_the_peak_is_measured_once():
    assert peak("cpu", torch.float32, False) > 1e8
    assert peak("cpu", torch.float32, False) == peak("cpu", torch.float32, False)


SPEC = """
model: mlp
data: digits
metric: val_accuracy
epochs: 2
space: {depth: 1, width: 16, lr: {float: [1e-3, 1e-1], log: true}, optimizer: {choice: [adamw, muon]}}
strategy: random
stopper: none
seed: 3
budget: {trials: 6}
finalists: none
"""


def test_a_search_keeps_the_rates_of_trials_alone_and_together(tmp_path):
    (tmp_path / "space.yaml").write_text(SPEC)
    study = automl.search(tmp_path / "space.yaml", path=tmp_path / "s", executor="inline")
    assert {t.config["optimizer"] for t in study.history.done} == {"adamw", "muon"}  # together, and alone
    for record in study.history.done:
        (attempt,) = study.attempts(record.number)
        assert attempt["details"]["samples_per_s"] > 0
        assert document(study, record.number)["attempts"] == [attempt]
        assert "samples/s" in text(study, record.number, 100)


def test_the_page_of_a_trial_has_its_share_of_the_peak(tmp_path):
    def train(trial: automl.Trial) -> None:
        trial.report(1, loss=0.5)
        trial.details = {"samples_per_s": 5e4, "tflops": 0.25, "peak_share": 0.125}

    space = {"x": automl.Float(0, 1)}
    study = automl.search(train, space=space, metric="loss", trials=1, path=tmp_path / "s", executor="inline")
    shown = text(study, study.history.done[0].number, 100)
    assert "trained on 50,000 samples/s, 0.25 TFLOP/s: 12% of the device's measured matrix peak" in shown
