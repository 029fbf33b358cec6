"""The initial design: the points of scipy's scrambled Sobol sequence, without the time that its import takes."""

import subprocess
import sys

import numpy as np
import pytest
from automl_strategies.surrogates import initial_design

SCIPY = "import sys, automl_strategies.quick_gp; print([m for m in sys.modules if m.startswith('scipy')])"


def test_the_points_are_those_of_scipy() -> None:
    assert initial_design._table() is not None
    for dim, index in ((1, 0), (2, 3), (7, 1), (300, 0)):
        points = initial_design._block(dim, dim, index)
        assert points.dtype == np.float64
        assert np.array_equal(points, initial_design.by_scipy(dim, dim, index))


def test_a_scipy_with_its_table_elsewhere_is_asked_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    points = initial_design._block(3, 5, 1)
    monkeypatch.setattr(initial_design, "_table", lambda: None)
    assert np.array_equal(initial_design._block.__wrapped__(3, 5, 1), points)


def test_the_usual_strategy_begins_without_scipy() -> None:
    done = subprocess.run([sys.executable, "-c", SCIPY], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
