"""The samplers of Optuna on our history."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from automl.core import seeds
from automl.core.history import History
from automl.core.space import Config, Value
from automl.core.strategy import Strategy
from automl.errors import SpecError, did_you_mean
from automl_strategies.surrogates.deduplication import SeenConfigs, first_new, new_configs

RETRIES = 4
"""How often the sampler is asked again after a repeated config."""


@dataclass(frozen=True)
class Optuna(Strategy):
    """Use an Optuna sampler by name, with its options; for those who are used to it.

    Akiba et al., "Optuna" (KDD 2019). Slower than `tpe` and `gp`. The sampler gets a new seed for every trial and reads
    all else from the history, so a study that continues goes on exactly as before. Samplers that keep state in the
    trials that they make themselves (CMA-ES and NSGA-II) have none here and begin anew each time: prefer `genetic`.

    Args:
        sampler: the name of a class in `optuna.samplers`.
        options: its keyword arguments.

    Raises:
        SpecError: there is no such sampler, or it has no such option.

    Example:
        automl.search("space.yaml", strategy={"name": "optuna", "sampler": "GPSampler"})
    """

    sampler: str = "TPESampler"
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        import optuna

        if not isinstance(getattr(optuna.samplers, self.sampler, None), type):
            known = [n for n in optuna.samplers.__all__ if n.endswith("Sampler") and n != "BaseSampler"]
            raise SpecError(f"optuna: no sampler {self.sampler!r}{did_you_mean(self.sampler, known)}")
        try:
            self._made(0)
        except TypeError as error:
            raise SpecError(f"optuna: {self.sampler}: {error}") from None

    def suggest(self, history: History, n: int) -> list[Config]:
        if not history.objectives.plain:
            raise SpecError("optuna: its samplers get one loss here; with several objectives or limits use auto or gp")
        seen = SeenConfigs(history)
        return new_configs(history, n, self._proposals(history, n, seen), seen)

    def _proposals(self, history: History, n: int, seen: SeenConfigs) -> Iterator[Config]:
        import optuna

        from automl_strategies.bridges.optuna_storage import storage_of

        storage = storage_of(history)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # experimental features, conditional spaces in samplers that know none
            study = optuna.load_study(study_name="history", storage=storage)
            for k in range(n):

                def ask(attempt: int, k: int = k) -> Config:
                    study.sampler = self._made(seeds.derive(history.seed, history.next_number + k, attempt, "optuna"))
                    return _ask(study, storage, history)

                config = first_new(ask, seen, RETRIES)
                if config is not None:
                    yield config

    def _made(self, seed: int) -> Any:
        import optuna

        options = dict(self.options)
        made = getattr(optuna.samplers, self.sampler)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self.sampler in ("BruteForceSampler", "GridSampler", "PartialFixedSampler"):
                return made(**options)
            return made(**{"seed": seed % 2**32, **options})


def _ask(study: Any, storage: Any, history: History) -> Config:
    from automl_strategies.bridges.optuna_storage import from_optuna

    space = history.space
    trial = study.ask(None if space.conditional else storage.distributions)

    def value(_: int, name: str) -> Value:
        return from_optuna(space.params[name], trial._suggest(name, storage.distributions[name]))

    return space.build(value)
