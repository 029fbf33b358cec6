"""`nn.MultiheadAttention` whose dropout masks belong to each lane, in operations that `vmap` can batch."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automl.fused.modules import context
from automl.fused.modules.ops import drop, linear


class LaneAttention(nn.MultiheadAttention):
    """The module of Vaswani et al. 2017 as torch has it; alone and without dropout it is torch's own, with its kernels.

    Raises NotImplementedError for `add_bias_kv`, `add_zero_attn` and inputs without a batch axis when lanes run.
    """

    lane_layer: str

    def forward(self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None,
                need_weights: bool = True, attn_mask: Tensor | None = None, average_attn_weights: bool = True,
                is_causal: bool = False) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        draw = context.active()
        dropping = self.training and self.dropout > 0
        if draw is None or not (draw.fused or dropping):
            return super().forward(
                query, key, value, key_padding_mask=key_padding_mask, need_weights=need_weights, attn_mask=attn_mask,
                average_attn_weights=average_attn_weights, is_causal=is_causal,
            )  # fmt: skip
        if self.bias_k is not None or self.add_zero_attn or query.dim() != 3:
            raise NotImplementedError("attention with add_bias_kv, add_zero_attn or without a batch axis in lanes")
        mask = self._mask(query, key, key_padding_mask, attn_mask)
        q, k, v = self._projected(query, key, value)
        mixed, weights = self._mixed(q, k, v, mask, need_weights, dropping)
        out = linear(mixed.transpose(1, 2).flatten(2), self.out_proj.weight, self.out_proj.bias)
        if weights is not None and average_attn_weights:
            weights = weights.mean(1)
        return (out if self.batch_first else out.transpose(0, 1)), weights

    def _projected(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        """Queries, keys and values, each `[B, H, T, d]`."""
        bias = self.in_proj_bias
        if self._qkv_same_embed_dim and query is key and key is value:
            parts = list(linear(query, self.in_proj_weight, bias).chunk(3, dim=-1))
        else:
            w: Any = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
            weights = self.in_proj_weight.chunk(3) if self._qkv_same_embed_dim else w
            biases = (None, None, None) if bias is None else bias.chunk(3)
            given = zip((query, key, value), weights, biases, strict=True)
            parts = [F.linear(x, w, b) for x, w, b in given]
        if not self.batch_first:
            parts = [p.transpose(0, 1) for p in parts]
        return [p.view(*p.shape[:-1], self.num_heads, -1).transpose(1, 2) for p in parts]

    def _mask(self, query: Tensor, key: Tensor, padding: Tensor | None, mask: Tensor | None) -> Tensor | None:
        """What is added to the scores, broadcast to `[B, H, T, S]`; -inf where nothing may be seen."""
        added = None
        if mask is not None:
            added = _additive(mask, query)
            if added.dim() == 3:
                added = added.view(-1, self.num_heads, *added.shape[1:])
        if padding is not None:
            seen = _additive(padding, query)[:, None, None, :]
            added = seen if added is None else added + seen
        return added

    def _mixed(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, need_weights: bool,
               dropping: bool) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        if not (need_weights or dropping):
            return F.scaled_dot_product_attention(q, k, v, attn_mask=mask), None
        scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-2, -1)
        weights = (scores if mask is None else scores + mask).softmax(-1)
        if dropping:
            weights = drop(weights, self.lane_layer, tuple(weights.shape))
        return weights @ v, weights if need_weights else None


def _additive(mask: Tensor, like: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        return torch.zeros_like(mask, dtype=like.dtype).masked_fill(mask, float("-inf"))
    return mask.to(like.dtype)
