"""What a trial trains: a Python function, a command, or a model with its data. Knows workers, not the driver."""

from automl.moved import names_of

__getattr__ = names_of(__name__)
