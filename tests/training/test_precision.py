import pytest
import torch
from torch import nn

from automl.data import load
from automl.errors import EnvironmentProblem
from automl.models import build
from automl.training import Settings, Trainer
from automl.training.precision import autocast


@pytest.fixture(scope="module")
def digits():
    return load("digits", seed=0)


class Small(nn.Module):
    """A device with room for 20 samples."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and len(x) > 20:
            raise torch.OutOfMemoryError("pretended")
        return self.layer(x)


def test_no_memory_is_answered_by_smaller_pieces_with_the_same_result(digits):
    config = {"batch_size": 64, "lr": 1e-2, "clip": 1.0}
    plain = Trainer(lambda c, i, o: nn.Sequential(nn.Linear(i, o)), digits, config, 2, seed=0)
    small = Trainer(lambda c, i, o: Small(i, o), digits, config, 2, seed=0, settings=Settings(oom="accumulate"))
    small.model.layer.load_state_dict(plain.model[0].state_dict())
    one, other = plain.epoch(), small.epoch()
    assert small.step.micro_batch == 16
    assert other == pytest.approx(one, rel=1e-4)
    with pytest.raises(torch.OutOfMemoryError):
        Trainer(lambda c, i, o: Small(i, o), digits, config, 2, seed=0).epoch()


def test_weighted_pieces_give_the_weighted_batch():
    data = load("breast_cancer", prepare={"class_weight": "balanced"})
    config = {"batch_size": 64, "optimizer": "sgd", "lr": 0.1}
    plain = Trainer(build("mlp"), data, config, 1, seed=0)
    pieces = Trainer(build("mlp"), data, config, 1, seed=0)
    pieces.step.micro_batch = 7
    assert pieces.epoch() == pytest.approx(plain.epoch(), rel=1e-3)


def test_bf16_on_request(digits):
    trainer = Trainer(build("mlp"), digits, {"lr": 3e-3}, 3, seed=0, settings=Settings(precision="bf16"))
    reports = [trainer.epoch() for _ in range(3)]
    assert reports[-1]["val_accuracy"] > 0.85
    assert all(p.dtype == torch.float32 for p in trainer.model.parameters())
    with pytest.raises(EnvironmentProblem, match="fp16 needs a GPU"):
        Trainer(build("mlp"), digits, {}, 1, seed=0, settings=Settings(precision="fp16"))


def test_a_compiler_that_fails_is_told_once_and_left_out(digits):
    trainer = Trainer(build("mlp"), digits, {}, 2, seed=0)

    def broken(x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no compiler here\nand much more text")

    trainer.runner.call = broken
    with pytest.warns(UserWarning, match="going on without it: no compiler here"):
        trainer.epoch()
    trainer.epoch()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("family", ["mlp", "convnet", "transformer"])
def test_on_a_gpu_each_format_learns(digits, family):
    for precision in ("fp32", "tf32", "bf16", "fp16"):
        config = {"width": 32, "lr": 3e-3, "batch_size": 64}
        trainer = Trainer(build(family), digits, config, 4, 0, "cuda", Settings(precision=precision))
        reports = [trainer.epoch() for _ in range(4)]
        assert reports[-1]["val_accuracy"] > 0.6, precision


def test_an_lstm_computes_in_bf16_on_every_cpu():
    lstm, x = torch.nn.LSTM(3, 4, batch_first=True), torch.randn(2, 5, 3)
    before = torch.backends.mkldnn.enabled
    with autocast(torch.device("cpu"), torch.bfloat16):
        out, _ = lstm(x)
    out.float().sum().backward()
    assert not torch.equal(out.float(), lstm(x)[0])
    assert torch.backends.mkldnn.enabled == before
    torch.testing.assert_close(out.float(), lstm(x)[0], atol=0.02, rtol=0.02)
