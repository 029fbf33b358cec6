"""A table is enough: python run.py"""

import random
from pathlib import Path

import pandas as pd

import automl

rng = random.Random(3)
rows = [
    {"rooms": rng.randint(1, 6), "district": rng.choice("ABC"), "year": rng.randint(1950, 2020)} for _ in range(300)
]
for row in rows:
    row["rent"] = 200 * row["rooms"] + {"A": 0, "B": 150, "C": 400}[row["district"]] + rng.gauss(0, 40)
pd.DataFrame(rows).to_csv("rents.csv", index=False)

model = automl.fit("rents.csv", "rent", trials=3, dir=Path("studies"))  # time_s=120 gives it two minutes instead
print(model.predict(pd.DataFrame([{"rooms": 3, "district": "B", "year": 1990}])))
