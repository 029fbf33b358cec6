"""Tensors that may be sharded: told apart, and read locally, without importing torch's DTensor (about a second)."""

from torch import Tensor


def is_sharded(value: Tensor) -> bool:
    """Whether `value` is a `DTensor`."""
    return hasattr(value, "to_local")


def local(value: Tensor) -> Tensor:
    """This rank's shard of `value`, or `value` itself if it is not sharded.

    The result shares memory with `value`: a change in place changes it too.
    """
    shard: Tensor = value.to_local() if is_sharded(value) else value  # type: ignore[attr-defined]
    return shard
