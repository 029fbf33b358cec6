"""The worker: the loop that trains trials inside a worker process, and the `Trial` that user code holds.

It knows neither executors nor the driver: a `Link` carries its messages.
"""

from automl.moved import names_of

__getattr__ = names_of(__name__)
