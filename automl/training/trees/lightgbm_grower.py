"""LightGBM (Ke et al. 2017) as a `Grower`; an extra, `pip install 'automl-search[trees]'`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.errors import EnvironmentProblem
from automl.training.trees.growing import ABSENT, Rows, Settings, Tree


class LightGBMGrower:
    """Grows with one booster, or one for each value of a regression.

    Args:
        rows: to train on.
        settings: how.

    Raises:
        EnvironmentProblem: LightGBM is not installed.
    """

    def __init__(self, rows: Rows, settings: Settings) -> None:
        try:
            import lightgbm
        except ImportError as error:
            raise EnvironmentProblem("library: lightgbm needs pip install 'automl-search[trees]'") from error
        self.rows, self.settings, self.rounds = rows, settings, 0
        self.base: NDArray[np.float64] = np.zeros(rows.outputs)
        self.present = np.unique(rows.y) if rows.classes else np.arange(rows.outputs)
        if rows.classes:
            self.base[~np.isin(np.arange(rows.outputs), self.present)] = ABSENT
        tables = (
            [(rows.x, np.searchsorted(self.present, rows.y), rows.weight)]
            if rows.classes
            else [rows.with_target(unit) for unit in range(rows.outputs)]
        )
        self.boosters = [
            lightgbm.Booster(self._parameters(unit), lightgbm.Dataset(x, y, **self._described(weight)))
            for unit, (x, y, weight) in enumerate(tables)
        ]

    def grow(self, rounds: int) -> list[list[Tree]]:
        """See `Grower.grow`."""
        for booster in self.boosters:
            for _ in range(rounds - self.rounds):
                booster.update()
        dumped = [
            booster.dump_model(start_iteration=self.rounds, num_iteration=rounds - self.rounds)["tree_info"]
            for booster in self.boosters
        ]
        units = [self._units(k) for k in range(len(self.boosters))]
        grown = []
        for number in range(rounds - self.rounds):
            pairs = [
                (info, unit)
                for infos, mine in zip(dumped, units, strict=True)
                for info, unit in zip(infos[number * len(mine) : (number + 1) * len(mine)], mine, strict=True)
            ]
            grown.append([self._tree(info["tree_structure"], unit) for info, unit in pairs])
        self.rounds = rounds
        return grown

    def _objective(self, unit: int) -> dict[str, Any]:
        """What a booster learns; `unit`: of a regression."""
        many = len(self.present)
        if self.rows.classes:
            return {"objective": "binary"} if many == 2 else {"objective": "multiclass", "num_class": many}
        if (level := self.rows.level(unit)) is not None:
            return {"objective": "quantile", "alpha": level}
        return {"objective": {"counts": "poisson", "labels": "binary"}.get(self.rows.kind.variant, "regression")}

    def _parameters(self, unit: int) -> dict[str, Any]:
        s = self.settings
        return {
            **self._objective(unit),
            "learning_rate": s.shrinkage, "num_leaves": s.leaves, "max_depth": s.max_depth or -1,
            "min_data_in_leaf": s.min_leaf, "lambda_l2": s.l2, "feature_fraction_bynode": s.feature_share,
            "max_bin": s.bins, "num_threads": 1, "deterministic": True, "force_row_wise": True, "verbosity": -1,
            "seed": s.seed % 2**31,
        }  # fmt: skip

    def _described(self, weight: NDArray[np.float64] | None) -> dict[str, Any]:
        return {
            "weight": weight, "categorical_feature": sorted(self.rows.categories),
            "params": {"max_bin": self.settings.bins, "verbosity": -1, "min_data_in_leaf": self.settings.min_leaf},
        }  # fmt: skip

    def _units(self, booster: int) -> list[int]:
        """The output unit of each tree of a round of one booster."""
        if not self.rows.classes:
            return [booster]
        present = [int(code) for code in self.present]
        return present[1:] if len(present) == 2 else present

    def _tree(self, root: dict[str, Any], unit: int) -> Tree:
        """A tree as LightGBM writes it: nodes in one another."""
        nodes = _in_order(root)
        place = {id(node): k for k, node in enumerate(nodes)}
        count = len(nodes)
        feature, low, high = np.zeros(count, dtype=np.int64), np.arange(count), np.arange(count)
        threshold, value, missing_low = np.zeros(count), np.zeros(count), np.zeros(count, dtype=bool)
        subsets: dict[int, NDArray[np.bool_]] = {}
        for k, node in enumerate(nodes):
            if "split_feature" not in node:
                value[k] = node["leaf_value"]
                continue
            feature[k] = node["split_feature"]
            low[k], high[k] = place[id(node["left_child"])], place[id(node["right_child"])]
            if node["decision_type"] == "==":
                codes = np.zeros(self.rows.categories[int(feature[k])], dtype=bool)
                codes[[int(code) for code in str(node["threshold"]).split("||")]] = True
                subsets[k] = codes
            else:
                threshold[k] = node["threshold"]
                missing_low[k] = node["default_left"] if node["missing_type"] == "NaN" else node["threshold"] >= 0
        return Tree(unit, feature, threshold, low, high, missing_low, value, subsets)


def _in_order(root: dict[str, Any]) -> list[dict[str, Any]]:
    """All nodes, parents before children."""
    nodes = [root]
    for node in nodes:
        nodes += [node[side] for side in ("left_child", "right_child") if side in node]
    return nodes
