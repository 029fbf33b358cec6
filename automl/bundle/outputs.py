"""A model's raw outputs: computed in pieces of rows, and kept in a file for those who need them again."""

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from automl.core import files
from automl.data.prepared import Prepared
from automl.models.adjusting import Adjusted, Cut
from automl.models.combined.bagged import Bagged

ROWS = 1024
"""So many samples go through the model at once."""
LARGEST = 2**24
"""Outputs with more values than this are not kept in a file."""


def compute(module: nn.Module, x: Tensor, device: torch.device | str) -> Tensor:
    """The outputs for prepared samples.

    Args:
        module: the network; it is moved to `device` and put into evaluation mode.
        x: [N, ...] samples as the network takes them.
        device: where to compute.

    Returns:
        [N, units] logits, or values in standard units (language models: [N, T, units]); on the CPU.
    """
    module.to(device).eval()
    with torch.no_grad():
        return torch.cat([module(piece.to(device)).cpu() for piece in torch.split(x, ROWS)])


def of_validation(module: nn.Module, prepared: Prepared, device: torch.device | str) -> Tensor:
    """The outputs [N, units] for the validation rows; with folds the out-of-fold ones: none of a model that saw a row.

    Args:
        module: the network; with folds a `Bagged`, whose logits may have been adjusted.
        prepared: the data.
        device: where to compute.
    """
    folds, x = prepared.folds, prepared.val.x
    if folds is None:
        return compute(module, x, device)
    if isinstance(module, Adjusted | Cut):
        return module.adjusted(of_validation(module.inner, prepared, device))
    assert isinstance(module, Bagged)
    return folds.joined([compute(own, x[folds.held_rows(k)], device) for k, own in enumerate(module.members)])


def store(file: Path, outputs: Tensor) -> None:
    """Keep `outputs` [N, units] in `file` as float32, whole or not at all; too large ones (`LARGEST`) are left out."""
    if outputs.numel() > LARGEST:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.save(buffer, outputs.float().numpy())
    files.write(file, buffer.getvalue())


def stored(file: Path, rows: int) -> Tensor | None:
    """The outputs kept in `file`; None where there are none, or they are for another number of rows."""
    try:
        outputs = np.array(np.lib.format.open_memmap(file, mode="r"))  # its header cannot ask for more than is there
    except Exception:  # its header is text of any kind
        return None
    usable = outputs.ndim == 2 and outputs.dtype == np.float32 and len(outputs) == rows
    return torch.from_numpy(outputs) if usable else None
