"""All options of a search as one value, which is handed on as it is."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.core.files import as_name, why_no_name
from automl.core.option_types import check_number
from automl.errors import EnvironmentProblem, SpecError

if TYPE_CHECKING:
    from automl.core.objectives.goals import MetricSpec
    from automl.core.plugins import Described
    from automl.core.space import Config, Space
    from automl.driver.screen import Screen
    from automl.study.live.warm import Given

FINALISTS = {"top": 5, "seeds": 3}
PLUGINS = ("strategy", "stopper", "executor")


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """The options of `automl.search`, which describes each of them. None: the spec's value, or the usual one."""

    space: "Space | Mapping[str, Any] | None" = None
    metric: "MetricSpec | None" = None
    trials: int | None = None
    time_s: float | None = None
    epochs: int | None = None
    horizon: int | None = None
    strategy: "Described | None" = None
    stopper: "Described | None" = None
    executor: "Described | None" = None
    loggers: "Sequence[Described]" = ()
    seed: int | None = None
    value: str | None = None
    first: "list[Config] | None" = None
    warm: "Given | Sequence[Given]" = ()
    workers: int | None = None
    dir: str | Path = "studies"
    name: str | None = None
    path: str | Path | None = None
    screen: "Screen | None" = None
    overrides: Mapping[str, Any] | None = None
    deterministic: bool = False
    retries: int = 1
    trial_timeout_s: float | None = None
    isolation: str = "warm"
    finalists: Mapping[str, int] | bool | None = True
    fidelity: Mapping[str, tuple[float, float]] | None = None

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            SpecError: one is no number, or too small.
        """
        for name, number in (("trials", self.trials), ("epochs", self.epochs), ("horizon", self.horizon)):
            check_number(name, number, least=1)
        check_number("workers", self.workers)
        check_number("time_s", self.time_s, whole=False)
        check_number("trial_timeout_s", self.trial_timeout_s, whole=False)
        check_number("seed", self.seed, least=-math.inf)
        if not (self.finalists is None or isinstance(self.finalists, bool | Mapping)):
            raise SpecError(f'finalists takes {{"top": 5, "seeds": 3}}, True or None, not {self.finalists!r}')

    @property
    def plugin_objects(self) -> dict[str, object]:
        """The plugins that were given as objects; a spec names the others."""
        given = {kind: getattr(self, kind) for kind in PLUGINS}
        return {kind: one for kind, one in given.items() if one is not None and not isinstance(one, str | Mapping)}

    @property
    def spec_entries(self) -> dict[str, Any]:
        """The options that replace entries of a spec, by dotted path; `overrides` come last and count most."""
        entries = {
            "budget.trials": self.trials,
            "budget.time": self.time_s,
            "budget.epochs": self.epochs,
            "strategy": self.strategy,
            "stopper": self.stopper,
            "seed": self.seed,
            "value": self.value,
            "warm": self._warm or None,
            "executor": self.executor,
            "workers": self.workers,
            "finalists": None if self.finalists is True else dict(self.finalists) if self.finalists else "none",
        }
        given = {key: entry for key, entry in entries.items() if entry is not None and key not in self.plugin_objects}
        return {**given, **(self.overrides or {})}

    @property
    def _warm(self) -> list[dict[str, Any]]:
        """The earlier studies as a spec has them, with paths from the root: a spec's own are relative to its file."""
        from automl.study.live.warm import Source, given

        found = []
        for one in given(self.warm):
            if isinstance(one, Mapping) and "weights" in one:
                found.append({**one, "weights": str(Path(one["weights"]).absolute())})
            else:
                source = Source.of(one)
                found.append({"study": str(source.path.absolute()), "seeds": source.seeds})
        return found

    @property
    def finalist_counts(self) -> dict[str, int] | None:
        """`{"top": finalists, "seeds": fresh seeds of each}` where a Python function is searched; None: no finalists.

        Raises:
            SpecError: a key is unknown, or a value is not a whole number of at least 1.
        """
        if not self.finalists:
            return None
        given = {} if self.finalists is True else dict(self.finalists)
        wrong = [f"{k}: {v}" for k, v in given.items() if k not in FINALISTS or type(v) is not int or v < 1]
        if wrong:
            raise SpecError(f'finalists takes {{"top": 5, "seeds": 3}}, numbers from 1 up, not {", ".join(wrong)}')
        return {**FINALISTS, **given}

    @contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        """The study's folder: `path` if it was given, else a new one, which is deleted if the study cannot begin.

        Args:
            name: the study's name, where the options give none.

        Raises:
            SpecError: the given name cannot be a folder's name.
        """
        if self.path is not None:
            yield Path(self.path)
            return
        if self.name and (why := why_no_name(self.name)):
            raise SpecError(f"name: {self.name!r:.52} {why}; it is the folder's name, and dir says where that lies")
        folder = reserved(Path(self.dir), self.name or as_name(name))
        try:
            yield folder
        except BaseException:
            with suppress(OSError):
                folder.rmdir()  # only where it is empty
            raise


def reserved(dir: Path, name: str) -> Path:
    """A new folder `dir/name`, or `dir/name-2`, `dir/name-3`, ...; two searches that begin at once get two.

    Raises:
        EnvironmentProblem: it cannot be made.
    """
    folder, k = dir / name, 2
    while True:
        try:
            dir.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
        except FileExistsError:
            if not dir.is_dir():
                raise EnvironmentProblem(f"{dir}: is no folder, so no study can be made in it") from None
            folder, k = dir / f"{name}-{k}", k + 1
        except OSError as error:
            raise EnvironmentProblem(f"{folder}: cannot be made: {error.strerror}") from error
        else:
            return folder
