"""Triton kernels, one launch each: keep masks by hash, and one optimizer step on rows. `launch` says when they run.

A program works on one piece of one row, so that what belongs to the row (its key, its lane's coefficients) is read
once, and reads and writes every element once. Grids follow from shapes alone and nothing waits for the device: CUDA
graphs can record it all. Offsets have 64 bits, since K * P elements may be more than 32 bits count.

Shape letters: K lanes, P parameters, E elements of a mask.
"""

from collections.abc import Callable, Mapping
from functools import partial

import triton
import triton.language as tl
from torch import Tensor

PIECE = 1024  # most columns that one program works on


@triton.jit
def _place(width, PIECE: tl.constexpr):
    """The program's row, its columns, and which of those there are: all pieces of row 0, then those of row 1, ..."""
    pieces = tl.cdiv(width, PIECE)
    columns = tl.program_id(0) % pieces * PIECE + tl.arange(0, PIECE)
    return (tl.program_id(0) // pieces).to(tl.int64), columns, columns < width


@triton.jit
def _keep_mask(words, flip, times, limits, scales, out, width, PIECE: tl.constexpr):
    row, columns, inside = _place(width, PIECE)
    x = tl.load(words + columns, inside) ^ tl.load(flip + row)
    x = tl.mul(x, tl.load(times + row), sanitize_overflow=False) >> 1  # wraps around, on purpose
    x = (x - tl.load(limits + row)) >> 31
    tl.store(out + row * width + columns, x & tl.load(scales + row), inside)


@triton.jit
def _update(formula: tl.constexpr, param, grad, states, coefficients, stride, width, PIECE: tl.constexpr):
    row, columns, inside = _place(width, PIECE)
    at = row * stride + columns
    old = [tl.load(state + at, inside) for state in states]
    own = [tl.load(coefficient + row) for coefficient in coefficients]
    new = formula(tl.load(param + at, inside), tl.load(grad + at, inside), *old, *own)
    tl.store(param + at, new[0], inside)
    for i in tl.static_range(len(states)):
        tl.store(states[i] + at, new[i + 1], inside)


@triton.jit
def _lerp(a, b, weight):
    """As `torch.lerp`, exact at both ends."""
    return tl.where(weight < 0.5, a + weight * (b - a), b - (b - a) * (1.0 - weight))


@triton.jit
def _sqrt(x):
    """Rounded as torch's; Triton's own is approximate in float32."""
    return tl.sqrt_rn(x) if x.dtype == tl.float32 else tl.sqrt(x)


@triton.jit
def _ratio(x, y):
    """x / y, rounded as torch's."""
    return tl.div_rn(x, y) if x.dtype == tl.float32 else x / y


# One step of each rule in `optim` on elements of a row: parameter and gradient, then the rule's states, then the
# coefficients that it needs, by their names. The new parameter and the new states come back.


@triton.jit
def _moments(g, exp_avg, exp_avg_sq, new1, new2, root, eps):
    """Adam's new moments, and what a step is divided by."""
    second = _lerp(exp_avg_sq, g * g, new2)
    return _lerp(exp_avg, g, new1), second, _sqrt(second) * root + eps


@triton.jit
def _adam(p, g, exp_avg, exp_avg_sq, decay, new1, new2, root, eps, rate):
    first, second, below = _moments(g + p * decay, exp_avg, exp_avg_sq, new1, new2, root, eps)
    return p - _ratio(first, below) * rate, first, second


@triton.jit
def _adamw(p, g, exp_avg, exp_avg_sq, keep, new1, new2, root, eps, rate):
    first, second, below = _moments(g, exp_avg, exp_avg_sq, new1, new2, root, eps)
    return p * keep - _ratio(first, below) * rate, first, second


@triton.jit
def _nadam(p, g, exp_avg, exp_avg_sq, keep, new1, new2, root, eps, gradient, moment):
    first, second, below = _moments(g, exp_avg, exp_avg_sq, new1, new2, root, eps)
    return p * keep - _ratio(g * gradient + first * moment, below), first, second


@triton.jit
def _sgd(p, g, momentum, decay, mu, buffer, gradient):
    g += p * decay
    held = momentum * mu + g
    return p - (held * buffer + g * gradient), held


@triton.jit
def _rmsprop(p, g, exp_avg_sq, momentum, decay, mu, new2, eps, lr):
    g += p * decay
    second = _lerp(exp_avg_sq, g * g, new2)
    held = momentum * mu + _ratio(g, _sqrt(second) + eps)
    return p - held * lr, second, held


@triton.jit
def _lion(p, g, exp_avg, keep, new1, new2, lr):
    way = _lerp(exp_avg, g, new1)
    sign = (way > 0).to(p.dtype) - (way < 0).to(p.dtype)
    return p * keep - sign * lr, _lerp(exp_avg, g, new2)


FORMULAS = {"adam": _adam, "adamw": _adamw, "lion": _lion, "nadam": _nadam, "rmsprop": _rmsprop, "sgd": _sgd}


def piece(width: int) -> int:
    """Columns of one program: a power of two that depends on the row's width alone."""
    return min(PIECE, max(128, 1 << (width - 1).bit_length()))


def keep_mask(out: Tensor, words: Tensor, flip: Tensor, times: Tensor, limits: Tensor, scales: Tensor) -> None:
    """The bits of `rng.keep_mask` in `out`, int32 `[K, E]`; its arguments, all of them contiguous."""
    given = (words, flip, times, limits, scales, out)
    assert all(tensor.is_contiguous() for tensor in given)
    (rows, width), size = out.shape, piece(out.shape[1])
    _keep_mask[(rows * triton.cdiv(width, size),)](*given, width, PIECE=size)


def update(
    optimizer: str, param: Tensor, grad: Tensor, state: Mapping[str, Tensor], coefficients: Mapping[str, Tensor]
) -> None:
    """One step of `optim.RULES[optimizer]`: `param` and `state` are written, `grad` is only read.

    `param`, `grad`, each state: `[K, P]`, columns of rows with one and the same stride; each coefficient `[K, 1]`,
    contiguous.
    """
    formula, (rows, width), stride = FORMULAS[optimizer], param.shape, param.stride(0)
    names = formula.arg_names[2:]
    states = tuple(state[name] for name in names if name in state)
    own = tuple(coefficients[name] for name in names if name in coefficients)
    assert all(matrix.stride() == (stride, 1) for matrix in (param, grad, *states)), "rows laid out alike"
    assert all(coefficient.is_contiguous() for coefficient in own), "a number after the other"
    size = piece(width)
    _update[(rows * triton.cdiv(width, size),)](formula, param, grad, states, own, stride, width, PIECE=size)


KERNELS: dict[str, Callable[..., None]] = {"keep_mask": keep_mask, **{n: partial(update, n) for n in FORMULAS}}
