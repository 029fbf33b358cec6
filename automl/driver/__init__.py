"""The driver, the one loop between a study and an executor: it hands out trials, answers reports and ends the search.

It names no plugin and starts no process itself; workers are known to it by their messages.
"""

from automl.moved import names_of

__getattr__ = names_of(__name__)
