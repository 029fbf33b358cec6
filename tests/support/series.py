"""Small series for tests: hourly loads of a sensor, and monthly sales of three shops in one table."""

import numpy as np
import pandas as pd

HOURS = pd.date_range("2024-01-01", periods=240, freq="h")


def sensor(rows: int = 240) -> pd.DataFrame:
    t = np.arange(rows)
    return pd.DataFrame({"when": HOURS[:rows].astype(str), "load": np.sin(t / 5) * 10 + 50, "wind": np.cos(t / 3)})


def shops() -> pd.DataFrame:
    months = pd.date_range("2010-01-01", periods=120, freq="MS")
    parts = [
        pd.DataFrame({"month": months.strftime("%d.%m.%Y"), "shop": shop, "sales": 1000.0 * k + np.arange(120) % 12})
        for k, shop in enumerate(("north", "south", "west"), 1)
    ]
    return pd.concat(parts, ignore_index=True).sort_values("month", kind="stable", ignore_index=True)
