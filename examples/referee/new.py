"""The candidate: better by one and a half standard deviations of the seeds.

automl judge --metric val_loss --command "python old.py {seed}" --command "python new.py {seed}"
"""

import json
import random
import sys

seed = int(sys.argv[1])
print(json.dumps({"val_loss": 0.47 + random.Random(seed + 1).gauss(0, 0.02)}))
