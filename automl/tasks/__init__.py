"""What a trial trains: a function, a command, or a model on data. Knows workers, but neither driver nor screens."""

from automl.moved import names_of

__getattr__ = names_of(__name__)
