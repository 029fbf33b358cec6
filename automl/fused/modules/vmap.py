"""The lane axis: run a module for all lanes at once, and let chosen operations see all lanes as ordinary tensors.

`batched(...)` is `torch.vmap` over the first axis; `lanewise(operation, ...)`, called inside of it, hands `operation`
the tensors of all lanes `[K, ...]` outside of the transform, where autograd functions, buffers and `out=` work as
usual. torch's public way to the same end (`autograd.Function` with a `vmap` method) costs 300 microseconds a call, a
whole training step of a small model; the three primitives below cost 10. Where a torch release lacks them, the public
way is taken.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

try:
    from torch._C import _functorch as primitives
    from torch._functorch.pyfunctorch import temporarily_pop_interpreter_stack

    QUICK = all(
        hasattr(primitives, name)
        for name in ("_vmap_increment_nesting", "_vmap_decrement_nesting", "_add_batch_dim", "_remove_batch_dim",
                     "_unwrap_batched", "maybe_current_level")
    )  # fmt: skip
except ImportError:  # pragma: no cover - depends on the torch release
    QUICK = False

Operation = Callable[..., Tensor]


def batched(
    call: Callable[[Sequence[Tensor]], Tensor], tensors: Sequence[Tensor], axes: Sequence[int | None]
) -> Tensor:
    """`call(lane tensors)` for all lanes: `[K, ...]`. `axes`: 0 where a tensor has the lane axis, None where shared.

    Raises what the model raises; a random number drawn by torch itself raises RuntimeError.
    """
    if not QUICK:
        return torch.vmap(lambda *given: call(given), in_dims=tuple(axes), randomness="error")(*tensors)
    size = next(int(t.shape[0]) for t, axis in zip(tensors, axes, strict=True) if axis == 0)
    level = primitives._vmap_increment_nesting(size, "error")
    try:
        given = [t if axis is None else primitives._add_batch_dim(t, 0, level)
                 for t, axis in zip(tensors, axes, strict=True)]  # fmt: skip
        out = call(given)
        if not isinstance(out, Tensor):
            raise TypeError(f"a model must return one tensor, not {type(out).__name__}")
        return primitives._remove_batch_dim(out, level, size, 0)
    finally:
        primitives._vmap_decrement_nesting()


def lanewise(operation: Operation, size: int, *tensors: Tensor | None) -> Tensor:
    """`operation(all-lane tensors)` from inside `batched`; it gets and gives the lane axis (of `size`) in front."""
    if not QUICK:
        return _Lanewise.apply(operation, *tensors)  # type: ignore[no-any-return, no-untyped-call]
    level = primitives.maybe_current_level()
    assert level is not None
    given = [None if t is None else _front(*primitives._unwrap_batched(t, level), size) for t in tensors]
    with temporarily_pop_interpreter_stack():
        out = operation(*given)
    return primitives._add_batch_dim(out, 0, level)


def _front(value: Tensor, axis: int | None, size: int) -> Tensor:
    """The lane axis first; a tensor that all lanes share is expanded without copying; a leaf stays itself."""
    if axis is None:
        return value.unsqueeze(0).expand(size, *value.shape)
    return value if axis == 0 else value.movedim(axis, 0)


class _Lanewise(torch.autograd.Function):
    """The public way: a function whose `vmap` rule is the operation."""

    @staticmethod
    def forward(operation: Operation, *tensors: Tensor | None) -> Tensor:
        raise NotImplementedError("runs inside vmap only")

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing to keep: only the operation itself is differentiated."""

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise NotImplementedError("runs inside vmap only")

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], operation: Operation, *tensors: Tensor | None) -> Any:
        given = [None if t is None else _front(t, axis, info.batch_size)
                 for t, axis in zip(tensors, in_dims[1:], strict=True)]  # fmt: skip
        return operation(*given), 0
