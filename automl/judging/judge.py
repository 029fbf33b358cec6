"""`automl.judge`: is the second one better than the first? Answered with paired fresh seeds and a sequential test."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from automl.core import seeds as seeding
from automl.core.plugins import Described
from automl.core.trial import Metric
from automl.errors import SpecError
from automl.judging import campaign as campaigns
from automl.judging import sides
from automl.judging.runs import RunFailed, Runs
from automl.judging.sequential import FEWEST, Look, PairedTest
from automl.judging.sides import Side

if TYPE_CHECKING:
    from automl.worker.trial import Trial

Say = Callable[[str], None]


@dataclass(frozen=True)
class Judgement:
    """What the referee found.

    Attributes:
        better: True: the candidate is shown to be better. False: nothing speaks for it, and going on was not worth it
            (or its run failed). None: it may be better, but this number of seeds does not show it.
        p: probability of a result like this one if both sides were equal; None where a run failed.
        delta: mean of candidate minus baseline, in units of the metric: below 0 is better where lower is better.
        interval: for the true `delta`; where `better` it does not contain 0.
        seeds: how many seeds both sides were trained with.
        reason: the answer in a sentence.
        metric, direction: what was compared, and whether "minimize" or "maximize" is better.
        baseline, candidate: {"name", "mean", "values"} of both sides.
        level: error level of one judgement.
        campaign: {"name", "looks", "better", "family_wise_level", "adjusted_p"}, see `automl.judging.campaign`.
        path: the folder that keeps the judgement and the ledgers of its runs.
    """

    better: bool | None
    p: float | None
    delta: float | None
    interval: tuple[float, float] | None
    seeds: int
    reason: str
    metric: str
    direction: str
    baseline: Mapping[str, Any]
    candidate: Mapping[str, Any]
    level: float
    campaign: Mapping[str, Any]
    path: Path

    def to_json(self) -> dict[str, Any]:
        """As plain data, schema 1; the figures by themselves are the first five."""
        finite = self.interval is not None and bool(np.isfinite(self.interval).all())
        return {
            "schema": 1,
            "better": self.better,
            "p": self.p,
            "delta": self.delta,
            "interval": list(self.interval) if finite and self.interval else None,
            "seeds": self.seeds,
            "reason": self.reason,
            "metric": self.metric,
            "direction": self.direction,
            "baseline": dict(self.baseline),
            "candidate": dict(self.candidate),
            "level": self.level,
            "campaign": dict(self.campaign),
            "path": str(self.path),
        }

    def __str__(self) -> str:
        word = {True: "better", False: "not better", None: "not decided"}[self.better]
        lines = [f"{word}: {self.reason}"]
        for name, one in (("baseline", self.baseline), ("candidate", self.candidate)):
            mean = "" if one["mean"] is None else f"  mean {self.metric} {one['mean']:.6g}"
            lines.append(f"{name:<10}{one['name']}{mean}")
        family = self.campaign
        lines.append(
            f"campaign  {family['name']}: {family['looks']} judgement{'s' * (family['looks'] > 1)}; of equal sides"
            f" one would be called better with probability {family['family_wise_level']:.2g}"
        )
        return "\n".join(lines)


def judge(
    baseline: "str | Path | Sequence[str] | tuple[str | Path, int] | Callable[[Trial], object] | Side",
    candidate: "str | Path | Sequence[str] | tuple[str | Path, int] | Callable[[Trial], object] | Side",
    *,
    metric: str | Mapping[str, str] | Metric | None = None,
    seeds: int = 8,
    level: float = 0.05,
    campaign: str = "default",
    seed: int | None = None,
    executor: Described | None = None,
    workers: int | None = None,
    dir: str | Path = "studies",
    trust: bool = False,
    say: Say = lambda text: None,
) -> Judgement:
    """Train both sides on the same fresh seeds, and say whether the candidate is better than the baseline.

        verdict = automl.judge(("studies/digits", 12), ("studies/digits", 40))
        verdict = automl.judge("a.yaml", "b.yaml")
        verdict = automl.judge(train_old, train_new, metric="val_loss")
        if verdict.better: ...

    Seed by seed the difference is tested after each pair from the third on, with one error level for all looks (see
    `automl.judging.sequential`), and the runs end as soon as the answer is clear. Where runs train as one batched
    model, all seeds are trained at once.

    Args:
        baseline, candidate: a specification's file (of one config), a study (its winner), `(study, trial number)`, a
            program as a list of words with "{seed}" in one of them, or a function `train(trial)` with `trial.seed`.
        metric: what is compared, for programs and functions; specifications have their own.
        seeds: the maximum number of seeds for each side, from 3 to 16.
        level: the probability that two equal sides are called different.
        campaign: judgements of the same name are counted together.
        seed: from which the runs' seeds are derived; None: others for each judgement of the campaign.
        executor, workers: where and how many at once; None: as the specification says.
        dir: the folder that holds the studies; what is judged is kept in its folder `judgements`.
        trust: run the code of studies that were not begun on this machine.
        say: called with a line of progress after each look.

    Raises:
        SpecError: the sides cannot be compared, or an option is wrong.
        RunFailed: a run of the baseline failed. A failed candidate is not better.
    """
    a, b = (
        one if isinstance(one, Side) else sides.side(one, dir=Path(dir), trust=trust) for one in (baseline, candidate)
    )
    shared = _metric(a, b, metric)
    fused = a.fuses and b.fuses
    test = PairedTest(seeds, level, (seeds,) if fused else ())
    kept = campaigns.Campaign(Path(dir), campaign)
    number, folder = kept.begin()
    base = seeding.derive("judge", campaign, number) if seed is None else seed
    options = {"metric": shared, "seed": base, "executor": executor, "workers": workers}
    pair = [Runs(_measured(one, shared), folder=folder / name, **options)  # type: ignore[arg-type]
            for one, name in ((a, "baseline"), (b, "candidate"))]  # fmt: skip
    look, values, reason = _looks(pair, test, fused=fused, say=say)
    made = _judgement(look, values, reason, pair, test, folder)
    made = replace(made, campaign=kept.standing(level, made.p))
    campaigns.keep(folder, made.to_json())
    return made


def _measured(side: Side, metric: Metric) -> Side:
    """The side with a task that knows the metric: a program's reports are found by its name."""
    named = {"metric": metric.name} if side.metric is None and hasattr(side.task, "report") else {}
    return replace(side, task=replace(side.task, **named)) if named else side  # type: ignore[type-var]


def _metric(a: Side, b: Side, given: str | Mapping[str, str] | Metric | None) -> Metric:
    """What both sides are compared by.

    Raises:
        SpecError: it is not said, or they have different ones.
    """
    own = [one.metric for one in (a, b) if one.metric is not None]
    if given is not None:
        asked = Metric.of(given)
        if any(m.name != asked.name for m in own):
            raise SpecError(f"metric: {own[0].name} is what the specification measures, not {asked.name}")
        return own[0] if own else asked
    if not own:
        raise SpecError("metric: say what the sides report, e.g. --metric val_loss (in Python metric='val_loss')")
    if len({(m.name, m.direction) for m in own}) > 1:
        raise SpecError(f"metric: {a.name} measures {own[0].name}, {b.name} measures {own[1].name}")
    return own[0]


def _looks(
    pair: Sequence[Runs], test: PairedTest, *, fused: bool, say: Say
) -> tuple[Look | None, list[list[float]], str]:
    """Train until the answer is clear; returns the last look (None: the candidate failed), the values and the reason.

    Raises:
        RunFailed: a run of the baseline failed.
    """
    sign = 1.0 if pair[0].metric.direction == "maximize" else -1.0
    first, second, n = [], [], test.pairs if fused else min(FEWEST, test.pairs)
    while True:
        first = pair[0].values(n)
        try:
            second = pair[1].values(n)
        except RunFailed as error:
            return None, [first, second], str(error)
        look = test.look([sign * (after - before) for before, after in zip(first, second, strict=True)])
        say(f"{n} of {test.pairs} seeds: mean difference {sign * look.delta:+.4g}")
        if look.better or look.hopeless or n >= test.pairs:
            return look, [first, second], ""
        n += 1


def _judgement(
    look: Look | None, values: list[list[float]], reason: str, pair: Sequence[Runs], test: PairedTest, folder: Path
) -> Judgement:
    metric = pair[0].metric
    sides: list[dict[str, Any]] = [
        {"name": one.side.name, "mean": float(np.mean(v)) if v else None, "values": v}
        for one, v in zip(pair, values, strict=True)
    ]
    better: bool | None = False
    p = delta = interval = None
    if look is not None:
        sign = 1.0 if metric.direction == "maximize" else -1.0
        better = True if look.better else False if look.hopeless else None
        low, high = sorted(sign * end for end in look.interval)
        p, delta, interval = look.p, sign * look.delta, (low, high)
        reason = _reason(better, look, values, metric, delta)
    return Judgement(
        better, p, delta, interval, min(len(v) for v in values), reason, metric.name, metric.direction,
        sides[0], sides[1], test.level, {}, folder,
    )  # fmt: skip


def _reason(better: bool | None, look: Look, values: list[list[float]], metric: Metric, delta: float) -> str:
    after = f"after {look.pairs} seeds"
    if all(len(set(v)) == 1 for v in values) and delta:
        return f"{metric.name} {delta:+.4g} {after}, but no seed changes a result: do the runs use their seed?"
    if values[0] == values[1]:
        return f"both sides have exactly the same {metric.name} {after}"
    if better:
        return f"{metric.name} {delta:+.4g} {after} (p {look.p:.2g})"
    if better is False:
        return f"no gain {after}: {metric.name} {delta:+.4g}"
    return f"{metric.name} {delta:+.4g} {after}, which chance alone makes often (p {look.p:.2g})"
