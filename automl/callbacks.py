"""The public `automl.callbacks`: reporting from Lightning and Hugging Face's Trainer, see `integrations.callbacks`."""

from automl.integrations.callbacks import lightning, transformers

__all__ = ["lightning", "transformers"]
