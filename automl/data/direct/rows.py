"""A few rows as dicts, as programs have them, prepared without pandas where that gives the same."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from automl.data.direct.cells import Mixed
from automl.data.direct.encoder import Encoder


def prepared(encoder: Encoder, rows: Any, unread: list[str] | None) -> Tensor | None:
    """Rows as the network takes them; None where they are for pandas.

    Args:
        encoder: of the model's preparation.
        rows: a dict or a list of dicts, each with a plain value for every column that is used; others are for pandas.
        unread: as for `Encoder.read`.
    """
    listed: Sequence[Any] = [rows] if type(rows) is dict else rows
    if type(listed) is not list or not listed or not all(type(row) is dict for row in listed):
        return None
    if not all(name in row for row in listed for name in encoder.names):
        return None
    strange: list[str] = []
    try:
        raw = encoder.read_plain({name: [row[name] for row in listed] for name in encoder.names}, len(listed), strange)
    except Mixed:
        return None
    if unread is not None:
        unread += strange
    return torch.from_numpy(encoder.encode(raw))
