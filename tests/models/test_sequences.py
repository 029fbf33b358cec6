"""Bags of tokens, and linear models."""

import pytest
import torch

from automl.data.preparing import text
from automl.data.shapes import Inputs, Outputs
from automl.errors import SpecError
from automl.models import build
from automl.models.sequences.linear import moving_average

SERIES = Inputs((12, 3), continues=(1, 1, 2))


def test_a_bag_sees_neither_order_nor_padding_nor_unknown_tokens() -> None:
    torch.manual_seed(0)
    for weighted in (False, True):
        model = build("bag")({"embedding": 4, "weighted": weighted}, Inputs((4,), "tokens", 9), Outputs(3)).eval()
        with torch.no_grad():
            out = model(torch.tensor([[2, 5, 0, 0], [5, 2, 1, 0], [1, 5, 0, 2], [2, 6, 0, 0], [0, 0, 0, 0]]))
        torch.testing.assert_close(out[0], out[1])
        torch.testing.assert_close(out[0], out[2])
        assert not torch.allclose(out[0], out[3])
        assert out.isfinite().all()


def test_pieces_of_words_with_their_ends() -> None:
    assert text.split_tokens("Why so?", "ngrams") == [
        "why", "so", "?", "why so", "so ?",
        "<wh", "why", "hy>", "<why", "why>", "<why>", "<so", "so>", "<so>", "<?>",
    ]  # fmt: skip


@pytest.mark.parametrize("config", [{}, {"columns": "all"}, {"trend": 5}, {"trend": 99, "columns": "all"}])
def test_an_untrained_linear_forecast_repeats_the_last_value(config: dict[str, object]) -> None:
    x = torch.randn(4, 12, 3)
    out = build("linear")(config, SERIES, Outputs(3, "values")).eval()(x)
    torch.testing.assert_close(out, x[:, -1, [1, 1, 2]])


def test_own_columns_and_all_columns() -> None:
    torch.manual_seed(0)
    for columns, changes in (("own", False), ("all", True)):
        model = build("linear")({"columns": columns, "from_last": False}, SERIES, Outputs(3, "values")).eval()
        with torch.no_grad():
            for p in model.parameters():
                p.copy_(torch.randn_like(p))
            x = torch.randn(4, 12, 3)
            other = x.clone()
            other[..., 0] += 1  # a column that no output continues
            assert (not torch.allclose(model(x), model(other))) is changes


def test_the_moving_average_repeats_the_ends() -> None:
    x = torch.tensor([1.0, 2, 6, 4]).view(1, 4, 1)
    torch.testing.assert_close(moving_average(x, 3).flatten(), torch.tensor([4 / 3, 3.0, 4.0, 14 / 3]))
    torch.testing.assert_close(moving_average(x, 2).flatten(), torch.tensor([1.5, 4.0, 5.0, 4.0]))


def test_other_data_get_a_linear_layer_and_texts_a_sentence() -> None:
    assert build("linear")({}, Inputs(5), Outputs(3))(torch.randn(2, 5)).shape == (2, 3)
    with pytest.raises(SpecError, match="texts need bag"):
        build("linear")({}, Inputs((4,), "tokens", 9), Outputs(3))
    with pytest.raises(SpecError, match="classifies sentences"):
        build("bag")({}, Inputs(5), Outputs(3))
