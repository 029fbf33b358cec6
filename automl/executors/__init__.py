"""The executors that come with automl, found through the entry points `automl.executors`.

Their protocol is in `driver.executor`; an executor decides nothing.
"""

from automl.moved import names_of

__getattr__ = names_of(__name__)
