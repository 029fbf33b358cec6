"""Fewer trees: the last rounds of boosting are dropped, and the leaves of the others fitted anew to what all had said.

The values of all leaves of an output unit are one linear model of which leaves a row reaches; ridge regression brings
the outputs of the training rows back as far as it can (global refinement, Ren et al. 2015).

Shape letters: N rows, F features, T trees, M nodes of all trees.
"""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.models.tables.trees import NODES, Trees

SHARES = (0.3, 0.5, 0.75, 0.9)
"""Shares of the trees that are dropped, one variant each."""
ROWS = 20_000
"""So many training rows at most are what leaves are fitted to."""
RIDGE, ITERATIONS = 1.0, 100
"""The weight of the squared changes of all values, and steps of the solver (LSQR, Paige & Saunders 1982) at most."""


def trees_of(module: nn.Module) -> Trees | None:
    """The trees in a module; None where there are none."""
    return next((part for part in module.modules() if isinstance(part, Trees)), None)


def pruned(module: nn.Module, x: Tensor, share: float) -> nn.Module:
    """A copy of a module with fewer trees; at least one stays.

    Args:
        module: has trees in it, see `trees_of`.
        x: [N, F] training rows.
        share: of the trees that are dropped.
    """
    module = copy.deepcopy(module)
    trees = trees_of(module)
    assert trees is not None
    x = x[torch.linspace(0, len(x) - 1, min(len(x), ROWS)).long()]
    before = trees.sums(x)
    arrays = {name: value.numpy() for name, value in trees.state_dict().items()}
    stay = max(1, round((1 - share) * len(arrays["root"])))
    arrays |= {"root": arrays["root"][:stay], "unit": arrays["unit"][:stay]}
    trees.set({name: torch.from_numpy(value) for name, value in _without_unused(arrays).items()})
    _refit(trees, x, before)
    return module.eval()


def _without_unused(arrays: dict[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    """The arrays of trees without the nodes and sets that belong to none of them."""
    low, high, root = (arrays[name].astype(np.int64) for name in ("low", "high", "root"))
    stays, at = np.zeros(len(low), dtype=bool), root
    while len(at):
        stays[at] = True
        at = at[low[at] != at]
        at = np.concatenate([low[at], high[at]])
    place = np.cumsum(stays) - 1
    made = {name: arrays[name][stays] for name in NODES}
    sets, own = np.unique(np.append(0, made["subset"]), return_inverse=True)  # set 0 stands for none
    made |= {"low": place[low[stays]], "high": place[high[stays]], "root": place[root], "subset": own[1:]}
    return made | {"subsets": arrays["subsets"][sets], "unit": arrays["unit"], "base": arrays["base"]}


def _refit(trees: Trees, x: Tensor, outputs: Tensor) -> None:
    """Change the values of the leaves so that the outputs [N, units] for the rows come back as far as they can."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.linalg import lsqr

    with torch.no_grad():
        ends, gap = trees.ends(x).numpy(), (outputs - trees.sums(x)).numpy()
    unit = trees.unit.numpy()
    for k in np.unique(unit):
        own = ends[:, unit == k]
        first = np.arange(0, own.size + 1, own.shape[1])
        reached = csr_matrix((np.ones(own.size), own.flatten(), first), shape=(len(own), len(trees.value)))
        trees.value += torch.from_numpy(lsqr(reached, gap[:, k], damp=RIDGE**0.5, iter_lim=ITERATIONS)[0])
