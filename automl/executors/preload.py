"""All that the fork server does (see `warm`): importing this, before it forks workers.

First it puts itself into a group of its own: a signal to the driver's group is not meant for it. Nothing that is
imported is ever garbage, so collecting waits until the end, and then leaves these objects alone for good: a worker that
looked at them would copy the memory it shares.
"""

import gc
import os

os.setpgid(0, 0)
gc.disable()

import automl.data.loading  # noqa: E402
import automl.models.mlp  # noqa: E402
import automl.tasks.cohorts  # noqa: E402
import automl.training.rates  # noqa: E402, F401

gc.freeze()
gc.enable()
