"""The memory of a search: ledger, checkpoints, reports, the winner on disk. Starts no process."""

from automl.moved import names_of

__getattr__ = names_of(__name__)
