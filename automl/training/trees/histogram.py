"""scikit-learn's histogram boosting (Ke et al. 2017, "LightGBM") as a `Grower`."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.training.trees.growing import ABSENT, Rows, Settings, Tree


class HistogramGrower:
    """Grows with `HistGradientBoostingClassifier` or, for each value of a regression, one `...Regressor`.

    Args:
        rows: to train on.
        settings: how.
    """

    def __init__(self, rows: Rows, settings: Settings) -> None:
        self.rows, self.settings, self.rounds = rows, settings, 0
        self.models = [self._model(unit) for unit in range(1 if rows.classes else rows.outputs)]
        self.base: NDArray[np.float64] = np.zeros(rows.outputs)

    def grow(self, rounds: int) -> list[list[Tree]]:
        """See `Grower.grow`; `warm_start` reads the rows once more for each call, so it should ask for many."""
        from threadpoolctl import threadpool_limits

        before, self.rounds = self.rounds, rounds
        with threadpool_limits(1, user_api="openmp"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for k, model in enumerate(self.models):
                model.set_params(max_iter=rounds)
                rows = self.rows
                model.fit(*((rows.x, rows.y, rows.weight) if rows.classes else rows.with_target(k)))
        self._read_base()
        return [self._trees(number) for number in range(before, rounds)]

    def _model(self, unit: int) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        s, rows = self.settings, self.rows
        yes_or_no = rows.classes or rows.kind.variant == "labels"
        kind: Any = HistGradientBoostingClassifier if yes_or_no else HistGradientBoostingRegressor
        mask = [f in rows.categories for f in range(rows.x.shape[1])]
        return kind(
            learning_rate=s.shrinkage, max_iter=1, max_leaf_nodes=s.leaves, max_depth=s.max_depth or None,
            min_samples_leaf=s.min_leaf, l2_regularization=s.l2, max_features=s.feature_share, max_bins=s.bins,
            categorical_features=mask if any(mask) else None, warm_start=True, early_stopping=False,
            random_state=s.seed % 2**32, **self._loss(unit),
        )  # fmt: skip

    def _loss(self, unit: int) -> dict[str, Any]:
        """The loss of one value of a regression, where it is not the usual one."""
        if (level := self.rows.level(unit)) is not None:
            return {"loss": "quantile", "quantile": level}
        return {"loss": "poisson"} if self.rows.kind.variant == "counts" else {}

    def _units(self, model: int) -> list[int]:
        """The output unit of each tree of a round of one model."""
        if not self.rows.classes:
            return [model]
        present = [int(code) for code in self.models[0].classes_]
        return present[1:] if len(present) == 2 else present

    def _read_base(self) -> None:
        self.base = np.zeros(self.rows.outputs)
        for k, model in enumerate(self.models):
            self.base[self._units(k)] = np.asarray(model._baseline_prediction, dtype=np.float64).reshape(-1)
        if self.rows.classes:
            present = np.isin(np.arange(self.rows.outputs), self.models[0].classes_)
            self.base[~present] = ABSENT

    def _trees(self, number: int) -> list[Tree]:
        """The trees of one round, over all models."""
        return [
            self._tree(model, predictor, unit)
            for k, model in enumerate(self.models)
            for predictor, unit in zip(model._predictors[number], self._units(k), strict=True)
        ]

    def _tree(self, model: Any, predictor: Any, unit: int) -> Tree:
        """A tree of scikit-learn's, whose categories come first and have codes of its own."""
        nodes = predictor.nodes
        numbers = np.arange(len(nodes))
        leaf = nodes["is_leaf"].astype(bool)
        order, encoder = _features(model, self.rows.x.shape[1])
        at = nodes["feature_idx"].astype(np.int64)
        subsets = {
            int(node): self._codes_low(model, encoder, predictor, nodes[node])
            for node in np.flatnonzero(nodes["is_categorical"].astype(bool) & ~leaf)
        }
        return Tree(
            unit,
            np.where(leaf, 0, order[np.where(leaf, 0, at)]),
            np.where(leaf, 0.0, nodes["num_threshold"].astype(np.float64)),
            np.where(leaf, numbers, nodes["left"].astype(np.int64)),
            np.where(leaf, numbers, nodes["right"].astype(np.int64)),
            nodes["missing_go_to_left"].astype(bool) & ~leaf,
            np.where(leaf, nodes["value"].astype(np.float64), 0.0),
            subsets,
        )

    def _codes_low(self, model: Any, encoder: Any, predictor: Any, node: Any) -> NDArray[np.bool_]:
        """[codes] which of our codes of a category go low; one that was not seen goes where missing values go."""
        place = int(node["feature_idx"])  # categories come first
        feature = int(np.flatnonzero(model.is_categorical_)[place])
        low = np.full(self.rows.categories[feature], bool(node["missing_go_to_left"]))
        bits = np.asarray(predictor.raw_left_cat_bitsets[int(node["bitset_idx"])])
        for own, code in enumerate(encoder.categories_[place]):
            if code == code:
                low[int(code)] = bool(bits[own // 32] >> (own % 32) & 1)
        return low


def _features(model: Any, count: int) -> tuple[NDArray[np.int64], Any]:
    """(our number of each of scikit-learn's features, its encoder of categories or None)."""
    if model.is_categorical_ is None:
        return np.arange(count), None
    mask = np.asarray(model.is_categorical_)
    return np.concatenate([np.flatnonzero(mask), np.flatnonzero(~mask)]), model._preprocessor.named_transformers_[
        "encoder"
    ]
