import numpy as np
import pandas as pd
import pytest
import torch

from automl.data import load
from automl.errors import SpecError
from automl.models import build
from automl.training import Trainer
from automl.training.optimizers import Lion

FULL = {
    "depth": 3, "width": 32, "norm": "batch", "dropout": 0.2, "residual": True, "lr": 3e-3, "batch_size": 64,
    "schedule": "cosine", "warmup": 0.1, "clip": 1.0, "ema": 0.9, "label_smoothing": 0.05, "weight_decay": 1e-3,
}  # fmt: skip


@pytest.fixture(scope="module")
def digits():
    return load("digits", seed=1)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "nadam", "rmsprop", "adafactor", "muon", "lion"])
def test_each_optimizer_learns_and_resumes_exactly(digits, optimizer):
    config = {**FULL, "optimizer": optimizer, "lr": {"sgd": 0.1, "lion": 5e-3, "adafactor": 0.03}.get(optimizer, 3e-3)}
    through = Trainer(build("mlp"), digits, config, 4, seed=3)
    reports = [through.epoch() for _ in range(4)]
    assert reports[-1]["val_accuracy"] > 0.85, reports[-1]
    half = Trainer(build("mlp"), digits, config, 4, seed=3)
    half.epoch(), half.epoch()
    state = half.state()
    torch.manual_seed(12345)
    rest = Trainer(build("mlp"), digits, config, 4, seed=3)
    rest.load(state)
    assert [rest.epoch(), rest.epoch()] == reports[2:]
    assert all(torch.equal(a, b) for a, b in zip(rest.weights().values(), through.weights().values(), strict=True))


def test_everything_random_comes_from_the_trials_seed(digits):
    def run(seed):
        torch.rand(7)
        return Trainer(build("mlp"), digits, FULL, 2, seed=seed).epoch()

    before = torch.get_rng_state()
    one = run(5)
    torch.set_rng_state(before)
    torch.rand(7)
    expected_next = torch.rand(1)
    torch.set_rng_state(before)
    assert run(5) == one
    assert torch.equal(torch.rand(1), expected_next), "the caller's random numbers were touched"
    assert run(6) != one


def test_regression_reports_the_unit_of_the_data():
    made = load("diabetes", seed=2)
    trainer = Trainer(build("mlp"), made, {"width": 32, "lr": 3e-3}, 15, seed=0)
    for _ in range(15):
        report = trainer.epoch()
    values = trainer.predict(made.val.x) * made.target_scale + made.target_center
    truth = made.val.y * made.target_scale + made.target_center
    assert report["val_rmse"] == pytest.approx(float((values - truth).square().mean().sqrt()), rel=1e-4)
    assert 40 < report["val_rmse"] < 70


def test_weights_steer_what_is_learned():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=400), "y": rng.choice(["u", "v"], 400), "w": 1.0})
    frame["w"] = np.where(frame.y == "u", 10.0, 0.1)
    made = load(frame, target="y", prepare={"weight": "w"})
    trainer = Trainer(build("mlp"), made, {"width": 16, "lr": 1e-2}, 5, seed=0)
    for _ in range(5):
        report = trainer.epoch()
    assert (trainer.predict(made.val.x).argmax(1) == 0).float().mean() > 0.95
    assert report["val_accuracy"] > 0.95


def test_the_average_of_weights_is_what_is_evaluated_and_kept(digits):
    trainer = Trainer(build("mlp"), digits, {**FULL, "ema": 0.99}, 2, seed=0)
    trainer.epoch()
    plain = build("mlp")(FULL, digits.inputs, digits.outputs)
    plain.load_state_dict(trainer.weights())
    plain.eval()
    assert torch.allclose(plain(digits.val.x), trainer.predict(digits.val.x), atol=1e-5)
    assert not torch.equal(trainer.weights()["1.0.weight"], trainer.model.state_dict()["1.0.weight"])


def test_a_left_over_sample_does_not_stop_a_batch_norm():
    x = np.random.default_rng(0).normal(size=(130, 3)).astype(np.float32)
    parts = {"train": (x[:65], x[:65, :1] > 0), "val": (x[65:], x[65:, :1] > 0)}
    made = load({k: (a, b[:, 0].astype(int)) for k, (a, b) in parts.items()}, split={"train": 0.5, "val": 0.5})
    assert np.isfinite(Trainer(build("mlp"), made, {"norm": "batch", "batch_size": 64}, 1, seed=0).epoch()["val_loss"])


def test_lion_is_the_papers_rule():
    p = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = Lion([p], lr=0.1, betas=(0.9, 0.99), weight_decay=0.5)
    momentum, value = torch.zeros(2), p.detach().clone()
    for grad in (torch.tensor([0.3, -0.1]), torch.tensor([-9.0, 0.2])):
        p.grad = grad.clone()
        optimizer.step()
        value = value * (1 - 0.1 * 0.5) - 0.1 * (0.9 * momentum + 0.1 * grad).sign()
        momentum = 0.99 * momentum + 0.01 * grad
        assert torch.allclose(p.detach(), value)


@pytest.mark.parametrize(
    ("config", "message"),
    [({"optimizer": "adamww"}, "did you mean 'adamw'"), ({"schedule": "cosin"}, "did you mean 'cosine'"),
     ({"lr": -1.0}, "lr must be"), ({"batch_size": 2.5}, "whole number"), ({"ema": 1.0}, "below 1"),
     ({"activation": "rellu"}, "did you mean 'relu'"), ({"dropout": 1.0}, "dropout"), ({"depth": 0}, "depth")],
)  # fmt: skip
def test_wrong_hyperparameters_are_told(digits, config, message):
    with pytest.raises(SpecError, match=message):
        Trainer(build("mlp"), digits, config, 1, seed=0)
