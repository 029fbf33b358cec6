"""The public `automl.callbacks`: reporting from Lightning and Hugging Face's Trainer, see `integrations.callbacks`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automl.integrations.callbacks import lightning, transformers

__all__ = ["lightning", "transformers"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'automl.callbacks' has no attribute {name!r}")
    from automl.integrations import callbacks

    return getattr(callbacks, name)
