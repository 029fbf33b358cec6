"""TabM: members answer for themselves in training and together in evaluation."""

import pytest
import torch

from automl.data.shapes import Inputs, Outputs
from automl.errors import SpecError
from automl.models import build
from automl.training import losses


def test_members_differ_and_are_averaged() -> None:
    torch.manual_seed(0)
    model = build("tabm")({"members": 4, "width": 8, "dropout": 0.0}, Inputs(5), Outputs(3))
    x = torch.randn(7, 5)
    members = model(x).detach()
    assert members.shape == (7, 4, 3)
    assert float(members.std(1).min()) > 0
    probabilities = members.softmax(-1).mean(1)
    torch.testing.assert_close(model.eval()(x).detach().softmax(-1), probabilities)
    values = build("tabm")({"members": 4, "width": 8}, Inputs(5), Outputs(2, "values")).eval()
    assert values(x).shape == (7, 2)


def test_the_loss_is_the_mean_of_the_members_losses() -> None:
    out, weight = torch.randn(6, 4, 3), torch.rand(6)
    for kind, y in (("classification", torch.randint(0, 3, (6,))), ("regression", torch.randn(6, 3))):
        each = [losses.loss(kind, out[:, k], y, weight) for k in range(4)]
        torch.testing.assert_close(losses.loss(kind, out, y, weight), torch.stack(each).mean())


def test_most_weights_are_shared() -> None:
    count = {k: sum(p.numel() for p in build("tabm")({"members": k}, Inputs(20), Outputs(2)).parameters())
             for k in (1, 16)}  # fmt: skip
    assert count[16] < 1.5 * count[1]


def test_mup_is_refused_in_a_sentence() -> None:
    with pytest.raises(SpecError, match="mup is not defined"):
        build("tabm")({"parametrization": "mup"}, Inputs(5), Outputs(3))
