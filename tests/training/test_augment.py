import pytest
import torch

from automl.data import Inputs, Prepared, load
from automl.errors import SpecError
from automl.models import build
from automl.training import Settings, Trainer, augment, strengths

IMAGE = Inputs((2, 8, 6))


def numbers(n: int) -> torch.Tensor:
    return torch.rand(n, augment.UNIFORMS, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", list(strengths.LIMITS))
def test_no_strength_changes_nothing_and_some_strength_something(name):
    x = torch.randn(6, 2, 8, 6, generator=torch.Generator().manual_seed(1))
    noise = torch.randn_like(x)
    same, own = augment.apply(x, {name: torch.zeros(6)}, IMAGE, numbers(6), noise)
    assert torch.allclose(same, x, atol=1e-5)
    assert torch.allclose(own, torch.ones(6))
    strong = {"rotate": 40.0}.get(name, 0.6)
    changed, own = augment.apply(x, {name: strong}, IMAGE, numbers(6), noise)
    assert changed.shape == x.shape
    assert not torch.allclose(changed, x, atol=1e-2)
    assert (own < 1).any() == (name in ("mixup", "cutmix"))


def test_strengths_may_differ_from_sample_to_sample():
    x = torch.randn(4, 2, 8, 6)
    strength = torch.tensor([0.0, 0.5, 0.0, 0.5])
    for name in ("shift", "crop", "cutmix", "mixup"):
        out, own = augment.apply(x, {name: strength}, IMAGE, numbers(4))
        assert torch.allclose(out[[0, 2]], x[[0, 2]], atol=1e-5), name
        assert torch.allclose(own[[0, 2]], torch.ones(2))
        assert not torch.allclose(out[[1, 3]], x[[1, 3]], atol=1e-3), name


def test_a_flip_is_a_mirror_and_a_half_turn_two():
    x = torch.randn(3, 1, 5, 5)
    u = numbers(3)
    flipped, _ = augment.apply(x, {"flip": 1.0}, Inputs((1, 5, 5)), u)
    assert torch.allclose(flipped, x.flip(3), atol=1e-5)
    u[:, 1] = 1.0
    turned, _ = augment.apply(x, {"rotate": 180.0}, Inputs((1, 5, 5)), u)
    assert torch.allclose(turned, x.flip(2, 3), atol=1e-4)
    flat, _ = augment.apply(x.flatten(1), {"flip": 1.0}, Inputs(25), u)
    assert torch.allclose(flat, x.flip(3).flatten(1), atol=1e-5)


@pytest.mark.parametrize("names", [("mixup",), ("cutmix",), ("mixup", "cutmix")])
def test_targets_are_mixed_as_the_samples_are(names):
    y = torch.tensor([0, 1, 2, 0, 1, 2, 0])
    x = torch.nn.functional.one_hot(y, 3).float()[:, :, None, None].expand(7, 3, 16, 16).clone()
    out, own = augment.apply(x, dict.fromkeys(names, 0.9), Inputs((3, 16, 16)), numbers(7))
    target = augment.mixed_targets("classification", y, own, 3)
    assert torch.allclose(target.sum(1), torch.ones(7))
    assert torch.allclose(out.mean((2, 3)), target, atol=1e-5)


@pytest.fixture(scope="module")
def digits() -> Prepared:
    return load("digits", seed=0)


def test_training_with_augmentation_learns_and_resumes(digits):
    config = {"width": 8, "lr": 1e-2, "batch_size": 64, "shift": 0.1, "mixup": 0.3, "label_smoothing": 0.1}
    settings = Settings(augment={"rotate": 5.0, "noise": 0.1, "cutmix": 0.2})
    trainer = Trainer(build("convnet"), digits, config, 4, seed=0, settings=settings)
    reports = [trainer.epoch() for _ in range(3)]
    state = trainer.state()
    assert reports[-1]["val_accuracy"] > 0.7, reports
    again = Trainer(build("convnet"), digits, config, 4, seed=0, settings=settings)
    again.load(state)
    assert again.epoch() == trainer.epoch()


def test_regression_can_be_mixed():
    report = Trainer(build("mlp"), load("diabetes"), {"mixup": 0.5, "noise": 0.1}, 3, seed=0).epoch()
    assert report["val_loss"] < 2


@pytest.mark.parametrize(
    ("strengths", "inputs", "message"),
    [
        ({"flip": 0.5}, Inputs(7), "flip needs images"),
        ({"noise": 0.5}, Inputs((7,), "tokens", 9), "tokens"),
        ({"mixup": 0.5}, Inputs((7,), "table", cardinalities=(3,)), "onehot"),
    ],
)
def test_what_does_not_go_together_is_told(strengths, inputs, message):
    with pytest.raises(SpecError, match=message):
        augment.check(strengths, inputs)


def test_wrong_strengths_are_told():
    with pytest.raises(SpecError, match="from 0 to 1"):
        strengths.read({"mixup": 1.5})
    with pytest.raises(SpecError, match="unknown operation 'flipp'"):
        strengths.read({}, {"flipp": 0.5})
    assert strengths.read({"flip": 0.0, "shift": 0.2}, {"shift": 0.5, "noise": 0.1}) == {"shift": 0.2, "noise": 0.1}
