"""Importing this puts the process into a group of its own: a signal to the driver's group is not meant for it.

For the fork server (see `warm`), which runs nothing but imports before it forks workers.
"""

import os

os.setpgid(0, 0)
