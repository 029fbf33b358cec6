"""A history as an Optuna study, without copying: the storage that Optuna's samplers read."""

from collections.abc import Container, Sequence
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from automl.core.history import History
from automl.core.space import Choice, Config, Float, Parameter, Space, Value
from automl.core.trial import State, TrialRecord

STATES = {
    State.DONE: OptunaState.COMPLETE,
    State.STOPPED: OptunaState.PRUNED,
    State.PAUSED: OptunaState.PRUNED,
    State.FAILED: OptunaState.FAIL,
    State.RUNNING: OptunaState.RUNNING,
}
EPOCH = datetime(2000, 1, 1)
"""The time of every trial: Optuna requires one, and no sampler uses it."""


def distribution(p: Parameter) -> BaseDistribution:
    """What Optuna draws for a parameter: numbers as they are; choices and numbers with a step by index."""
    if isinstance(p, Choice) and not p.ordered:
        return CategoricalDistribution(tuple(range(len(p.choices))))
    if isinstance(p, Float) and p.step is None:
        return FloatDistribution(p.low, p.high, log=p.log)
    if isinstance(p, Choice | Float) or p.step != 1:
        return IntDistribution(0, int(p.size) - 1)
    return IntDistribution(p.low, p.high, log=p.log)


def to_optuna(p: Parameter, value: Any) -> Any:
    """A `value` of our parameter as a value of its `distribution`."""
    if (isinstance(p, Float) and p.step is None) or (not isinstance(p, Choice | Float) and p.step == 1):
        return value
    return min(int(p.to_unit(value) * p.size), int(p.size) - 1)


def from_optuna(p: Parameter, drawn: Any) -> Value:
    """The value of our parameter for what Optuna drew, as a plain Python value; the inverse of `to_optuna`."""
    if isinstance(p, Float) and p.step is None:
        value = min(max(float(drawn), p.low), p.high)
        return p.from_unit(p.to_unit(value))
    if not isinstance(p, Choice | Float) and p.step == 1:
        return min(max(int(drawn), p.low), p.high)
    return p.from_unit((int(drawn) + 0.5) / p.size)


class HistoryStorage(BaseStorage):
    """The trials of a history, and those that a sampler is asked for, as `FrozenTrial`s of study 0."""

    def __init__(self, space: Space) -> None:
        self.distributions = {name: distribution(p) for name, p in space.params.items()}
        self.space = space
        self.frozen: list[FrozenTrial] = []
        self.records: list[TrialRecord] = []
        self.study_attrs: dict[str, Any] = {}

    def follow(self, history: History) -> None:
        """Update the trials to those of `history`; only records that have changed are converted again."""
        del self.records[len(history) :]
        del self.frozen[len(self.records) :]  # also what was only asked for
        for k, record in enumerate(history.trials):
            if k == len(self.records):
                self.records.append(record)
                self.frozen.append(self._frozen(record))
            elif self.records[k] is not record:
                self.records[k] = record
                notes = self.frozen[k].system_attrs  # what a pruner noted about this trial
                self.frozen[k] = self._frozen(record)
                self.frozen[k].system_attrs = notes

    def _frozen(self, t: TrialRecord) -> FrozenTrial:
        state = STATES[t.state]
        if t.loss is None and state in (OptunaState.COMPLETE, OptunaState.PRUNED):
            state = OptunaState.FAIL
        valued = state in (OptunaState.COMPLETE, OptunaState.PRUNED)
        values = {name: value for name in self.space.names if (value := self._possible(name, t.config)) is not None}
        return FrozenTrial(
            number=t.number,
            trial_id=t.number,
            state=state,
            value=t.loss if valued else None,
            datetime_start=EPOCH,
            datetime_complete=EPOCH if state.is_finished() else None,
            params={name: to_optuna(self.space.params[name], value[0]) for name, value in values.items()},
            distributions={name: self.distributions[name] for name in values},
            user_attrs={},
            system_attrs={},
            intermediate_values=dict(t.curve),
        )

    def _possible(self, name: str, config: Config) -> tuple[Any] | None:
        """A value of a config; the nearest one of a range that was narrowed since. None: there is none."""
        p = self.space.params[name]
        if name not in config or p.contains(config[name]):
            return (config[name],) if name in config else None
        return None if isinstance(p, Choice) else (p.from_unit(min(max(p.to_unit(config[name]), 0.0), 1.0)),)

    # -- what samplers call ----------------------------------------------------------------------------------------

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        number = len(self.frozen)
        self.frozen.append(
            template_trial
            or FrozenTrial(
                number=number,
                trial_id=number,
                state=OptunaState.RUNNING,
                value=None,
                datetime_start=EPOCH,
                datetime_complete=None,
                params={},
                distributions={},
                user_attrs={},
                system_attrs={},
                intermediate_values={},
            )
        )
        return number

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        trial = self.frozen[trial_id]
        trial.params[param_name] = distribution.to_external_repr(param_value_internal)
        trial.distributions[param_name] = distribution

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self.frozen[trial_id].system_attrs[key] = value

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self.frozen[trial_id].user_attrs[key] = value

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self.frozen[trial_id]

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[OptunaState] | None = None
    ) -> list[FrozenTrial]:
        return [t for t in self.frozen if states is None or t.state in states]

    # -- one study, minimizing -------------------------------------------------------------------------------------

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        return 0

    def delete_study(self, study_id: int) -> None:
        raise NotImplementedError("the trials belong to the history, and Optuna cannot delete them")

    def get_study_id_from_name(self, study_name: str) -> int:
        return 0

    def get_study_name_from_id(self, study_id: int) -> str:
        return "history"

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return [StudyDirection.MINIMIZE]

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self.study_attrs[key] = value

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self.study_attrs[key] = value

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return {}

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self.study_attrs

    def get_all_studies(self) -> list[FrozenStudy]:
        return []

    def set_trial_state_values(self, trial_id: int, state: OptunaState, values: Sequence[float] | None = None) -> bool:
        self.frozen[trial_id].state = state
        self.frozen[trial_id].values = list(values) if values is not None else None
        return True

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        self.frozen[trial_id].intermediate_values[step] = intermediate_value


_storages: "WeakKeyDictionary[History, HistoryStorage]" = WeakKeyDictionary()


def storage_of(history: History) -> HistoryStorage:
    """The storage with the current trials of `history`."""
    found = _storages.get(history)
    if found is None or found.space is not history.space:
        found = _storages[history] = HistoryStorage(history.space)
    found.follow(history)
    return found


def config_of(space: Space, drawn: dict[str, Any]) -> Config:
    """Our config for Optuna's values of the active parameters."""
    return space.build(lambda _, name: from_optuna(space.params[name], drawn[name]))
