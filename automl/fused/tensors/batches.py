"""Batches of all lanes at once: which samples, and their prepared labels.

Shape letters: K lanes, B batch.
"""

from torch import Tensor

from automl.data.prepared import Part


def gather(data: Part, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """The samples `chosen` `[K, B]`: x `[K, B, ...]`, y `[K, B, ...]`, weight `[K, B]` or None."""
    k, b = chosen.shape
    flat = chosen.reshape(-1)
    x = data.x.index_select(0, flat).view(k, b, *data.x.shape[1:])
    y = data.y.index_select(0, flat).view(k, b, *data.y.shape[1:])
    weight = None if data.weight is None else data.weight.index_select(0, flat).view(k, b)
    return x, y, weight
