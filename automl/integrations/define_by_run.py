"""`automl.optimize`: functions written for Optuna, `def objective(trial): lr = trial.suggest_float(...); return loss`.

The space is not told; it is what the function asks for. Each call is kept as a trace, the conditional space is read off
all traces after each call (see `traces`), and the strategy suggests the next config in it. What the function asks for
beyond that config is drawn at random.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from automl.core import plugins, seeds
from automl.core.history import History
from automl.core.parameters import Choice, Float, Int, Parameter
from automl.core.plugins import Described
from automl.core.space import Config, Space, Value
from automl.core.stopper import CONTINUE, Kind, Stopper, Verdict
from automl.core.strategy import Strategy
from automl.core.trial import Failure, Metric, Plan, State
from automl.errors import SearchFailed, SpecError
from automl.integrations import traces as tracing
from automl.integrations.traces import Trace
from automl.study import paths
from automl.study.study import Study

FIRST = 5
"""Calls with parameters drawn at random, by which the space becomes known."""


class TrialPruned(Exception):
    """Raised by an objective that ends early because `trial.should_prune()` said so; Optuna's is taken too."""


class SuggestingTrial:
    """What the objective gets: the part of Optuna's `Trial` that objectives use.

    Attributes:
        number: of the trial, from 0.
        params: what was suggested so far.
        seed: for the objective's own random numbers; depends on the study's seed and the number.
        user_attrs: what `set_user_attr` has noted.
    """

    def __init__(self, trace: Trace, config: Config, history: History, stopper: Stopper) -> None:
        self.number, self.params = trace.number, trace.params
        self.seed = seeds.derive(history.seed, trace.number, "trial")
        self.user_attrs = trace.attributes
        self._trace, self._config, self._history, self._stopper = trace, config, history, stopper
        self._rng = np.random.default_rng(seeds.derive(history.seed, trace.number, "asked"))
        self._verdict: Verdict = CONTINUE

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A real number from `low` to `high`, both included."""
        return float(self._suggest(name, Float(low, high, log=log, step=step)))  # type: ignore[arg-type]

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """A whole number from `low` to `high`, both included."""
        return int(self._suggest(name, Int(low, high, log=log, step=step)))  # type: ignore[arg-type]

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of `choices`: text, numbers, truth values or None."""
        return self._suggest(name, Choice(tuple(choices)))

    def suggest_uniform(self, name: str, low: float, high: float) -> float:
        """`suggest_float`, by its older name."""
        return self.suggest_float(name, low, high)

    def suggest_loguniform(self, name: str, low: float, high: float) -> float:
        """`suggest_float` with `log=True`, by its older name."""
        return self.suggest_float(name, low, high, log=True)

    def suggest_discrete_uniform(self, name: str, low: float, high: float, q: float) -> float:
        """`suggest_float` with `step=q`, by its older name."""
        return self.suggest_float(name, low, high, step=q)

    def report(self, value: float, step: int) -> None:
        """The objective's value after `step`, from which `should_prune` decides; steps rise, 0 is the first."""
        loss = self._history.metric.loss(float(value))
        if math.isnan(loss) or (self._trace.curve and step + 1 <= self._trace.curve[-1][0]):
            return
        self._trace.curve.append((step + 1, float(value)))
        if self._history.point(self.number, step + 1, loss):
            self._verdict = self._stopper.verdict(self._history, self.number)

    def should_prune(self) -> bool:
        """Whether the last report was bad enough to end the trial: `raise automl.TrialPruned`."""
        return self._verdict.kind is not Kind.CONTINUE

    def set_user_attr(self, key: str, value: Any) -> None:
        """Note something about the trial."""
        self.user_attrs[key] = value

    @property
    def reason(self) -> str:
        """Why it was pruned."""
        return self._verdict.reason or "pruned"

    def _suggest(self, name: str, asked: Parameter) -> Value:
        if name in self.params and asked.contains(self.params[name]):
            return self.params[name]
        value = self._config.get(name)
        if name not in self._config or not asked.contains(value):
            value = asked.from_unit(float(self._rng.random()))
        self._trace.params[name], self._trace.ranges[name] = value, asked
        return value


def optimize(
    objective: Callable[[Any], float], *, trials: int, direction: Literal["minimize", "maximize"] = "minimize",
    strategy: Described = "tpe", stopper: Described = "none", seed: int = 0, path: str | Path | None = None,
    name: str = "value",
) -> Study:  # fmt: skip
    """Minimize a function that asks a trial for its parameters, as objectives written for Optuna do.

        def objective(trial):
            x = trial.suggest_float("x", -5, 5)
            kind = trial.suggest_categorical("kind", ["plain", "shifted"])
            shift = trial.suggest_float("shift", 0, 1) if kind == "shifted" else 0.0
            return (x - shift) ** 2

        study = automl.optimize(objective, trials=40)

    It is called in this process, one trial after another; `automl.search` runs trials side by side, with checkpoints.

    Args:
        objective: gets a `SuggestingTrial`; returns the value, or raises `automl.TrialPruned` (or Optuna's).
        trials: how many in all; those of an earlier call with the same `path` count.
        direction: whether lower or higher values are better.
        strategy, stopper: as in `automl.search`; "tpe" is what Optuna uses. The stopper is asked after each report.
        seed: from which all random numbers are derived.
        path: a folder that keeps each trial when it ends; a call that was killed goes on there. None: nothing is kept.
        name: what the value is called.

    Returns:
        the study, closed, with the conditional space that was found.

    Raises:
        SearchFailed: the first five trials all fail.
        SpecError: `trials` is below 1, or the objective returns several values.
    """
    if trials < 1:
        raise SpecError(f"trials: {trials} is not a number of trials")
    folder = Path(path) if path is not None else None
    known = tracing.read(folder) if folder is not None else []
    made: Strategy = plugins.make("strategies", strategy)
    rule: Stopper = plugins.make("stoppers", stopper)
    metric = Metric(name, direction)
    while len(known) < trials:
        known.append(trace := _call(objective, known, made, rule, Plan(trials=trials), metric, seed))
        if folder is not None:
            tracing.append(folder, trace)
        if len(known) == FIRST and all(one.state is State.FAILED for one in known):
            raise SearchFailed(f"the first {FIRST} trials all failed: {known[-1].reason}")
    return _study(known, metric, seed, folder)


def _call(
    objective: Callable[[Any], float], known: Sequence[Trace], strategy: Strategy, stopper: Stopper, plan: Plan,
    metric: Metric, seed: int,
) -> Trace:  # fmt: skip
    """Call the objective once more."""
    space, _ = tracing.space_of(known)
    history = _history(known, space, plan, metric, seed)
    suggested = strategy.suggest(history, 1) if len(known) >= FIRST and space.dim else []
    trace = Trace(len(known))
    config = suggested[0] if suggested else {}
    trial = SuggestingTrial(trace, config, history, stopper)
    history.begin(config or (space.sample(history.rng(0)) if space.dim else {}))
    try:
        returned = objective(trial)
        several = isinstance(returned, tuple | list)
        trace.value = None if several else _number(returned)
    except Exception as error:
        pruned = isinstance(error, TrialPruned) or type(error).__name__ == "TrialPruned"
        trace.state = State.STOPPED if pruned and trace.curve else State.FAILED
        trace.reason = trial.reason if pruned else f"{type(error).__name__}: {error}"
        return trace
    if trace.value is None:
        raise SpecError("the objective returns several values; automl.search takes several metrics, as a list")
    if not math.isfinite(trace.value):
        trace.state, trace.reason, trace.value = State.FAILED, f"{metric.name} is {trace.value}", None
    return trace


def _number(returned: Any) -> float:
    """What the objective returned, as a number.

    Raises:
        TypeError: it is none.
    """
    try:
        return float(returned)
    except (TypeError, ValueError):
        what = "nothing" if returned is None else f"a {type(returned).__name__}"
        raise TypeError(f"the objective returned {what}; end it with `return value`, a number") from None


def _history(known: Sequence[Trace], space: Space, plan: Plan, metric: Metric, seed: int) -> History:
    """The traces as the strategy sees them: as trials in the space that they come from."""
    history = History(space, seed=seed, metric=metric, plan=plan)
    for trace in known:
        number = history.begin(tracing.config_of(trace, space)).number
        for step, value in trace.curve:
            history.point(number, step, metric.loss(value))
        if trace.value is not None:
            history.point(number, _last(trace), metric.loss(trace.value))
        failure = Failure("exception", trace.reason) if trace.state is State.FAILED else None
        history.end(number, trace.state, reason=trace.reason, failure=failure)
    return history


def _last(trace: Trace) -> int:
    """The step of the value that was returned."""
    return trace.curve[-1][0] + 1 if trace.curve else 1


class _Recorded(Stopper):
    """Stops the trials that were pruned, where they were."""

    def __init__(self, known: Sequence[Trace]) -> None:
        self.stops = {t.number: (t.curve[-1][0], t.reason) for t in known if t.state is State.STOPPED}

    def verdict(self, history: History, trial: int) -> Verdict:
        step, reason = self.stops.get(trial, (math.inf, ""))
        return Verdict(Kind.STOP, reason) if history.trials[trial].step >= step else CONTINUE


def _study(known: Sequence[Trace], metric: Metric, seed: int, folder: Path | None) -> Study:
    """The study with all trials, in the space that was found; in `folder` it replaces the one of an earlier call."""
    space, loose = tracing.space_of(known)
    if folder is not None:
        for file in folder.glob(f"{paths.LEDGER}*"):
            file.unlink()
    study = Study(
        space, metric=metric, trials=len(known), seed=seed, path=folder, strategy="random", stopper=_Recorded(known),
        first=[tracing.config_of(trace, space) for trace in known], defaults=False,
    )  # fmt: skip
    with study:
        if loose:
            study.notes.append(f"not modelled, as it was not found when they are asked for: {', '.join(sorted(loose))}")
        for trace in known:
            assert study.ask() is not None
            for step, value in trace.curve:
                study.report(trace.number, step, {metric.name: value})
            if trace.state is State.FAILED:
                study.fail(trace.number, Failure("exception", trace.reason))
            elif trace.value is not None:
                study.tell(trace.number, _last(trace), **{metric.name: trace.value})
    return study
