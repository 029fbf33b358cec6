"""All that the fork server does (see `warm`): importing this, before it forks workers.

First it puts itself into a group of its own: a signal to the driver's group is not meant for it. Nothing that is
imported is ever garbage, so collecting waits until the end, and then leaves these objects alone for good: a worker that
looked at them would copy the memory it shares.
"""

import gc
import os
from importlib import import_module

MODULES = ("automl.tasks.lane_loop", "automl.data.loading", "automl.models.mlp", "automl.training.throughput")

os.setpgid(0, 0)
gc.disable()
for module in MODULES:
    import_module(module)
gc.freeze()
gc.enable()
