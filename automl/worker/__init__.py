"""The loop inside a worker process, and the `Trial` that user code holds."""

from automl.moved import names_of

__getattr__ = names_of(__name__)
