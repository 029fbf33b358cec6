"""After the search: the best trials again on fresh seeds, a winner by their mean, and one look at the test rows.

The best value of a search is too good: it is the luckiest of many. So the best `top` configs are trained again with
`seeds` new seeds, the same ones for all (a study of its own in `studies/NAME/finalists`, so it survives kills like any
other). The winner is the config with the best mean. Only then is the winner's model scored on the test part, once;
the ledger says so before it happens, and a resumed study does not look again.

With `fidelity` the search has trained small models, and here the same configs are trained big.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from automl import metrics
from automl.core import seeds
from automl.core.history import History
from automl.core.messages import WorkerStatus
from automl.core.space import Config, Space, Value
from automl.core.trial import Metric, State, TrialRecord
from automl.driver.driver import Driver
from automl.driver.executor import Executor
from automl.driver.screen import Blank, Screen
from automl.errors import SearchFailed
from automl.evaluation.holdout import Holdout
from automl.metrics import intervals
from automl.study import winner
from automl.study.reader import Readable
from automl.study.study import Study
from automl.tasks.described import DescribedTask
from automl.worker.worker import Task

FOLDER = "finalists"
FACT = "finalists"  # the verdict in the study's ledger
LOOKS = "test_looks"  # every look at the test rows, written down before it happens
SURE = 0.95  # the winner is called better than another one when it is in this share of bootstrap draws
FIRST = 20


@dataclass(frozen=True)
class Plan:
    """What is done after the search.

    `refit`: the model that is saved is trained on the validation rows too. `big`: what differs from the search's
    configs, `{"width": 1024}` (see `automl.specfile.fidelity`).
    """

    top: int = 5
    seeds: int = 3
    refit: bool = False
    ensemble: int = 0
    big: Mapping[str, Value] = field(default_factory=dict)

    def enlarged(self, config: Config) -> Config:
        """The config finalists are trained with."""
        return {**config, **self.big}

    def key(self, trial: TrialRecord) -> str:
        """Tells which of the finalists' runs are those of `trial`, a trial of the search."""
        return key(self.enlarged(trial.config))

    def space(self, study: Study) -> Space:
        """Where the finalists' configs lie."""
        return study.space.fixed(self.big)


@dataclass(frozen=True)
class Again:
    """The strategy of the finalists' study: each config as often as there are seeds, minus what is there already."""

    configs: tuple[Config, ...]
    seeds: int

    def suggest(self, history: History, n: int) -> list[Config]:
        begun = [key(t.config) for t in history.trials]
        missing = [config for k in range(self.seeds) for config in self.configs if begun.count(key(config)) <= k]
        return missing[:n]


@dataclass(frozen=True)
class Finalist:
    """A trial of the search and its runs on fresh seeds: records of the finalists' study, by seed."""

    trial: TrialRecord
    runs: tuple[TrialRecord, ...]
    wanted: int

    @property
    def complete(self) -> bool:
        return len(self.runs) == self.wanted

    @property
    def loss(self) -> float:
        """The mean over fresh seeds; a config that failed on one of them ranks behind all that did not."""
        losses = [run.loss for run in self.runs if run.loss is not None]
        return float(np.mean(losses)) if losses and self.complete else float("inf")

    def values(self, metric: Metric) -> list[float]:
        return [metric.value(run.loss) for run in self.runs if run.loss is not None]


def run(
    study: Study, task: Task, executor: Callable[[], Executor], workers: int, plan: Plan, screen: Screen | None = None
) -> None:
    """Retrain, choose, look at the test rows once, put the winner in `best/`. Kept as the study's `verdict`.

    Raises:
        Interrupted: by a signal; the next session goes on here.
    """
    first = candidates(study.history, plan.top)
    if not first:
        return
    screen = screen or Blank()
    with _study_of_runs(study, first, plan) as runs:
        missing = len(runs.strategy.suggest(runs.history, 10**9)) + len(runs.history.running)
        if missing:
            again = replace(task, keep="all") if isinstance(task, DescribedTask) else task
            echo = Echo(screen, study, {plan.key(t): t.number for t in first}, missing, plan)
            try:
                Driver(runs, again, executor(), workers, echo).run()
            except SearchFailed as error:
                screen.note(f"finalists: {error}; the winner is the search's best trial")
                return
        found = _gathered(runs.history, first, plan)
        if not any(f.complete for f in found):
            screen.note("finalists: every one failed on a fresh seed; the winner is the search's best trial")
            return
        best = found[0]
        model = _best_model(runs, best)
        if plan.refit and isinstance(task, DescribedTask) and model is not None:
            model = _refit(study, task, best.trial, plan, executor, screen) or model
        if not _judged(study, found, plan):
            _judge(study, runs, task, found, plan, model, screen)
        assert study.verdict is not None
        winner.crown(study, best.trial, model, study.verdict)


def candidates(history: History, top: int) -> list[TrialRecord]:
    """The best `top` trials that ran their full length, of equal configs the better one."""
    found: dict[str, TrialRecord] = {}
    for trial in sorted((t for t in history.done if t.loss is not None), key=lambda t: (t.loss, t.number)):
        found.setdefault(key(trial.config), trial)
    return list(found.values())[:top]


def key(config: Mapping[str, Any]) -> str:
    return json.dumps(config, sort_keys=True)


def _study_of_runs(study: Study, first: Sequence[TrialRecord], plan: Plan) -> Study:
    def seed_of(record: TrialRecord) -> int:
        before = runs.history.trials[: record.number]
        return seeds.derive(study.history.seed, sum(key(t.config) == key(record.config) for t in before), "finalist")

    runs = Study(
        plan.space(study),
        metric=study.metric,
        strategy=Again(tuple(plan.enlarged(t.config) for t in first), plan.seeds),
        horizon=study.plan.horizon,
        seed=study.history.seed,
        path=study.path / FOLDER if study.path else None,
        name=f"{study.name} finalists",
        retries=study.retries,
        defaults=False,
        seed_of=seed_of,
        accept_changes=True,
        keep="all",
    )
    return runs


def _gathered(history: History, first: Sequence[TrialRecord], plan: Plan) -> list[Finalist]:
    found = []
    for trial in first:
        runs = [t for t in history.trials if key(t.config) == plan.key(trial)][: plan.seeds]
        found.append(Finalist(trial, tuple(t for t in runs if t.state is State.DONE), plan.seeds))
    return sorted(found, key=lambda f: f.loss)  # stable: of equals the search's better one first


# -- the verdict -------------------------------------------------------------------------------------------------------


def _judged(study: Study, found: Sequence[Finalist], plan: Plan) -> bool:
    """Whether these very finalists were judged before, in the same way."""
    before = study.verdict
    return before is not None and before["asked"] == _asked(found, plan)


def _asked(found: Sequence[Finalist], plan: Plan) -> dict[str, Any]:
    runs = {str(f.trial.number): [t.number for t in f.runs] for f in found}
    big = {"big": dict(plan.big)} if plan.big else {}
    return {"runs": runs, "refit": plan.refit, "ensemble": plan.ensemble, **big}


def _judge(
    study: Study, runs: Study, task: Task, found: Sequence[Finalist], plan: Plan, model: Path | None, screen: Screen
) -> None:
    """Write the verdict down. `model`: the one that is going to be `best/`."""
    holdout = Holdout.of(task) if isinstance(task, DescribedTask) and model is not None else None
    verdict = _verdict(study, runs, found, holdout, plan)
    verdict |= {"asked": _asked(found, plan), "refit": plan.refit, "test": None, "looks": 0, "ensemble": None}
    if holdout is not None and model is not None:
        assert study.path is not None
        if holdout.test_rows:
            verdict["looks"] = _look(study, str(model.relative_to(study.path)), screen)
            verdict["test"] = _tested(holdout, model, _best_model(runs, found[0]) or model)
        if plan.ensemble and holdout.prepared.kind != "next_token":
            from automl.bundle import ensemble

            members = _members(study, runs, found)
            verdict["ensemble"] = ensemble.make(study.path / "ensemble", members, holdout, plan.ensemble, model)
    study.ledger.describe(**{FACT: verdict})
    study.facts[FACT] = verdict


def _verdict(
    study: Study, runs: Study, found: Sequence[Finalist], holdout: Holdout | None, plan: Plan
) -> dict[str, Any]:
    metric, best = study.metric, found[0]
    assert best.trial.loss is not None
    told = []
    for f in found:
        values = f.values(metric)
        told.append(
            {
                "trial": f.trial.number,
                "found": metric.value(f.trial.loss or 0.0),
                "mean": float(np.mean(values)) if values else None,
                "interval": _within(metric, intervals.mean_interval(values)),
                "seeds": len(values),
                "values": values,
            }
        )
    values = best.values(metric)
    return {
        "winner": best.trial.number,
        "metric": metric.name,
        "finalists": told,
        "big": dict(plan.big),
        "optimism": None if plan.big else best.loss - best.trial.loss,  # another model: nothing to compare
        "tied": [f.trial.number for f in found[1:] if f.complete and not _beats(best, f, runs, holdout, metric)],
        "deaf": len(values) > 1 and len(set(values)) == 1,  # fresh seeds changed nothing
        "default": _value(study, [t for t in study.history.done if t.origin == "default"]),
        "first": _value(study, _first_suggested(study.history)),
    }


def _within(metric: Metric, interval: intervals.Interval | None) -> list[float] | None:
    """The interval as far as the metric reaches: no accuracy above 1."""
    low, high = metrics.bounds(metric.name)
    return None if interval is None else [max(interval[0], low), min(interval[1], high)]


def _first_suggested(history: History) -> list[TrialRecord]:
    """Of the first `FIRST` trials that the strategy made those that ran their full length."""
    suggested = [t for t in history.trials if not t.origin][:FIRST]
    return [t for t in suggested if t.state is State.DONE]


def _value(study: Study, trials: Sequence[TrialRecord]) -> dict[str, Any] | None:
    best = min((t for t in trials if t.loss is not None), key=lambda t: (t.loss, t.number), default=None)
    return None if best is None or best.loss is None else {"trial": best.number, "value": study.metric.value(best.loss)}


def _beats(best: Finalist, other: Finalist, runs: Study, holdout: Holdout | None, metric: Metric) -> bool:
    sign = -1.0 if metric.direction == "minimize" else 1.0
    models = [[_model(runs, t) for t in f.runs] for f in (best, other)]
    if holdout is not None and all(m is not None for pair in models for m in pair):
        a, b = ([holdout.sample(m, "val") for m in pair if m is not None] for pair in models)
        return intervals.better(a, b, sign=sign) > SURE
    return intervals.better_by_seeds(best.values(metric), other.values(metric), sign=sign) > SURE


def _look(study: Study, model: str, screen: Screen) -> int:
    """Write down that the test rows are going to be looked at; returns how many looks that makes."""
    looks = list(study.ledger.facts().get(LOOKS, []))
    if model not in [look["model"] for look in looks]:  # the same model again: killed in between
        looks.append({"model": model, "at_s": round(study.elapsed_s, 1)})
        study.ledger.describe(**{LOOKS: looks})
        screen.note("the test part is looked at now, for the winner")
    return len(looks)


def _tested(holdout: Holdout, model: Path, like: Path) -> dict[str, Any]:
    """`like`: the model before it was trained on the validation rows too: how it errs there has the shape of errors."""
    sample = holdout.sample(model, "test")
    low, high = intervals.interval(sample, like=holdout.sample(like, "val"))
    return {
        "metric": f"test_{holdout.name}",
        "value": sample.value,
        "interval": [low, high],
        "rows": holdout.test_rows,
        "metrics": holdout.metrics(model, "test"),
    }


def _model(runs: Study, record: TrialRecord) -> Path | None:
    if runs.path is None:
        return None
    path = runs.path / "trials" / f"{record.number:05d}" / "bundle"
    return path if (path / "manifest.json").is_file() else None


def _members(study: Study, runs: Study, found: Sequence[Finalist]) -> dict[str, Path]:
    """What an ensemble is chosen from: models of the best trials, and of the finalists on fresh seeds."""
    members = {f"t{number:04d}": path for number, path in winner.members(study).items()}
    for finalist in found:
        for k, record in enumerate(finalist.runs, 1):
            if (path := _model(runs, record)) is not None:
                members[f"t{finalist.trial.number:04d}-seed{k}"] = path
    return members


def _best_model(runs: Study, finalist: Finalist) -> Path | None:
    """Of its models the best on the validation rows."""
    return _model(runs, min(finalist.runs, key=lambda t: (t.loss, t.number)))


def _refit(
    study: Study, task: DescribedTask, record: TrialRecord, plan: Plan, executor: Callable[[], Executor], screen: Screen
) -> Path | None:
    """Train the winner's config once more, on training and validation rows; the saved model, None where that failed."""
    assert study.path is not None
    with Study(
        plan.space(study), metric=study.metric, strategy=Again((plan.enlarged(record.config),), 1),
        horizon=study.plan.horizon, seed=seeds.derive(study.history.seed, "refit"),
        path=study.path / "refit" / f"{record.number:05d}", defaults=False, keep="all",
    ) as runs:  # fmt: skip
        if not runs.history.done:
            screen.note("refit: the winner's config is trained on training and validation rows")
            echo = Echo(screen, study, {plan.key(record): record.number})
            Driver(runs, _refitted(task, record), executor(), 1, echo).run()
        model = next((m for t in runs.history.done if (m := _model(runs, t)) is not None), None)
    if model is None:
        screen.note("refit: it failed; best/ gets the model that was trained without the validation rows")
    return model


def _refitted(task: DescribedTask, record: TrialRecord) -> DescribedTask:
    """Training on all rows. No rows are left to choose an epoch by: it ends with the one that counted in the search."""
    best = None
    if task.metric.count == "best":
        best, _ = min(record.curve, key=lambda point: (point[1], point[0]))
    metric = replace(task.metric, count="last")
    return replace(task, keep="all", refit=True, metric=metric, patience=0, until=best)


@dataclass
class Echo:
    """The screen of the finalists' study: the search's own screen goes on, its workers run its own trials again."""

    screen: Screen
    study: Study
    numbers: Mapping[str, int]
    missing: int = 0
    plan: Plan | None = None

    def begin(self, study: Readable) -> None:
        if self.plan is not None:
            at = "".join(f" at {name} {value}" for name, value in self.plan.big.items())
            many, count = len(self.numbers), self.plan.seeds
            configs = f"the best {many} configs are" if many > 1 else "the best config is"
            self.screen.note(
                f"finalists: {configs} trained again{at} on {count} fresh seed{'s' * (count > 1)}"
                f" ({self.missing} run{'s' * (self.missing > 1)}); then the winner is named"
            )

    def ended(self, study: Readable, record: TrialRecord) -> None: ...

    def tick(self, study: Readable, workers: Sequence[WorkerStatus]) -> None:
        def own(number: int) -> int:
            return self.numbers[key(study.history.trials[number].config)]

        self.screen.tick(
            self.study,
            [replace(w, trials=tuple(own(n) for n in w.trials), note=w.note or "fresh seed") for w in workers],
        )

    def note(self, text: str) -> None:
        self.screen.note(f"finalists: {text}")  # numbers in it are those of their own study

    def finish(self, study: Readable, outcome: str) -> None: ...
