"""What networks answer for quantiles, counts, labels and ordered classes; and that these networks can be ONNX files."""

import pytest
import torch

from automl.data.shapes import Inputs, Outputs
from automl.errors import SpecError
from automl.models import build
from automl.models.answers.links import Linked, ordered

LINKS = {
    "quantiles": Outputs(6, "values", None, {"kind": "quantiles", "each": 3}),
    "counts": Outputs(2, "values", None, {"kind": "counts"}),
    "labels": Outputs(3, "values", None, {"kind": "labels"}),
    "ordinal": Outputs(4, "classes", None, {"kind": "ordinal"}),
}


def test_ordered_classes_have_the_differences_of_falling_sigmoids() -> None:
    out = 3 * torch.randn(50, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    steps = torch.nn.functional.softplus(out[:, 1:]).cumsum(1)
    above = torch.cat([torch.ones(50, 1), out[:, :1].sigmoid(), (out[:, :1] - steps).sigmoid(), torch.zeros(50, 1)], 1)
    torch.testing.assert_close(ordered(out).exp(), above[:, :-1] - above[:, 1:])
    assert ordered(1e4 * out.sign()).isfinite().all()
    torch.testing.assert_close(ordered(out[:, :1]).exp()[:, 1], out[:, 0].sigmoid())


def test_quantiles_are_sorted_for_each_target_alone() -> None:
    module = Linked(torch.nn.Identity(), {"kind": "quantiles", "each": 2})
    x = torch.tensor([[2.0, 1.0, 0.0, 5.0]])
    assert module.eval()(x).tolist() == [[1.0, 2.0, 0.0, 5.0]]
    assert module.train()(x).tolist() == x.tolist()


def test_a_strangers_link_is_checked() -> None:
    for link in ({"kind": "code"}, {"kind": "quantiles", "each": 0}, {"kind": "quantiles", "each": "3"}):
        with pytest.raises(SpecError, match="is none of quantiles, counts"):
            Linked(torch.nn.Identity(), link)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the exporter, about coming versions
@pytest.mark.parametrize("kind", ["counts", "labels", "ordinal"])  # sorting has a size that is not known beforehand
def test_a_network_with_a_link_is_an_onnx_file_that_is_allowed(kind: str) -> None:
    pytest.importorskip("onnxscript", reason="the extra `onnx` is not installed")
    from automl.bundle.compressed import graph

    module = build("mlp")({"width": 4}, Inputs(3), LINKS[kind]).eval()
    rows = ({0: torch.export.Dim("rows")},)
    made = torch.onnx.export(
        module, (torch.randn(3, 3),), dynamo=True, external_data=False, dynamic_shapes=rows, verbose=False
    )
    assert made is not None
    graph.check(made.model_proto.SerializeToString(), Inputs(3))
