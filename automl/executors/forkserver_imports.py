"""All that the fork server does (see `forkserver`): importing this module, before it forks workers.

First it puts itself into a process group of its own: a signal to the driver's group is not meant for it. Nothing that
is imported is ever garbage, so garbage collection is off meanwhile, and then leaves these objects alone for good: a
worker that looked at them would copy the memory that it shares.
"""

import gc
import os
from importlib import import_module

MODULES = (
    "automl.executors.worker_process",
    "automl.tasks.lane_loop",
    "automl.data.loading",
    "automl.models.mlp",
    "automl.training.throughput",
)

os.setpgid(0, 0)
gc.disable()
try:
    for module in MODULES:
        import_module(module)
finally:  # where something is missing, the worker says what
    gc.freeze()
    gc.enable()
