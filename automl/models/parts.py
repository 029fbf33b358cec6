"""What several families share: reading a config, activations, norms, averages over tokens, inputs of tables."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from automl.data.shapes import Inputs
from automl.errors import SpecError, did_you_mean
from automl.models import family
from automl.models.settings import NORMS, problem

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh,
}  # fmt: skip
PADDING = 0
"""The token at places behind the end of a sentence, in classification of token sequences."""


def settings(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a family: its defaults, overridden by `config`.

    Names that the family does not have (the optimizer's, for instance) are ignored. `batch_norm: true|false` is read as
    `norm: batch|none`.

    Raises:
        SpecError: a value is out of range.
    """
    defaults = dict(family(name).defaults)
    given = {key: value for key, value in config.items() if key in defaults}
    if "norm" in defaults and "norm" not in given and "batch_norm" in config:
        given["norm"] = "batch" if config["batch_norm"] else "none"
    result = {**defaults, **given}
    for key, value in result.items():
        if message := problem(name, defaults, key, value):
            raise SpecError(f"{name}: {message}")
    return result


def choose(name: str, key: str, value: Any, known: Mapping[str, Any] | tuple[str, ...]) -> Any:
    """Check that `known` has `value`, a setting `key` of the family `name`.

    Returns:
        `known[value]`, or `value` where `known` is a tuple.

    Raises:
        SpecError: it has not; the message has the nearest valid value.
    """
    if value not in known:
        raise SpecError(f"{name}: unknown {key} {value!r}{did_you_mean(str(value), known)}; one of {', '.join(known)}")
    return known[value] if isinstance(known, Mapping) else value


def activation(name: str, value: Any) -> nn.Module:
    """A new activation module of the kind `value` for the family `name`."""
    module: nn.Module = choose(name, "activation", value, ACTIVATIONS)()
    return module


def norm(name: str, value: Any, width: int) -> nn.Module:
    """A norm over the last axis of [B, width]; for "none" the identity."""
    kind = choose(name, "norm", value, NORMS)
    return nn.BatchNorm1d(width) if kind == "batch" else nn.LayerNorm(width) if kind == "layer" else nn.Identity()


def masked_mean(h: Tensor, present: Tensor) -> Tensor:
    """[B, T, width], [B, T] bool -> [B, width]: the mean over the tokens that are present."""
    weight = present.to(h.dtype).unsqueeze(-1)
    return (h * weight).sum(1) / weight.sum(1).clamp_min(1)


class TableStem(nn.Module):
    """[B, *shape] -> [B, features]: flattens samples; the last columns, codes of categories, become embeddings.

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
        embedded = [embed(codes[:, k]) for k, embed in enumerate(self.embeddings)]
        return torch.cat([flat[:, : self.dense], *embedded], dim=1)
