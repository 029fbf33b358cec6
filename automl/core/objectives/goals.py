"""What a study looks for: one metric or several, limits on any metric, and how the winner of a front is chosen."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from automl.core.objectives.fronts import Values, contributions, front_numbers, knee
from automl.core.trial import Metric, Vector
from automl.errors import SpecError, did_you_mean

LIMITS = ("at_most", "at_least")
FORM = 'a name, {"name": ..., "direction": ...}, or a limit {"name": ..., "at_most": 5}'


@dataclass(frozen=True, slots=True)
class Limit:
    """A metric that must stay on one side of a bound; a trial that breaks it is worse than all that keep it.

    Args:
        name: of the metric.
        bound: the last value that is allowed.
        at_least: whether values must not be below the bound; else they must not be above it.
    """

    name: str
    bound: float
    at_least: bool = False

    def loss(self, value: float) -> float:
        """The value with the sign that makes lower better."""
        return -value if self.at_least else value

    def excess(self, losses: Values) -> Values:
        """By how much `losses` [n] break the limit, in units of the bound; 0 where they keep it. [n]"""
        beyond = np.maximum(losses - self.loss(self.bound), 0.0)
        result: Values = beyond / (abs(self.bound) or 1.0)
        return result

    def __str__(self) -> str:
        return f"{self.name} {'>=' if self.at_least else '<='} {self.bound:g}"

    def to_json(self) -> dict[str, Any]:
        """As `Objectives.of` reads it."""
        return {"name": self.name, LIMITS[self.at_least]: self.bound}


@dataclass(frozen=True)
class Objectives:
    """What a study looks for. With one metric and no limit, trials are ordered by their losses.

    With more, they are ordered by front number, and within a front by the volume that a trial alone dominates (see
    `fronts`); behind these stand the trials that break a limit, by how much they break it (Deb, "An efficient
    constraint handling method for genetic algorithms", 2000).

    Args:
        metrics: what is optimized; the first one is the study's `metric`.
        limits: what every trial should keep besides.
        choose: limits by which the winner is taken from the front: of the trials that keep them, the best by the
            first metric. Empty: the knee (see `fronts.knee`).

    Example:
        metric = automl.Objectives.of(["val_error", "parameters"], choose={"at_most": {"parameters": 1e5}})
    """

    metrics: tuple[Metric, ...]
    limits: tuple[Limit, ...] = ()
    choose: tuple[Limit, ...] = field(default=(), compare=False)

    @classmethod
    def of(
        cls, described: Any, count: str = "last", *, choose: "str | Mapping[str, Any] | None" = None
    ) -> "Objectives":
        """The objectives that are described by a metric, or by a list of metrics and limits.

        Args:
            described: a metric as `Metric.of` takes it, `{"name": ..., "at_most": 5}` or `{"name": ..., "at_least":
                5}` for a limit, a list of these, or Objectives.
            count: which report counts as a trial's value, "last" or "best" (by the first metric).
            choose: `"knee"`, or `{"at_most": {name: bound}}`, or the same with `at_least`.

        Raises:
            SpecError: an entry is none of these, a name stands twice, or nothing is optimized.
        """
        if isinstance(described, Objectives):
            return described
        entries = described if isinstance(described, Sequence) and not isinstance(described, str) else [described]
        if len(entries) == 2 and entries[1] in ("minimize", "maximize"):
            raise SpecError(f'metric: write {{"name": {entries[0]!r}, "direction": {entries[1]!r}}}')
        optimized: list[Metric] = []
        limits: list[Limit] = []
        for entry in entries:
            if isinstance(entry, Mapping) and any(key in entry for key in LIMITS):
                limits += _limits(entry)
            elif isinstance(entry, str | Mapping | Metric) and (isinstance(entry, str | Metric) or "name" in entry):
                optimized.append(Metric.of(entry, count))
            else:
                raise SpecError(f"metric: an entry is {FORM}; got {entry!r:.80}")
        names = [metric.name for metric in optimized]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise SpecError(f"metric: {twice!r} is given twice; a limit on it is one entry, what is optimized another")
        if not optimized:
            raise SpecError("metric: nothing is optimized; give a metric without a limit, too")
        return cls(tuple(optimized), tuple(limits), cls._chosen(choose, names))

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> "Objectives":
        """The objectives of a study from its facts: `metric`, and where there are several or limits, `objectives`
        (see `to_json`) and `choose` (see `choose_json`)."""
        first, more = facts["metric"], facts.get("objectives") or {"metrics": [None], "limits": []}
        return cls.of(
            [Metric(**first), *more["metrics"][1:], *more["limits"]], first["count"], choose=facts.get("choose")
        )

    @staticmethod
    def _chosen(choose: "str | Mapping[str, Any] | None", names: Sequence[str]) -> tuple[Limit, ...]:
        if not choose or choose == "knee":
            return ()
        form = "choose is knee, or {at_most: {NAME: bound}} with names of objectives"
        if not isinstance(choose, Mapping) or not choose or not set(choose) <= set(LIMITS):
            raise SpecError(f"{form}; got {choose!r:.80}")
        found = []
        for key, bounds in choose.items():
            for name, bound in bounds.items() if isinstance(bounds, Mapping) else [("", None)]:
                if isinstance(bound, bool) or not isinstance(bound, int | float) or name not in names:
                    raise SpecError(f"{form}; got {{{key}: {bounds!r:.60}}}{did_you_mean(name, names) if name else ''}")
                found.append(Limit(name, float(bound), key == "at_least"))
        return tuple(found)

    @property
    def first(self) -> Metric:
        """The study's metric."""
        return self.metrics[0]

    @property
    def plain(self) -> bool:
        """Whether trials are ordered by one loss alone."""
        return len(self.metrics) == 1 and not self.limits

    @property
    def several(self) -> bool:
        """Whether there is a front: more than one metric is optimized."""
        return len(self.metrics) > 1

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all metrics that every report must have, each once."""
        return tuple(dict.fromkeys([*(m.name for m in self.metrics), *(limit.name for limit in self.limits)]))

    def vector(self, values: Mapping[str, float]) -> Vector:
        """The vector of a report, given as {name: number}; empty where the loss of the first metric says all.

        Raises:
            KeyError: a metric is missing.
        """
        if self.plain:
            return ()
        return (*(m.loss(values[m.name]) for m in self.metrics), *(one.loss(values[one.name]) for one in self.limits))

    def values(self, vector: Vector) -> dict[str, float]:
        """{name: value as the user knows it} of a vector."""
        optimized = {m.name: m.value(x) for m, x in zip(self.metrics, vector, strict=False)}
        limited = {o.name: o.loss(x) for o, x in zip(self.limits, vector[len(self.metrics) :], strict=True)}
        return {**optimized, **limited}

    def excess(self, vectors: Values) -> Values:
        """By how much each row of `vectors` [n, q] breaks the limits, summed; 0 where it keeps all. [n]"""
        total = np.zeros(len(vectors))
        for k, limit in enumerate(self.limits, len(self.metrics)):
            total += limit.excess(vectors[:, k])
        return total

    def places(self, vectors: Iterable[Vector]) -> tuple[list[float], list[int]]:
        """Where each of `vectors` stands among them: lower is better, and equal vectors share a place.

        Returns:
            places, whose whole part is the front, and the front numbers; 0 stands for a vector that breaks a limit,
            whose place comes behind those of all fronts.
        """
        given = np.array(list(vectors), dtype=np.float64)
        if not len(given):
            return [], []
        rows, back = np.unique(given, axis=0, return_inverse=True)
        broken = self.excess(rows)
        keeping = np.flatnonzero(broken == 0.0)
        place, number = np.zeros(len(rows)), np.zeros(len(rows), dtype=np.int64)
        fronts = front_numbers(rows[keeping, : len(self.metrics)]) if len(keeping) else np.zeros(0, dtype=np.int64)
        for front in range(1, int(fronts.max(initial=0)) + 1):
            members = keeping[fronts == front]
            best_first = np.argsort(-contributions(rows[members, : len(self.metrics)]), kind="stable")
            place[members[best_first]] = front + np.arange(len(members)) / (len(members) + 1)
            number[members] = front
        breaking = np.flatnonzero(broken > 0.0)
        place[breaking] = fronts.max(initial=0) + np.unique(broken[breaking], return_inverse=True)[1] + 1
        back = back.reshape(-1)
        return place[back].tolist(), number[back].tolist()

    def winner(self, vectors: Sequence[Vector]) -> int | None:
        """The position in `vectors` of the one to take, as `choose` says; None without any.

        Where no vector of the front keeps the limits of `choose`, it is the one that breaks them least; where none
        keeps the limits of the study, the one that breaks these least.
        """
        if not vectors:
            return None
        places, fronts = self.places(vectors)
        front = [k for k, number in enumerate(fronts) if number == 1]
        if not self.several or not front:
            return places.index(min(places))
        losses = np.array([vectors[k][: len(self.metrics)] for k in front])
        if not self.choose:
            return front[knee(losses)]
        names, broken = [m.name for m in self.metrics], np.zeros(len(front))
        for limit in self.choose:
            at = names.index(limit.name)
            broken += limit.excess(np.array([limit.loss(self.metrics[at].value(x)) for x in losses[:, at]]))
        return front[min(range(len(front)), key=lambda k: (broken[k], losses[k, 0], front[k]))]

    def to_json(self) -> dict[str, Any] | None:
        """What is optimized and limited, as plain values; None where trials are ordered by one loss alone."""
        if self.plain:
            return None
        optimized = [{"name": m.name, "direction": m.direction} for m in self.metrics]
        return {"metrics": optimized, "limits": [limit.to_json() for limit in self.limits]}

    def choose_json(self) -> dict[str, dict[str, float]]:
        """How the winner is chosen, as `of` reads it; empty: the knee."""
        given: dict[str, dict[str, float]] = {}
        for limit in self.choose:
            given.setdefault(LIMITS[limit.at_least], {})[limit.name] = limit.bound
        return given


MetricSpec = str | Mapping[str, Any] | Metric | Objectives | Sequence[str | Mapping[str, Any] | Metric]
"""What `Objectives.of` takes: a metric, a list of metrics and limits, or Objectives."""


def example_of(objectives: Objectives) -> str:
    """How the metrics of a report are given to a call: `val_error=0.3, parameters=0.3`."""
    return ", ".join(f"{name}=0.3" for name in objectives.names)


def _limits(entry: Mapping[str, Any]) -> list[Limit]:
    """The limits of an entry `{"name": ..., "at_most": 5}`.

    Raises:
        SpecError: it has no name, another key, or a bound that is no number.
    """
    name, bounds = entry.get("name"), {key: entry[key] for key in LIMITS if key in entry}
    wrong = [f"{k}: {v!r}" for k, v in bounds.items() if isinstance(v, bool) or not isinstance(v, int | float)]
    if not isinstance(name, str) or wrong or set(entry) - {"name", *LIMITS}:
        raise SpecError(f'metric: a limit is {{"name": ..., "at_most": 5}} (or "at_least") alone; got {entry!r:.80}')
    return [Limit(name, float(bound), key == "at_least") for key, bound in bounds.items()]
