"""Batches of all lanes at once: which samples, and their prepared labels.

Shape letters: K lanes, B batch.
"""

from collections.abc import Sequence

from torch import Tensor

from automl.data.prepared import Part
from automl.fused.tensors.losses import Targets


def gather(data: Part, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """The samples `chosen` `[K, B]`: x `[K, B, ...]`, y `[K, B, ...]`, weight `[K, B]` or None."""
    k, b = chosen.shape
    flat = chosen.reshape(-1)
    x = data.x.index_select(0, flat).view(k, b, *data.x.shape[1:])
    y = data.y.index_select(0, flat).view(k, b, *data.y.shape[1:])
    weight = None if data.weight is None else data.weight.index_select(0, flat).view(k, b)
    return x, y, weight


def prepared_labels(
    kind: str, data: Part, chosen: Sequence[Tensor], lanes: int, smoothing: Tensor | None
) -> Targets | None:
    """Labels of an epoch's full batches prepared for the loss; None unless that is an unweighted cross-entropy.

    `chosen`: the sample indices `[K * B]` of each full batch; `smoothing` `[K]` or None.
    """
    if kind != "classification" or data.weight is not None or data.y.dim() != 1 or not chosen:
        return None
    return Targets(data.y, chosen, lanes, smoothing)
