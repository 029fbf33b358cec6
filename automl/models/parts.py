"""What several families share: reading a config with defaults, activations, norms, the embedding of a table."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from automl.data.shapes import Inputs
from automl.errors import SpecError, did_you_mean
from automl.models import family

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh,
}  # fmt: skip
NORMS = ("none", "batch", "layer")


def settings(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The family's defaults overridden by `config`; names of other concerns (the optimizer's) are left aside.

    `batch_norm: true|false` is read as `norm: batch|none`.
    """
    defaults = dict(family(name).defaults)
    given = {key: value for key, value in config.items() if key in defaults}
    if "norm" in defaults and "norm" not in given and "batch_norm" in config:
        given["norm"] = "batch" if config["batch_norm"] else "none"
    made = {**defaults, **given}
    for key in ("depth", "width", "layers", "heads", "stages"):
        if key in made and int(made[key]) < 1:
            raise SpecError(f"{name}: {key} must be at least 1, got {made[key]!r}")
    for key in ("dropout", "drop_path"):
        if key in made and not 0 <= float(made[key]) < 1:
            raise SpecError(f"{name}: {key} must be in [0, 1), got {made[key]!r}")
    choose(name, "parametrization", made["parametrization"], ("standard", "mup"))
    return made


def choose(name: str, key: str, value: Any, known: Mapping[str, Any] | tuple[str, ...]) -> Any:
    """`known[value]` (or `value` itself), with the nearest valid name when there is none."""
    if value not in known:
        raise SpecError(f"{name}: unknown {key} {value!r}{did_you_mean(str(value), known)}; one of {', '.join(known)}")
    return known[value] if isinstance(known, Mapping) else value


def activation(name: str, value: Any) -> nn.Module:
    made: nn.Module = choose(name, "activation", value, ACTIVATIONS)()
    return made


def norm(name: str, value: Any, width: int) -> nn.Module:
    """A norm over the last axis of [B, width]."""
    kind = choose(name, "norm", value, NORMS)
    return nn.BatchNorm1d(width) if kind == "batch" else nn.LayerNorm(width) if kind == "layer" else nn.Identity()


class TableStem(nn.Module):
    """[B, *shape] -> [B, features]: samples made flat; the last columns, codes of categories, replaced by embeddings.

    A column of n codes gets min(limit, floor(sqrt(n)) + 1) dimensions. Code 0 (unseen or missing) has its own row.
    """

    def __init__(self, inputs: Inputs, limit: int) -> None:
        super().__init__()
        self.dense = int(inputs) - len(inputs.cardinalities)
        sizes = [(n, max(1, min(limit, int(n**0.5) + 1))) for n in inputs.cardinalities]
        self.embeddings = nn.ModuleList(nn.Embedding(n, size) for n, size in sizes)
        self.features = self.dense + sum(size for _, size in sizes)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        if not len(self.embeddings):
            return flat
        codes = flat[:, self.dense :].long()
        found = [embed(codes[:, k]) for k, embed in enumerate(self.embeddings)]
        return torch.cat([flat[:, : self.dense], *found], dim=1)
