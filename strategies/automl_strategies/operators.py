"""Crossover and mutation of points of the unit cube, with regard to choices, whole numbers and conditions.

Simulated binary crossover (Deb & Agrawal 1995) and polynomial mutation (Deb & Goyal 1996), both from DEAP (Fortin et
al., JMLR 2012). DEAP draws from Python's global random generator, whose state is set for each call and restored.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from deap import tools

from automl_strategies.surrogates.unit_cube import Points, UnitCube


@contextmanager
def drawing_from(rng: np.random.Generator) -> Iterator[None]:
    """Inside, Python's global random generator is seeded from `rng`; afterwards its state is restored."""
    before = random.getstate()
    random.seed(int(rng.integers(2**63)))
    try:
        yield
    finally:
        random.setstate(before)


def crossed(cube: UnitCube, a: Points, b: Points, rng: np.random.Generator, eta: float = 15.0) -> Points:
    """A child of `a` and `b` [d]: numbers by simulated binary crossover, each choice from one of the parents.

    The parameters that depend on a choice come from the same parent as the choice. `eta`: the larger, the closer is
    the child to its parents.
    """
    child, other = a.tolist(), b.tolist()
    with drawing_from(rng):
        tools.cxSimulatedBinaryBounded(child, other, eta, 0.0, 1.0)
    out = np.array(child)
    names = cube.space.names
    source = rng.random(cube.dim) < 0.5  # True: from b
    for k in np.flatnonzero(cube.categories > 0):
        out[k] = b[k] if source[k] else a[k]
        children = [j for j, name in enumerate(names) if names[k] in cube.space.params[name].when]
        for j in children:
            out[j] = b[j] if source[k] else a[j]
    return out


def mutated(cube: UnitCube, point: Points, rng: np.random.Generator, eta: float = 20.0) -> Points:
    """`point` [d] with on average one active parameter changed, and never none.

    Numbers change by polynomial mutation, at least to the next value; choices to any other value. `eta`: the larger,
    the smaller are the changes.
    """
    out = point.copy()
    active = np.flatnonzero(cube.active(cube.snap(point[None, :]))[0])
    change = active[rng.random(len(active)) < 1.0 / max(1, len(active))]
    if not len(change):
        change = active[rng.integers(0, len(active), 1)]
    for k in change:
        cells = cube.cells[k]
        if cube.categories[k] > 0:
            here = min(int(out[k] * cells), int(cells) - 1)
            step = int(rng.integers(1, cells)) if cells > 1 else 0
            out[k] = ((here + step) % cells + 0.5) / cells
            continue
        before = [float(out[k])]
        with drawing_from(rng):
            (after,) = tools.mutPolynomialBounded(before, eta, 0.0, 1.0, 1.0)
        moved = float(after[0]) - float(out[k])
        if np.isfinite(cells) and cells > 1 and abs(moved) * cells < 1.0:
            moved = (1.0 if moved >= 0 else -1.0) / cells
            moved = -moved if not 0 < out[k] + moved < 1 else moved
        out[k] += moved
    return out
