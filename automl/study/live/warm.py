"""Earlier studies: which of their rows fit the present space, and which of these are tried first."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from automl.core.history import History
from automl.core.space import Config, Space, start_value
from automl.core.trial import State, TrialRecord
from automl.errors import LedgerError, SpecError, did_you_mean
from automl.study.live.requests import Edit
from automl.study.reader import StudyView

MOST_ROWS = 500
"""So many rows of one study are copied, the best ones."""
MOST_SEEDS = 6
"""So many configs of all earlier studies together are tried first."""
APART = 0.02
"""Two configs differ if some parameter differs by more than this share of its range."""
OPTIONS = ("study", "seeds", "written")
Given = str | Path | Mapping[str, Any]


def given(warm: Given | Sequence[Given]) -> Sequence[Given]:
    """One earlier study, or several, as a list."""
    return [warm] if isinstance(warm, str | Path | Mapping) else warm


@dataclass(frozen=True)
class Source:
    """An earlier study.

    Attributes:
        path: its folder.
        seeds: how many of its best configs are tried first.
        written: the path as the user wrote it, by which it is known that its rows were copied.
    """

    path: Path
    seeds: int = 3
    written: str = ""

    @classmethod
    def of(cls, given: Given) -> "Source":
        """A source from the path of a study, or `{"study": path, "seeds": 3}`.

        Raises:
            SpecError: it is neither.
        """
        if isinstance(given, str | Path):
            given = {"study": given}
        if isinstance(given, Mapping) and "weights" in given:
            raise SpecError(
                "warm: weights are for described models (model:); a program of its own loads weights itself, with "
                "automl.load or torch.load"
            )
        if not isinstance(given, Mapping) or not isinstance(given.get("study"), str | Path):
            raise SpecError(f"warm: needs the folder of a study, or {{study: ..., seeds: 3}}, got {given!r:.100}")
        for name in given:
            if name not in OPTIONS:
                raise SpecError(f"warm: no option {str(name)!r:.50}{did_you_mean(str(name), OPTIONS[:2])}")
        seeds = given.get("seeds", 3)
        if type(seeds) is not int or not 0 <= seeds <= MOST_SEEDS:
            raise SpecError(f"warm: seeds needs a whole number from 0 to {MOST_SEEDS}, got {seeds!r:.50}")
        return cls(Path(given["study"]), seeds, str(given.get("written", given["study"])))

    @property
    def id(self) -> str:
        """The id of the request under which its rows are copied."""
        return f"warm:{self.written}"


@dataclass(frozen=True)
class Rows:
    """The rows of an earlier study that fit the present space, the best first; those of full length before others."""

    source: Source
    name: str
    configs: tuple[Config, ...]
    losses: tuple[float, ...]
    full: int
    total: int  # how many trials with a value the study has
    new: tuple[str, ...]  # parameters that no config of the study has

    def edit(self, seeds: Sequence[Config]) -> Edit:
        """The edit that copies these rows and has `seeds` tried first."""
        same = {"kind": "warm", "name": self.name, "seeds": list(seeds), "configs": list(self.configs)}
        return {**same, "losses": list(self.losses), "full": self.full}

    def note(self, seeds: int) -> str:
        """What the user is told about it."""
        fit = f"{len(self.configs)} of {self.total} trials fit this space"
        tried = f"its best {seeds} are tried first" if seeds > 1 else "its best one is tried first" if seeds else ""
        filled = f"{', '.join(self.new)}: new here, filled in" if self.new else ""
        return f"warm: {self.name}: {'; '.join(part for part in (fit, tried, filled) if part)}"


def read(source: Source, space: Space) -> Rows:
    """The rows of an earlier study that fit `space`.

    Raises:
        SpecError: there is no such study, or none of its trials has a value and fits.
    """
    try:
        view = StudyView(source.path)
    except LedgerError as error:
        near = did_you_mean(source.path.name, _studies(source.path.parent))
        raise SpecError(f"warm: {error}{near}") from None
    view.close()
    ranked = sorted((t for t in view.history.trials if _counts(t)), key=_order)
    fitting = [(config, t) for t in ranked if (config := fitted(t.config, space)) is not None][:MOST_ROWS]
    if not fitting:
        why = "none of its trials has a value" if not ranked else "none of its trials fits this space"
        raise SpecError(f"warm: {source.path}: {why}{_why_not(ranked, space)}")
    seen = {name for _, t in fitting for name in t.config}
    configs, losses = tuple(config for config, _ in fitting), tuple(t.loss or 0.0 for _, t in fitting)
    full = sum(t.state is State.DONE for _, t in fitting)
    new = tuple(name for name in space.params if name not in seen and any(name in c for c in configs))
    return Rows(source, view.name, configs, losses, full, len(ranked), new)


def _studies(folder: Path) -> list[str]:
    try:
        return [path.parent.name for path in folder.glob("*/ledger.sqlite")]
    except OSError:
        return []


def _counts(t: TrialRecord) -> bool:
    return t.loss is not None and math.isfinite(t.loss) and t.state in (State.DONE, State.STOPPED)


def _order(t: TrialRecord) -> tuple[bool, int, float, int]:
    """Trials of full length by their loss; then the others by how far they got."""
    done = t.state is State.DONE
    return not done, 0 if done else -t.step, t.loss or 0.0, t.number


def fitted(config: Config, space: Space) -> Config | None:
    """A config of another study as a point of `space`; None where one of its values is not possible here.

    Parameters that it lacks take their default or the middle of their range, others that `space` lacks are left out.
    """
    outside = [
        n for n, p in space.params.items() if n in config and space.active(n, config) and not p.contains(config[n])
    ]
    if outside:
        return None

    def value(_: int, name: str) -> Any:
        p = space.params[name]
        return config[name] if name in config and p.contains(config[name]) else start_value(p)

    return space.canonical(space.build(value))


def _why_not(ranked: Sequence[TrialRecord], space: Space) -> str:
    if not ranked:
        return ""
    best = ranked[0].config
    wrong = [n for n, p in space.params.items() if n in best and not p.contains(best[n])]
    return f" (its best one has {', '.join(f'{n} = {best[n]!r}' for n in wrong)})" if wrong else ""


def seeds(sources: Sequence[Rows], space: Space, others: Sequence[Config]) -> list[Config]:
    """The configs that are tried first: the best of each source in turn, each apart from those before and `others`."""
    taken, chosen = list(others), list[Config]()
    found: list[list[Config]] = []
    for rows in sources:
        mine: list[Config] = []
        for config in rows.configs:
            if len(mine) == rows.source.seeds:
                break
            if all(differ(space, config, other) for other in [*taken, *mine]):
                mine.append(config)
        found.append(mine)
    for one in chain.from_iterable(zip_longest(*found)):
        if one is not None and len(chosen) < MOST_SEEDS and all(differ(space, one, other) for other in chosen):
            chosen.append(one)
    return chosen


def differ(space: Space, a: Config, b: Config) -> bool:
    """Whether two configs differ by more than `APART` in some parameter, or by an inactive one."""
    pairs = zip(space.encode(a).tolist(), space.encode(b).tolist(), strict=True)
    return any(math.isnan(x) != math.isnan(y) or abs(x - y) > APART for x, y in pairs if not (x != x and y != y))


def edits(
    earlier: Given | Sequence[Given], history: History, others: Sequence[Config]
) -> tuple[list[tuple[str, Edit]], list[str]]:
    """What is copied from earlier studies that were not copied before.

    Args:
        earlier: the earlier studies.
        history: of the present study.
        others: configs that are tried before theirs.

    Returns:
        (id of the request, edit) of each study; and notes for the user.

    Raises:
        SpecError: a study is not there, or none of its trials fits.
    """
    sources = [Source.of(one) for one in given(earlier)]
    missing = {source.id: source for source in sources if source.id not in history.live.requests}
    rows = [read(source, history.space) for source in missing.values()]
    first = seeds(rows, history.space, others)
    by_source = [[config for config in first if config in one.configs] for one in rows]
    notes = [one.note(len(mine)) for one, mine in zip(rows, by_source, strict=True)]
    return [(one.source.id, one.edit([] if k else first)) for k, one in enumerate(rows)], notes
