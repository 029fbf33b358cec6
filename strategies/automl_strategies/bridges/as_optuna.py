"""Our strategies as samplers of Optuna, for programs that run their search with Optuna."""

import math
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from automl.core import seeds
from automl.core.history import History
from automl.core.space import Choice, Float, Int, Parameter, Space, Value
from automl.core.trial import Failure, Plan, State
from automl.errors import SpecError
from automl_strategies.wrappers.base import Described, inner


class StrategySampler(BaseSampler):
    """An Optuna sampler that asks one of our strategies. Single objective only.

    The parameters that all finished trials share are suggested together; a parameter that some trials lack is suggested
    on its own, from the trials that have it.

    Args:
        strategy: a strategy's name, `{"name": ..., option: value}`, or the object.
        seed: of the random numbers; None: always the same ones.

    Example:
        study = optuna.create_study(sampler=StrategySampler("tpe", seed=1))
        study.optimize(lambda trial: (trial.suggest_float("x", -5, 5) - 2) ** 2, n_trials=50)
    """

    def __init__(self, strategy: Described = "auto", seed: int | None = None) -> None:
        self.strategy = inner(strategy)
        self.seed = seeds.derive("optuna") if seed is None else seed
        self._spaces = IntersectionSearchSpace()

    def reseed_rng(self) -> None:
        """Does nothing: random numbers depend on (seed, trial number) alone."""

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        if len(study.directions) > 1:
            raise ValueError("StrategySampler cannot be used for more than one objective")
        return {n: d for n, d in self._spaces.calculate(study).items() if not d.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._suggest(study, trial, search_space) if search_space else {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        if len(study.directions) > 1:
            raise ValueError("StrategySampler cannot be used for more than one objective")
        return self._suggest(study, trial, {param_name: param_distribution})[param_name]

    def _suggest(self, study: Study, trial: FrozenTrial, wanted: Mapping[str, BaseDistribution]) -> dict[str, Any]:
        codecs = {name: _Codec(d) for name, d in wanted.items()}
        space = Space({name: codec.parameter for name, codec in codecs.items()})
        history = _history(study, trial, space, codecs, seeds.derive(self.seed, trial.number, *sorted(wanted)))
        (config,) = self.strategy.suggest(history, 1) or [space.sample(history.rng())]
        return {name: codec.to_optuna(config[name]) for name, codec in codecs.items()}


def _history(study: Study, trial: FrozenTrial, space: Space, codecs: "Mapping[str, _Codec]", seed: int) -> History:
    """The trials of `study` that have all of these parameters, within these ranges."""
    history = History(space, seed=seed, plan=Plan(horizon=None))
    sign = -1.0 if study.direction == optuna.study.StudyDirection.MAXIMIZE else 1.0
    for t in study.get_trials(deepcopy=False):
        params = {**t.system_attrs.get("relative", {}), **t.params}
        if t.number == trial.number or any(name not in params for name in codecs):
            continue
        config = {name: codec.from_optuna(params[name]) for name, codec in codecs.items()}
        if not space.contains(config):
            continue
        number = history.begin(config).number
        if t.state is TrialState.COMPLETE and t.value is not None and math.isfinite(t.value):
            history.point(number, 1, sign * t.value)
            history.end(number, State.DONE)
        elif t.state is TrialState.PRUNED and t.intermediate_values:
            for step, value in sorted(t.intermediate_values.items()):
                if math.isfinite(value):
                    history.point(number, step + 1, sign * value)
            history.end(number, State.STOPPED)
        elif t.state.is_finished():
            history.end(number, State.FAILED, failure=Failure("metric", f"no value: {t.value}"))
    return history


class _Codec:
    """One of Optuna's distributions as a parameter of ours, and the conversion of values in both directions."""

    def __init__(self, distribution: BaseDistribution) -> None:
        self.distribution = distribution
        self.parameter = self._parameter()

    def _parameter(self) -> Parameter:
        d = self.distribution
        if isinstance(d, CategoricalDistribution):
            return Choice(tuple(range(len(d.choices))))
        if d.single():
            return Choice((0,))
        if isinstance(d, FloatDistribution) and d.step is None:
            return Float(d.low, d.high, log=d.log)
        if isinstance(d, FloatDistribution) and d.step is not None:
            return Int(0, round((d.high - d.low) / d.step))
        if isinstance(d, IntDistribution):
            return Int(d.low, d.high, log=True) if d.log else Int(0, (d.high - d.low) // d.step)
        raise SpecError(f"unknown distribution {d}")

    def from_optuna(self, value: Any) -> Value:
        d = self.distribution
        if isinstance(d, CategoricalDistribution):
            return int(d.to_internal_repr(value)) if value in d.choices else -1  # -1: no member
        if d.single():
            return 0 if value == d.low else -1  # type: ignore[attr-defined]
        if isinstance(d, FloatDistribution) and d.step is None:
            return float(value)
        if isinstance(d, FloatDistribution) and d.step is not None:
            steps: int = round((value - d.low) / d.step)
            return steps
        assert isinstance(d, IntDistribution)
        return int(value) if d.log else (int(value) - d.low) // d.step

    def to_optuna(self, value: Any) -> Any:
        d = self.distribution
        if isinstance(d, CategoricalDistribution):
            return d.choices[value]
        if d.single():
            return d.low  # type: ignore[attr-defined]
        if isinstance(d, FloatDistribution) and d.step is None:
            return min(max(float(value), d.low), d.high)
        if isinstance(d, FloatDistribution) and d.step is not None:
            return min(d.low + value * d.step, d.high)
        assert isinstance(d, IntDistribution)
        return int(value) if d.log else d.low + int(value) * d.step
