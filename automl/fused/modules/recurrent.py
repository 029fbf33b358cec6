"""`nn.LSTM`, `nn.GRU` and `nn.RNN` in plain operations, for which `vmap` has rules; torch's own kernels have none.

Alone, and without dropout between layers, torch's kernel runs: the same numbers to rounding, and faster.
"""

from typing import Any

import torch
from torch import Tensor, nn

from automl.fused.modules import context
from automl.fused.modules.ops import drop, linear

State = tuple[Tensor, ...]


def lstm_step(x: Tensor, state: State, w: Tensor, b: Tensor | None, project: Tensor | None) -> State:
    """(h, c) after one step; `x`: the inputs' share of the gates `[B, 4H]` (Hochreiter & Schmidhuber 1997)."""
    i, f, g, o = (x + linear(state[0], w, b)).chunk(4, dim=-1)
    c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    return (h if project is None else linear(h, project, None)), c


def gru_step(x: Tensor, state: State, w: Tensor, b: Tensor | None, project: Tensor | None) -> State:
    """(h,) after one step; `x` `[B, 3H]` (Cho et al. 2014, the reset gate applied after the product, as in cuDNN)."""
    xr, xz, xn = x.chunk(3, dim=-1)
    hr, hz, hn = linear(state[0], w, b).chunk(3, dim=-1)
    z = (xz + hz).sigmoid()
    n = (xn + (xr + hr).sigmoid() * hn).tanh()
    return (n + z * (state[0] - n),)


def tanh_step(x: Tensor, state: State, w: Tensor, b: Tensor | None, project: Tensor | None) -> State:
    """(h,) after one step of Elman's network."""
    return ((x + linear(state[0], w, b)).tanh(),)


def relu_step(x: Tensor, state: State, w: Tensor, b: Tensor | None, project: Tensor | None) -> State:
    """(h,) after one step of Elman's network with rectified units."""
    return ((x + linear(state[0], w, b)).relu(),)


STEPS = {"LSTM": lstm_step, "GRU": gru_step, "RNN_TANH": tanh_step, "RNN_RELU": relu_step}


def lane_forward(module: Any, input: Any, hx: Any) -> tuple[Tensor, Any]:
    """What `module(input, hx)` gives, in plain operations. Raises NotImplementedError for packed sequences."""
    if not isinstance(input, Tensor) or input.dim() != 3:
        raise NotImplementedError("packed sequences, and sequences without a batch axis, in lanes")
    x = input if module.batch_first else input.transpose(0, 1)  # [B, T, I]
    ways = 2 if module.bidirectional else 1
    starts = _starts(module, x, hx, ways)
    ends: list[State] = []
    for layer in range(module.num_layers):
        if layer and module.training and module.dropout > 0:
            x = drop(x, module.lane_layer, tuple(x.shape))
        outs = []
        for way in range(ways):
            found, end = _one_way(module, x, layer, way, starts[layer * ways + way])
            outs.append(found)
            ends.append(end)
        x = outs[0] if ways == 1 else torch.cat(outs, dim=-1)
    last = tuple(torch.stack([end[j] for end in ends]) for j in range(len(ends[0])))
    out = x if module.batch_first else x.transpose(0, 1)
    return out, (last if module.mode == "LSTM" else last[0])


def _starts(module: Any, x: Tensor, hx: Any, ways: int) -> list[State]:
    """The first state of each (layer, direction)."""
    number = module.num_layers * ways
    if hx is not None:
        given = hx if module.mode == "LSTM" else (hx,)
        return list(zip(*(part.unbind(0) for part in given), strict=True))
    h = x.new_zeros(x.shape[0], module.proj_size or module.hidden_size)
    c = x.new_zeros(x.shape[0], module.hidden_size)
    return [(h, c) if module.mode == "LSTM" else (h,)] * number


def _one_way(module: Any, x: Tensor, layer: int, way: int, state: State) -> tuple[Tensor, State]:
    """Outputs `[B, T, H]` of one direction of one layer, and its last state."""
    tail, step = f"_l{layer}{'_reverse' if way else ''}", STEPS[module.mode]

    def own(name: str) -> Tensor | None:
        return getattr(module, name + tail, None)

    w_in, w = own("weight_ih"), own("weight_hh")
    assert w_in is not None
    assert w is not None
    times = linear(x, w_in, own("bias_ih")).unbind(1)
    found = []
    for x_t in reversed(times) if way else times:
        state = step(x_t, state, w, own("bias_hh"), own("weight_hr"))
        found.append(state[0])
    return torch.stack(found[::-1] if way else found, dim=1), state


def _plain(module: Any) -> bool:
    """Whether torch's own kernel may run: no lanes, and no dropout to draw."""
    draw = context.active()
    between = module.training and module.dropout > 0 and module.num_layers > 1
    return draw is None or not (draw.fused or between)


class LaneLSTM(nn.LSTM):
    """`nn.LSTM` for lanes: the same sums in plain operations (see `lane_forward`)."""

    lane_layer: str

    def forward(self, input: Any, hx: Any = None) -> Any:
        """As `nn.LSTM.forward`."""
        return super().forward(input, hx) if _plain(self) else lane_forward(self, input, hx)


class LaneGRU(nn.GRU):
    """`nn.GRU` for lanes."""

    lane_layer: str

    def forward(self, input: Any, hx: Any = None) -> Any:
        """As `nn.GRU.forward`."""
        return super().forward(input, hx) if _plain(self) else lane_forward(self, input, hx)


class LaneRNN(nn.RNN):
    """`nn.RNN` for lanes."""

    lane_layer: str

    def forward(self, input: Any, hx: Any = None) -> Any:
        """As `nn.RNN.forward`."""
        return super().forward(input, hx) if _plain(self) else lane_forward(self, input, hx)


class LaneLSTMCell(nn.LSTMCell):
    """`nn.LSTMCell` for lanes."""

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        """As `nn.LSTMCell.forward`."""
        draw = context.active()
        if draw is None or not draw.fused:
            return super().forward(input, hx)
        zeros = input.new_zeros(*input.shape[:-1], self.hidden_size)
        x = linear(input, self.weight_ih, self.bias_ih)
        return lstm_step(x, hx or (zeros, zeros), self.weight_hh, self.bias_hh, None)


class LaneGRUCell(nn.GRUCell):
    """`nn.GRUCell` for lanes."""

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """As `nn.GRUCell.forward`."""
        draw = context.active()
        if draw is None or not draw.fused:
            return super().forward(input, hx)
        start = input.new_zeros(*input.shape[:-1], self.hidden_size) if hx is None else hx
        x = linear(input, self.weight_ih, self.bias_ih)
        return gru_step(x, (start,), self.weight_hh, self.bias_hh, None)[0]
