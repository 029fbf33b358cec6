"""The one loop between a study and an executor: who gets which trial, who is late, when to stop."""

from automl.moved import names_of

__getattr__ = names_of(__name__)
