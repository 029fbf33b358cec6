"""`AutoMLClassifier` and `AutoMLRegressor`: a search as an estimator of scikit-learn."""

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d, validate_data

from automl.bundle.precision import in_double
from automl.errors import DataError
from automl.estimators import recipe
from automl.estimators.run import Done, search_table, written

FEWEST = 60
"""Rows that can be split into three parts; fewer are repeated, so that a model can be trained at all."""
CELLS = 200_000
"""Cells of a table up to which this process alone trains: to start workers would take longer."""


class _TableEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What classifier and regressor share; see `AutoMLClassifier` for the arguments and attributes."""

    kind: recipe.Kind

    def __init__(
        self,
        time_s: float | None = 60.0,
        trials: int | None = None,
        metric: str | None = None,
        epochs: int | None = None,
        random_state: int = 0,
        workers: int | None = None,
        dir: str | None = None,
        name: str = "table",
    ) -> None:
        self.time_s = time_s
        self.trials = trials
        self.metric = metric
        self.epochs = epochs
        self.random_state = random_state
        self.workers = workers
        self.dir = dir
        self.name = name

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def predict(self, X: Any) -> NDArray[Any]:
        """The prediction for each row of `X`: labels of `classes_`, or numbers. [N]"""
        frame = self._frame(X)
        return self._decoded(self.model_.predict(frame))

    def leaderboard(self) -> pd.DataFrame:
        """The trials of the search, the best first: number, state, value of the metric, steps and hyperparameters."""
        check_is_fitted(self)
        return self.leaderboard_.copy()

    def _decoded(self, predicted: NDArray[Any]) -> NDArray[Any]:
        return predicted

    def _search(self, frame: pd.DataFrame, y: pd.Series) -> None:
        """Search on the rows of `frame` with the target `y`, and keep the winner and the leaderboard."""
        if len(frame) < FEWEST:
            warnings.warn(
                f"{len(frame)} rows cannot be split: they are used to train, to choose and to score, "
                "so the scores of this search are too good",
                UserWarning, stacklevel=3,
            )  # fmt: skip
            times = -(-FEWEST // len(frame))
            frame, y = pd.concat([frame] * times, ignore_index=True), pd.concat([y] * times, ignore_index=True)
        target = "target"
        while target in frame:
            target += "_"
        if self.dir is not None:
            self._run(frame.assign(**{target: y}), target, Path(self.dir))
            return
        with tempfile.TemporaryDirectory(prefix="automl-") as folder:
            self._run(frame.assign(**{target: y}), target, Path(folder))

    def _run(self, table: pd.DataFrame, target: str, folder: Path) -> None:
        inputs = [name for name in table if name != target and pd.api.types.is_numeric_dtype(table[name])]
        done = search_table(
            written(table, folder / f"{self.name}.parquet"), target, self.kind, dir=folder, name=self.name,
            here=self.workers is None and table.size <= CELLS, metric=self.metric, time_s=self.time_s,
            trials=self.trials, epochs=self.epochs, seed=int(self.random_state or 0), workers=self.workers,
            prepare={"types": dict.fromkeys(inputs, "number")},  # none is left out because it looks like an identifier
        )  # fmt: skip
        self.keep(done)

    def keep(self, done: Done, columns: Sequence[str] | None = None) -> Self:
        """Take over what a search has found; `columns`: of its inputs, where it knows them by their own names."""
        self.model_, self.leaderboard_, self.scores_ = in_double(done.model), done.leaderboard, done.scores
        self.study_ = done.folder if self.dir is not None else None
        self.named_ = columns is not None
        if columns is not None:
            self.feature_names_in_ = np.asarray(columns, dtype=object)
            self.n_features_in_ = len(columns)
            if self.kind == "classification":
                self.classes_ = np.asarray(done.model.classes)
        return self

    def _frame(self, X: Any, *, fitting: bool = False) -> pd.DataFrame:
        """`X` as a table with the columns of the training rows.

        Raises:
            ValueError, TypeError: it is no table, or has other columns; worded as in scikit-learn.
        """
        if not fitting:
            check_is_fitted(self)
        if isinstance(X, pd.DataFrame):
            validate_data(self, X, reset=fitting, skip_check_array=True)
            frame = X.reset_index(drop=True)
        else:
            array = self._array(X)
            validate_data(self, X if hasattr(X, "columns") else array, reset=fitting, skip_check_array=True)
            frame = pd.DataFrame(array)
        if fitting:
            if frame.shape[1] == 0:
                raise ValueError(f"0 feature(s) (shape={frame.shape}) while a minimum of 1 is required.")
            if len(frame) < 2:
                raise ValueError(f"n_samples={len(frame)}: more than 1 sample is needed to fit.")
        if fitting or not self.named_:
            frame.columns = [f"x{k}" for k in range(frame.shape[1])]
        elif not isinstance(X, pd.DataFrame):
            frame.columns = self.feature_names_in_
        return frame

    @staticmethod
    def _array(X: Any) -> NDArray[Any]:
        """`X` as a matrix: of numbers, or of objects where some entries are text. [N, D]"""
        try:
            return np.asarray(check_array(X, dtype="numeric", ensure_all_finite="allow-nan"))
        except ValueError as error:
            if "could not convert string" not in str(error):
                raise
            return np.asarray(check_array(X, dtype=None, ensure_all_finite=False))


class AutoMLClassifier(ClassifierMixin, _TableEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A search for a classifier, as an estimator of scikit-learn.

    Rows may hold numbers, text, dates and missing values; they are prepared as `automl search` does it. The winner is
    an ensemble of the search's models, chosen on validation rows.

    Args:
        time_s: seconds for all of it, from the rows to the winner; None: no limit, then `trials` counts.
        trials: how many configs are tried; None: as many as fit into the time (30 without a limit of time).
        metric: that trials are ranked on, such as "val_auroc"; None: the accuracy on validation rows.
        epochs: of a full training; None: by the number of rows.
        random_state: seed of all random numbers. With a limit of time the result depends on the machine's speed.
        workers: processes that train side by side; None: this process alone for small tables, else one a core.
        dir: folder in which the study is kept, with all models; None: nothing is kept but the winner.
        name: of the study.

    Attributes:
        classes_: the labels. [classes]
        model_: the winner, as `automl.load` returns it.
        leaderboard_: see `leaderboard`.
        scores_: the winner's scores, on rows that the search has not seen where there are enough.
        study_: the folder of the study, where `dir` is given.
        named_: whether `automl.fit` made it, so that the model knows columns and labels by their own names.
        n_features_in_, feature_names_in_: of the rows given to `fit`.

    Example:
        >>> model = AutoMLClassifier(time_s=120).fit(frame, labels)
        >>> model.predict_proba(new_frame)
    """

    kind: recipe.Kind = "classification"

    def fit(self, X: Any, y: Any) -> Self:
        """Search for a model that predicts the labels `y` [N] of the rows `X` [N, D].

        Raises:
            ValueError: `X` or `y` are not what scikit-learn takes, or there is one class only.
        """
        frame = self._frame(X, fitting=True)
        labels = _target(y, len(frame))
        check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has 1 class, {self.classes_[0]!r}: a classifier needs at least two classes")
        self._search(frame, pd.Series(codes).map(lambda code: f"class {code:06d}"))
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The probability of each class for each row of `X`, in the order of `classes_`. [N, classes]"""
        frame = self._frame(X)
        known = self.model_.predict_proba(frame)
        if self.named_:
            return known
        result = np.zeros((len(frame), len(self.classes_)))
        result[:, [_code(label) for label in self.model_.classes]] = known
        return result

    def _decoded(self, predicted: NDArray[Any]) -> NDArray[Any]:
        if self.named_:
            return predicted
        return np.asarray(self.classes_[[_code(label) for label in predicted]])


class AutoMLRegressor(RegressorMixin, _TableEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A search for a model of numbers, as an estimator of scikit-learn; see `AutoMLClassifier`.

    Trials are ranked on the root mean squared error of validation rows, unless `metric` says otherwise.

    Example:
        >>> model = AutoMLRegressor(time_s=120).fit(frame, prices)
        >>> model.predict(new_frame)
    """

    kind: recipe.Kind = "regression"

    def fit(self, X: Any, y: Any) -> Self:
        """Search for a model that predicts the numbers `y` [N] of the rows `X` [N, D].

        Raises:
            ValueError: `X` or `y` are not what scikit-learn takes.
        """
        frame = self._frame(X, fitting=True)
        values = check_array(_target(y, len(frame)), dtype="float64", ensure_2d=False, input_name="y")
        self._search(frame, pd.Series(np.asarray(values, dtype=np.float64)))
        return self


def _target(y: Any, rows: int) -> NDArray[Any]:
    """`y` as a vector with an entry for each row. [N]"""
    if y is None:
        raise ValueError("this estimator requires y to be passed, but the target y is None")
    vector = column_or_1d(y, warn=True)
    if len(vector) != rows:
        raise ValueError(f"Found input variables with inconsistent numbers of samples: {[rows, len(vector)]}")
    if vector.dtype.kind == "f" and not np.isfinite(vector).all():
        raise ValueError("Input y contains NaN or infinity.")
    return np.asarray(vector)


def _code(label: Any) -> int:
    """The index in `classes_` of a label as the study knows it."""
    try:
        return int(str(label).removeprefix("class "))
    except ValueError:
        raise DataError(f"the model has a class {label!r} that was not in y") from None
