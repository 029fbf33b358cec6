"""Saved models that several tests serve."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support.serving import flowers, saved


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """{name: bundle} of a table with classes, one with values, an array, texts, a series, and further versions."""
    home = tmp_path_factory.mktemp("bundles")
    rng = np.random.default_rng(0)
    table = flowers()
    prices = table.drop(columns="kind").assign(price=table["size"] * 10 + 3)
    digits = (rng.normal(size=(100, 16)), np.arange(100) % 3)
    sentences = (np.array(["good day sir", "bad night madam", "good evening"] * 30, dtype=object), np.arange(90) % 2)
    days = pd.DataFrame({"day": pd.date_range("2021-01-01", periods=80).astype(str), "size": rng.normal(5, 2, 80)})
    return {
        "flowers": saved(home / "flowers", table, target="kind"),
        "flowers2": saved(home / "flowers2", table, seed=2, target="kind"),
        "prices": saved(home / "prices", prices, target="price"),
        "digits": saved(home / "digits", digits),
        "texts": saved(home / "texts", sentences, model="lstm", prepare={"form": "sentences"}),
        "series": saved(home / "series", days, target="size", prepare={"window": 4}),
    }
